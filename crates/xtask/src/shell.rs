//! Running other programs, aloud: what is done before it starts, how long it took after.

use anyhow::{Context, Result, bail};
use meltemi_testkit::paths;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often long silent work says that it is alive.
const BEAT: Duration = Duration::from_secs(10);

/// Says on stderr what happens.
pub(crate) fn say(text: &str) {
    eprintln!("==> {text}");
}

/// Cargo, the one that runs us, in the repository.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(args).current_dir(paths::repository());
    // Cargo sets these for us; they must not reach the build scripts of another build.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a program whose output goes where ours goes; it must succeed.
pub(crate) fn run(what: &str, command: &mut Command) -> Result<()> {
    say(what);
    let started = Instant::now();
    let status = command.status();
    let name = command.get_program().display().to_string();
    let status = status.with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{what}: {name} ended with {status}");
    }
    say(&format!(
        "{what}: done in {:.1} s",
        started.elapsed().as_secs_f32()
    ));
    Ok(())
}

/// Runs a program beside others; its lines are shown with this name in front. It must succeed.
pub(crate) fn run_beside(name: &str, what: &str, command: &mut Command) -> Result<()> {
    say(&format!("{what} ({name})"));
    let started = Instant::now();
    let program = command.get_program().display().to_string();
    let cannot = || format!("cannot run {program}");
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().with_context(cannot)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        scope.spawn(|| name_lines(name, stdout));
        name_lines(name, stderr);
    });
    let status = child.wait().with_context(cannot)?;
    if !status.success() {
        bail!("{what} ({name}): {program} ended with {status}");
    }
    let took = started.elapsed().as_secs_f32();
    say(&format!("{what} ({name}): done in {took:.1} s"));
    Ok(())
}

fn name_lines(name: &str, from: Option<impl Read>) {
    let lines = from.map(|from| BufReader::new(from).split(b'\n'));
    for line in lines.into_iter().flatten().map_while(Result::ok) {
        eprintln!("{name} | {}", String::from_utf8_lossy(&line));
    }
}

/// Runs a program quietly; its output is shown only when it fails. Says that it is alive.
pub(crate) fn run_quietly(what: &str, command: &mut Command) -> Result<String> {
    say(what);
    let alive = Alive::new(what);
    let name = command.get_program().display().to_string();
    let out = command.stdin(Stdio::null()).output();
    drop(alive);
    let out = out.with_context(|| format!("cannot run {name}"))?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    if !out.status.success() {
        let error = String::from_utf8_lossy(&out.stderr);
        bail!("{what}: {name} ended with {}\n{text}{error}", out.status);
    }
    Ok(text)
}

/// The output of a program, when it can be run and succeeds.
pub(crate) fn output(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program)
        .args(args)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    out.status
        .success()
        .then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// Says every few seconds that something still goes on, until dropped.
struct Alive {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Alive {
    fn new(what: &str) -> Self {
        let (stop, stopped) = channel();
        let what = what.to_owned();
        let started = Instant::now();
        let thread = std::thread::spawn(move || {
            while stopped.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                say(&format!("{what}: {} s so far", started.elapsed().as_secs()));
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}
