//! Writing: the answer to stdout, everything else to stderr. A reader that goes away early
//! (`| head`) is no failure, and no write ever panics.

use crate::args::Format;
use crate::failure::{FINE, INTERNAL, USAGE};
use crate::yaml;
use clap::error::ErrorKind;
use serde_json::Value;
use std::io::{self, Write};

/// The version of our documents.
pub(crate) const API_VERSION: &str = "cli.meltemi.io/v1";

/// A document as text that ends with a line feed.
pub(crate) fn render(format: Format, value: &Value) -> String {
    match format {
        Format::Yaml => yaml::write(value),
        Format::Json => format!("{value:#}\n"),
    }
}

/// Writes the answer and gives the exit code.
pub(crate) fn answer(text: &str, code: u8) -> u8 {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Ok(()) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => FINE,
        Err(error) => {
            say(&[format!("meltemi: the answer cannot be written: {error}")]);
            INTERNAL
        }
    }
}

/// Writes lines for people.
pub(crate) fn say(lines: &[String]) {
    let mut err = io::stderr().lock();
    for line in lines {
        // There is nobody left to tell.
        let _ = writeln!(err, "{line}");
    }
}

/// What clap has to say: help and version are answers, anything else is wrong usage. Lines that
/// begin with `error` are kept for diagnostics.
pub(crate) fn misuse(error: &clap::Error) -> u8 {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        // As with any answer, a reader may have gone.
        let _ = error.print();
        return FINE;
    }
    let text = error.render().to_string();
    let text = match text.strip_prefix("error: ") {
        Some(rest) => format!("meltemi: {rest}"),
        None => text,
    };
    say(&[text.trim_end().to_owned()]);
    USAGE
}
