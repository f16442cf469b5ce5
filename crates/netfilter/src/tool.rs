//! Runs a tool of the system to its end.

use crate::Failure;
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

/// Where tools are by custom.
const USUAL: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a tool said.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) is_good: bool,
    pub(crate) text: String,
    /// Its complaint, on one line.
    pub(crate) complaint: String,
}

/// Runs a tool; none when there is no such tool.
pub(crate) fn ask(
    program: &str,
    args: &[&str],
    input: Option<&str>,
) -> Result<Option<Answer>, Failure> {
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C").env("PATH", path());
    command.stdin(input.map_or_else(Stdio::null, |_| Stdio::piped()));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let text = format!("cannot run {program}: {error}");
            return Err(Failure::Unavailable(text));
        }
    };
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        // A tool that ends before it has read all says why by itself.
        let _may_have_ended = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output();
    let output =
        output.map_err(|e| Failure::Unavailable(format!("cannot wait for {program}: {e}")))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint: Vec<&str> = complaint.split_whitespace().collect();
    Ok(Some(Answer {
        is_good: output.status.success(),
        text: String::from_utf8_lossy(&output.stdout).into_owned(),
        complaint: complaint.join(" "),
    }))
}

/// Where tools are. What starts us on a node may name no folder at all.
fn path() -> OsString {
    let path = std::env::var_os("PATH").filter(|path| !path.is_empty());
    path.unwrap_or_else(|| USUAL.into())
}

/// The answer of a tool that must be there and succeed.
pub(crate) fn must(program: &str, args: &[&str], input: Option<&str>) -> Result<String, Failure> {
    match ask(program, args, input)? {
        Some(answer) if answer.is_good => Ok(answer.text),
        Some(answer) => Err(Failure::Unavailable(format!(
            "{program} {}: {}",
            args.join(" "),
            answer.complaint
        ))),
        None => Err(Failure::Unavailable(format!(
            "{program} is not there: install it, or use an image that has it"
        ))),
    }
}
