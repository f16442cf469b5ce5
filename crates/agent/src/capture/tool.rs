//! Runs a tool of the system to its end.

use super::{Failure, UNAVAILABLE};
use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

/// What a tool said.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) is_good: bool,
    pub(super) text: String,
    /// Its complaint, on one line.
    pub(super) complaint: String,
}

/// Runs a tool; none when there is no such tool.
pub(super) fn ask(
    program: &str,
    args: &[&str],
    input: Option<&str>,
) -> Result<Option<Answer>, Failure> {
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C");
    command.stdin(input.map_or_else(Stdio::null, |_| Stdio::piped()));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err((UNAVAILABLE, format!("cannot run {program}: {error}"))),
    };
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        // A tool that ends before it has read all says why by itself.
        let _may_have_ended = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output();
    let output = output.map_err(|e| (UNAVAILABLE, format!("cannot wait for {program}: {e}")))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint: Vec<&str> = complaint.split_whitespace().collect();
    Ok(Some(Answer {
        is_good: output.status.success(),
        text: String::from_utf8_lossy(&output.stdout).into_owned(),
        complaint: complaint.join(" "),
    }))
}

/// The answer of a tool that must be there and succeed.
pub(super) fn must(program: &str, args: &[&str], input: Option<&str>) -> Result<String, Failure> {
    match ask(program, args, input)? {
        Some(answer) if answer.is_good => Ok(answer.text),
        Some(answer) => Err((
            UNAVAILABLE,
            format!("{program} {}: {}", args.join(" "), answer.complaint),
        )),
        None => Err((
            UNAVAILABLE,
            format!("{program} is not there: use an image that has it"),
        )),
    }
}
