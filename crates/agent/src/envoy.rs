//! Envoy as a child: its command line, its bootstrap on disk, its start and its end.
//!
//! The agent becomes Envoy's parent through itself (`launch`), which asks the kernel to kill Envoy
//! when the agent dies, whatever it dies of. The surprise: the kernel looks at the thread that
//! started the child, so Envoy is started from the main thread, which lives as long as the process.

mod drain;
mod launch;

pub(crate) use drain::{Admin, After, Policy};
pub(crate) use launch::launch;

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};
use tokio::process::Child;

/// How Envoy is called.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) program: PathBuf,
    /// Where our bootstrap is written.
    pub(crate) bootstrap: PathBuf,
    /// How long listeners drain.
    pub(crate) drain: Duration,
    /// How often logs are written to files.
    pub(crate) flush: Duration,
    pub(crate) flush_kilobytes: Option<u32>,
    /// The pod has addresses of IPv6 only.
    pub(crate) v6: bool,
    /// `warning`, or `warning,misc:error`.
    pub(crate) level: String,
    pub(crate) components: String,
    pub(crate) skip_deprecated: bool,
    pub(crate) core_dump: bool,
    /// Worker threads; `None` is one for each core.
    pub(crate) concurrency: Option<u32>,
    /// What is laid over the bootstrap, as JSON.
    pub(crate) overlay: Option<String>,
}

impl Command {
    /// The arguments, for a bootstrap in `file`.
    pub(crate) fn args(&self, file: &Path) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        let mut option = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
            args.push(name.into());
            args.push(value.as_ref().to_owned());
        };
        option("-c", &file);
        option("--drain-time-s", &self.drain.as_secs().to_string());
        option("--drain-strategy", &"immediate");
        let version = if self.v6 { "v6" } else { "v4" };
        option("--local-address-ip-version", &version);
        let flush = self.flush.as_millis().to_string();
        option("--file-flush-interval-msec", &flush);
        let (level, components) = self.levels();
        option("-l", &level);
        if !components.is_empty() {
            option("--component-log-level", &components);
        }
        if let Some(kilobytes) = self.flush_kilobytes {
            option("--file-flush-min-size-kb", &kilobytes.to_string());
        }
        if let Some(number) = self.concurrency {
            option("--concurrency", &number.to_string());
        }
        if let Some(overlay) = &self.overlay {
            option("--config-yaml", overlay);
        }
        let switches = [
            ("--disable-hot-restart", true),
            ("--allow-unknown-static-fields", true),
            ("--skip-deprecated-logs", self.skip_deprecated),
            ("--enable-core-dump", self.core_dump),
        ];
        let on = switches.into_iter().filter(|(_, on)| *on);
        args.extend(on.map(|(name, _)| OsString::from(name)));
        args
    }

    /// The level, and the levels of components, which may stand behind the level.
    fn levels(&self) -> (String, String) {
        let mut level = "warning";
        let mut components: Vec<&str> = Vec::new();
        for part in self.level.split(',').chain(self.components.split(',')) {
            match part {
                "" => {}
                part if part.contains(':') => components.push(part),
                part => level = part,
            }
        }
        (level.to_owned(), components.join(","))
    }

    /// Starts Envoy on the bootstrap in `file`.
    pub(crate) fn start(&self, file: &Path) -> std::io::Result<Envoy> {
        // Our own program, even when the file has been replaced meanwhile.
        let child = tokio::process::Command::new("/proc/self/exe")
            .arg("launch")
            .arg(std::process::id().to_string())
            .arg(&self.program)
            .args(self.args(file))
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Envoy {
            child,
            since: Instant::now(),
        })
    }
}

/// Writes a file that only we may read, whole or not at all. Nobody waits for the disk: it is written
/// anew at each start.
pub(crate) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let partial = path.with_extension("partial");
    let mut options = std::fs::File::options();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = options.open(&partial)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // A full disk: what was there stays, and the part goes.
        let _gone = std::fs::remove_file(&partial);
    }
    written
}

/// A running Envoy. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Envoy {
    child: Child,
    since: Instant,
}

/// How long Envoy may take to end when it is asked to.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Envoy {
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends when Envoy does.
    pub(crate) async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// How long it has run.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Ends it: logs are written when it is asked to, and it is killed when it does not listen.
    pub(crate) async fn end(&mut self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            // The only failure is that it has ended, which `wait` notices.
            let _ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(LAST_WORDS, self.child.wait())
            .await
            .is_err()
        {
            let _ended = self.child.kill().await;
        }
    }
}

/// What an end says in words, and the code that the agent ends with.
pub(crate) fn verdict(status: ExitStatus, age: Duration) -> (String, u8) {
    let age = age.as_secs_f32();
    let (how, code) = match (status.code(), status.signal()) {
        (Some(code), _) => (format!("with code {code}"), code),
        (None, Some(9)) => (
            "killed (signal 9): if nobody killed it, its memory limit is too small".to_owned(),
            128 + 9,
        ),
        (None, Some(signal)) => (format!("by signal {signal}"), 128 + signal),
        (None, None) => ("in an unknown way".to_owned(), 1),
    };
    let text = format!("Envoy ended {how}, {age:.1} s after its start; its log says more");
    (text, u8::try_from(code).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command {
            program: "/usr/local/bin/envoy".into(),
            bootstrap: "b.json".into(),
            drain: Duration::from_secs(45),
            flush: Duration::from_secs(1),
            flush_kilobytes: None,
            v6: false,
            level: "warning,misc:error".into(),
            components: "upstream:debug".into(),
            skip_deprecated: true,
            core_dump: false,
            concurrency: Some(2),
            overlay: None,
        }
    }

    #[test]
    fn envoy_is_called_as_istio_calls_it() {
        let args = command().args(Path::new("b.json"));
        let line: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
        assert_eq!(
            line.join(" "),
            "-c b.json --drain-time-s 45 --drain-strategy immediate \
             --local-address-ip-version v4 --file-flush-interval-msec 1000 -l warning \
             --component-log-level misc:error,upstream:debug --concurrency 2 \
             --disable-hot-restart --allow-unknown-static-fields --skip-deprecated-logs"
        );
    }

    #[test]
    fn ends_become_codes() {
        let (text, code) = verdict(ExitStatus::from_raw(9), Duration::from_secs(1));
        assert!(text.contains("memory limit"), "{text}");
        assert_eq!(code, 137);
        let (_, code) = verdict(ExitStatus::from_raw(3 << 8), Duration::ZERO);
        assert_eq!(code, 3);
    }

    #[test]
    fn files_are_private_and_replaced_whole() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("proxy/envoy-rev.json");
        for text in ["one", "two"] {
            write_private(&path, text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let left = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 1);
    }
}
