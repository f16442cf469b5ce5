//! No process outlives the one that started it, however that one ends.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test panics when it fails"
)]

use meltemi_testkit::wait;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

/// A guard with a child that would run for minutes, started as the testkit does.
struct Guarded {
    guard: Child,
    pid_file: PathBuf,
}

fn start(name: &str, program: &[&str]) -> Guarded {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let pid_file = dir.join(format!("orphans-{name}-{}", std::process::id()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command
        .arg("guard")
        .arg(&pid_file)
        .args(program)
        .stdin(Stdio::piped());
    Guarded {
        guard: command.spawn().unwrap(),
        pid_file,
    }
}

impl Guarded {
    fn child(&mut self) -> u32 {
        let pid = until("the child", || std::fs::read_to_string(&self.pid_file).ok());
        std::fs::remove_file(&self.pid_file).unwrap();
        pid.parse().unwrap()
    }

    /// Waits without closing the pipe, as `Child::wait` would: that kills.
    fn end(&mut self) -> std::process::ExitStatus {
        until("the guard to end", || self.guard.try_wait().unwrap())
    }
}

fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    wait::until(what, DEADLINE, || Ok(probe())).unwrap()
}

fn gone(pid: u32) -> Option<()> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended; whoever inherits it will reap it.
    (stat.is_empty() || stat.contains(") Z ")).then_some(())
}

#[test]
fn the_end_of_the_pipe_kills_the_child() {
    let mut guarded = start("eof", &["sleep", "600"]);
    let pid = guarded.child();
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    drop(guarded.guard.stdin.take());
    until("the child to be gone", || gone(pid));
    guarded.guard.wait().unwrap();
}

#[test]
fn a_parent_killed_with_9_leaves_nothing() {
    // The shell holds the only other end of the pipe, and dies by SIGKILL.
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let pid_file = dir.join(format!("orphans-kill-{}", std::process::id()));
    let script = "mkfifo \"$2.pipe\"; \"$1\" guard \"$2\" sleep 600 <\"$2.pipe\" & exec 9>\"$2.pipe\"; \
                  rm \"$2.pipe\"; while :; do wait; done";
    let mut shell = Command::new("bash")
        .args(["-c", script, "bash", env!("CARGO_BIN_EXE_xtask")])
        .arg(&pid_file)
        .spawn()
        .unwrap();
    let pid: u32 = until("the child", || std::fs::read_to_string(&pid_file).ok())
        .parse()
        .unwrap();
    shell.kill().unwrap();
    shell.wait().unwrap();
    until("the child to be gone", || gone(pid));
    std::fs::remove_file(&pid_file).unwrap();
}

#[test]
fn a_guard_asked_to_end_ends_the_child_first() {
    let mut guarded = start("term", &["sleep", "600"]);
    let pid = guarded.child();
    let guard = guarded.guard.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &guard])
            .status()
            .unwrap()
            .success()
    );
    let status = guarded.end();
    assert_eq!(status.code(), Some(128 + 15));
    until("the child to be gone", || gone(pid));
}

#[test]
fn the_exit_code_is_the_childs() {
    let mut guarded = start("code", &["sh", "-c", "exit 7"]);
    assert_eq!(guarded.end().code(), Some(7));
    let mut guarded = start("missing", &["/no/such/program"]);
    assert_eq!(guarded.end().code(), Some(127));
}
