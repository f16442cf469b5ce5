//! The guard: a small process between a parent and its child, so that no child outlives its parent.
//!
//! `guard PID_FILE PROGRAM ARGS...` starts the program, writes its process id to the file and reads
//! its own stdin, whose other end only the parent holds: a byte `t` asks the child to end
//! (SIGTERM); the end of the pipe, which comes however the parent dies, kills it. Guard and child
//! live in a process group of their own, so Ctrl-C in a terminal reaches the parent alone.

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// The byte that asks the child to end.
pub(crate) const TERMINATE: u8 = b't';
/// The exit code when the program cannot be started.
pub(crate) const NOT_STARTED: u8 = 127;

/// Runs the guard with its arguments (without the name of the program); the whole `main` of it.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    match guard(args) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("guard: {error:#}");
            ExitCode::from(NOT_STARTED)
        }
    }
}

fn guard(mut args: impl Iterator<Item = OsString>) -> Result<u8> {
    let pid_file = args
        .next()
        .context("usage: guard PID_FILE PROGRAM ARGS...")?;
    let program = args
        .next()
        .context("usage: guard PID_FILE PROGRAM ARGS...")?;
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let mut child = Command::new(&program)
        .args(args)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let pid = Pid::from_child(&child);
    std::thread::spawn(move || follow(pid));
    std::thread::spawn(move || {
        for _ in signals.forever() {
            send(pid, Signal::TERM);
        }
    });
    let published = publish(Path::new(&pid_file), pid);
    if published.is_err() {
        // Nobody will know of the child, so it must not stay.
        send(pid, Signal::KILL);
    }
    let status = child.wait()?;
    published.context("cannot write the pid file")?;
    let signal = || status.signal().map_or(1, |signal| 128 + signal);
    Ok(u8::try_from(status.code().unwrap_or_else(signal)).unwrap_or(1))
}

/// Does what the parent asks, until the parent is gone.
fn follow(child: Pid) {
    for byte in std::io::stdin().lock().bytes() {
        match byte {
            Ok(TERMINATE) => send(child, Signal::TERM),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    send(child, Signal::KILL);
}

fn send(child: Pid, signal: Signal) {
    // The only failure is that the child has ended, which `wait` is about to notice.
    let _ended = kill_process(child, signal);
}

fn publish(path: &Path, pid: Pid) -> Result<()> {
    // Its own name: the program may publish a file of the same stem in the same directory.
    let partial = path.with_extension("pid.partial");
    std::fs::write(&partial, pid.as_raw_nonzero().to_string())?;
    std::fs::rename(&partial, path)?;
    Ok(())
}
