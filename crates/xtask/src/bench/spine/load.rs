//! The other side of `meltemi-xload`: commands in, one JSON line out.

use super::world::NAMESPACE;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What all proxies together have received since the last reset.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) resources: u64,
    pub(crate) bytes: u64,
    pub(crate) removed: u64,
    pub(crate) ms: u64,
}

#[derive(Debug, Deserialize)]
struct States {
    states: BTreeMap<String, u64>,
}

/// The running load; it ends when its stdin does, however that happens.
pub(crate) struct Load {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Load {
    pub(crate) fn start(through: &[OsString], binary: &Path, server: SocketAddr) -> Result<Self> {
        let mut words = through.iter().cloned().chain([binary.into()]);
        let program = words.next().unwrap_or_default();
        let mut command = Command::new(program);
        command.args(words).arg(server.to_string()).arg(NAMESPACE);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let commands = child.stdin.take().context("no stdin")?;
        let answers = BufReader::new(child.stdout.take().context("no stdout")?);
        Ok(Self {
            child,
            commands,
            answers,
        })
    }

    /// Gives a command and waits for its answer.
    pub(crate) fn ask(&mut self, command: &str) -> Result<Answer> {
        let line = self.line(command)?;
        serde_json::from_str(&line).with_context(|| format!("not an answer: {line}"))
    }

    /// The different states that proxies hold, each with the number of proxies.
    pub(crate) fn states(&mut self) -> Result<BTreeMap<String, u64>> {
        let line = self.line("state")?;
        let states: States = serde_json::from_str(&line)?;
        Ok(states.states)
    }

    /// Ends it.
    pub(crate) fn end(self) -> Result<()> {
        let Self {
            mut child,
            commands,
            answers,
        } = self;
        drop((commands, answers));
        let status = child.wait()?;
        ensure!(status.success(), "meltemi-xload ended with {status}");
        Ok(())
    }

    fn line(&mut self, command: &str) -> Result<String> {
        writeln!(self.commands, "{command}")?;
        self.commands.flush()?;
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            bail!("meltemi-xload ended at {command:?}: {}", self.child.wait()?);
        }
        Ok(line)
    }
}
