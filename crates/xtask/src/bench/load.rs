//! Programs that ask as fast as they are answered, on a core of their own.

use super::spine::pinned;
use anyhow::{Context, Result, ensure};
use meltemi_testkit::paths;
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a program says of its work.
pub(super) fn run((dir, name): (&Path, &str), work: &Value) -> Result<Value> {
    let program = paths::binary_in(dir, name)?;
    let mut words = pinned("1");
    words.push(program.into());
    let mut words = words.into_iter();
    let mut child = Command::new(words.next().unwrap_or_default())
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    stdin.write_all(work.to_string().as_bytes())?;
    drop(stdin);
    let ended = child.wait_with_output()?;
    ensure!(ended.status.success(), "{name}: {}", ended.status);
    Ok(serde_json::from_slice(&ended.stdout)?)
}
