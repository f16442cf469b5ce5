//! A control plane on one core, and programs that ask it as fast as it answers, on another.

use super::spine::pinned;
use anyhow::{Context, Result, ensure};
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::plane::{Options, Plane};
use meltemi_testkit::reviews::Reviews;
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// A release build beside the stand-in of an API server, listening at any port behind each flag.
pub(super) fn plane(
    (dir, scratch): (&Path, &Scratch),
    reviews: &Reviews,
    doors: &[&str],
) -> Result<Plane> {
    let config = scratch.path().join("config");
    std::fs::create_dir(&config)?;
    let meltemid = paths::binary_in(dir, "meltemid")?;
    let config = config.display().to_string();
    let mut options = Options::new(meltemid, config, scratch.path().to_path_buf());
    let kubeconfig = reviews.kubeconfig(scratch.path())?;
    options.args = vec!["--kubeconfig".into(), kubeconfig.into()];
    for flag in doors {
        options.args.extend([(*flag).into(), "127.0.0.1:0".into()]);
    }
    options.through = pinned("0");
    Plane::start(&options)
}

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
