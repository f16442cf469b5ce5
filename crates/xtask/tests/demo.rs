//! The demo as a whole: it completes; killed with -9 it leaves no process and can start again.
//!
//! Needs Envoy (`cargo xtask test` fetches it) and the binaries of the workspace.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test panics when it fails"
)]

use meltemi_testkit::wait;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
const DEADLINE: Duration = Duration::from_secs(20);

/// A running demo; one that a failing test forgets is killed.
struct Demo(Child);

impl Drop for Demo {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait().map(drop));
    }
}

fn demo(args: &[&str]) -> Demo {
    let mut command = Command::new(XTASK);
    command.arg("demo").args(["--output", "json"]).args(args);
    command.env("MELTEMI_BIN_DIR", Path::new(XTASK).parent().unwrap());
    Demo(
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    )
}

/// Processes that have the directory of that run in their command line, or work in it.
fn left_by(run: u32) -> Vec<String> {
    let name = format!("demo-run-{run}/");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let at = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        Some(format!("{line} in {}", at.display()))
    });
    lines.filter(|line| line.contains(&name)).collect()
}

fn wait_until_gone(run: u32) {
    let gone = wait::until("the end of every process", DEADLINE, || {
        Ok(left_by(run).is_empty().then_some(()))
    });
    assert!(gone.is_ok(), "still running: {:#?}", left_by(run));
}

/// Reads the steps until the named one; all must have gone well.
fn play_until(step: &str, child: &mut Child) {
    let out = BufReader::new(child.stdout.take().unwrap());
    for line in out.lines() {
        let line = line.unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(told["ok"], true, "{line}");
        if told["step"] == step {
            return;
        }
    }
    panic!(
        "the demo ended before the step {step}: {}",
        child.wait().unwrap()
    );
}

#[test]
fn killed_with_9_it_leaves_nothing_and_starts_again() {
    let mut first = demo(&[]);
    play_until("identity", &mut first.0);
    assert!(
        left_by(first.0.id()).len() >= 15,
        "the mesh should run: {:#?}",
        left_by(first.0.id())
    );
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    wait_until_gone(first.0.id());

    let mut second = demo(&["--once"]);
    play_until("health", &mut second.0);
    assert!(second.0.wait().unwrap().success());
    wait_until_gone(second.0.id());
}
