//! Child processes that die with their parent, each with a log file.

use crate::guard::TERMINATE;
use crate::{paths, wait};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long a process may take to exist.
const START: Duration = Duration::from_secs(20);

/// A program by its name: on `PATH`, else where only root looks.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let mut places = std::env::split_paths(&path).chain(more);
    places.find_map(|dir| Some(dir.join(name)).filter(|file| file.is_file()))
}

/// What to start.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Names the log and the pid file, and errors.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Environment on top of the parent's.
    pub env: Vec<(String, String)>,
    /// Where the log (`NAME.log`) and the pid file go.
    pub dir: PathBuf,
}

impl Spec {
    /// A program without arguments.
    #[must_use]
    pub fn new(name: &str, program: &Path, dir: &Path) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_path_buf(),
            args: Vec::new(),
            env: Vec::new(),
            dir: dir.to_path_buf(),
        }
    }

    /// The same with one more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// The same with an option and its value.
    #[must_use]
    pub fn option(self, name: &str, value: impl Into<OsString>) -> Self {
        self.arg(name).arg(value)
    }
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    guard: Child,
    lifeline: Option<ChildStdin>,
    pid: u32,
    log: PathBuf,
}

impl Process {
    /// Starts the program under a guard and waits until it exists.
    ///
    /// # Errors
    /// The guard is missing, or the program cannot be started.
    pub fn start(spec: &Spec) -> Result<Self> {
        let log = spec.dir.join(format!("{}.log", spec.name));
        let pid_file = spec.dir.join(format!("{}.pid", spec.name));
        if pid_file.exists() {
            std::fs::remove_file(&pid_file)?;
        }
        let mut guard = spawn(spec, &log, &pid_file)?;
        let lifeline = guard.stdin.take();
        let mut process = Self {
            name: spec.name.clone(),
            guard,
            lifeline,
            pid: 0,
            log,
        };
        process.pid =
            wait::until(
                &format!("{} to start", spec.name),
                START,
                || match std::fs::read_to_string(&pid_file) {
                    Ok(text) => Ok(Some(text.parse()?)),
                    Err(_) if process.ended()?.is_none() => Ok(None),
                    Err(_) => bail!("{} ended at once: {}", spec.name, process.tail()),
                },
            )?;
        Ok(process)
    }

    /// The process id of the program itself.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Where its output goes.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its output.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut last: Vec<_> = text.lines().rev().take(12).collect();
        last.reverse();
        last.join("\n")
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// The system does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.guard
            .try_wait()
            .with_context(|| format!("cannot wait for {}", self.name))
    }

    /// Fails with the end of the log when the process no longer runs.
    ///
    /// # Errors
    /// It has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}): {}", self.name, self.tail()),
        }
    }

    /// Asks it to end (SIGTERM) and waits.
    ///
    /// # Errors
    /// It does not end in time; then it is killed.
    pub fn stop(&mut self, deadline: Duration) -> Result<ExitStatus> {
        if let Some(lifeline) = &mut self.lifeline {
            // A broken pipe means that it has ended already.
            let _ended = lifeline.write_all(&[TERMINATE]);
        }
        let what = format!("{} to end after SIGTERM", self.name);
        let ended = wait::until(&what, deadline, || self.ended());
        if ended.is_err() {
            self.kill();
        }
        ended
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        self.lifeline = None;
        let _gone = self.guard.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(spec: &Spec, log: &Path, pid_file: &Path) -> Result<Child> {
    let out = File::options().create(true).append(true).open(log);
    let out = out.with_context(|| format!("cannot write the log {}", log.display()))?;
    let (program, leading) = guard_program()?;
    let mut command = Command::new(&program);
    command
        .args(leading)
        .arg(pid_file)
        .arg(&spec.program)
        .args(&spec.args);
    command.envs(spec.env.iter().map(|(key, value)| (key, value)));
    command
        .stdin(Stdio::piped())
        .stdout(out.try_clone()?)
        .stderr(out)
        .process_group(0);
    command
        .spawn()
        .with_context(|| format!("cannot start the guard {}", program.display()))
}

/// xtask is its own guard; everything else has one beside it.
fn guard_program() -> Result<(PathBuf, Option<&'static str>)> {
    let exe = std::env::current_exe()?;
    let name = exe.file_name().unwrap_or_default().to_string_lossy();
    if name.trim_end_matches(" (deleted)") == "xtask" {
        // By this name it is found even when a build has replaced the file.
        return Ok((PathBuf::from("/proc/self/exe"), Some("guard")));
    }
    Ok((paths::binary("meltemi-guard")?, None))
}
