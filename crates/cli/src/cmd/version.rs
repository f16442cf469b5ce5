//! `meltemi version`.

use crate::args::{Format, TextFormat, Version};
use crate::failure::Answer;
use crate::output::{API_VERSION, render};
use serde_json::json;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Empty when it was not built in a git checkout.
const REVISION: &str = env!("MELTEMI_GIT_REVISION");

/// Says which program this is.
pub(crate) fn run(args: &Version) -> Answer {
    let document = json!({
        "apiVersion": API_VERSION,
        "kind": "Version",
        "version": VERSION,
        "gitRevision": REVISION,
    });
    Answer::fine(match args.output {
        TextFormat::Text if REVISION.is_empty() => format!("meltemi {VERSION}\n"),
        TextFormat::Text => format!("meltemi {VERSION} ({REVISION})\n"),
        TextFormat::Json => render(Format::Json, &document),
        TextFormat::Yaml => render(Format::Yaml, &document),
    })
}
