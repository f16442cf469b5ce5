//! Calls at a rate, by the echo (`meltemi-echo --call`): from outside of every pod, from inside of
//! one, and by a pod that does nothing else.

use anyhow::{Context, Result, ensure};
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::wait;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where the echo is in its image.
const INSIDE: &str = "/usr/local/bin/meltemi-echo";
/// How long the first calls may take.
const DEADLINE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

/// What came back so far.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Tally {
    /// Calls that have ended.
    pub ended: u64,
    /// Those of them that were not answered with 200 within 30 s.
    pub failed: u64,
    /// Why the first of those failed.
    pub why: Vec<String>,
    /// Answers, by the workload that gave them.
    pub by: BTreeMap<String, u64>,
    /// The slowest answer, in milliseconds.
    pub slowest: u64,
    /// The last answer.
    pub last: String,
}

impl Tally {
    /// Fails unless there were calls, and all were answered.
    ///
    /// # Errors
    /// A call failed; the error says why.
    pub fn whole(self) -> Result<Self> {
        ensure!(self.ended > 0, "nothing was called");
        ensure!(self.failed == 0, "calls failed: {self:#?}");
        Ok(self)
    }

    /// The last line of what the program printed, of those that are whole.
    fn read(said: &str) -> Result<Self> {
        let mut lines = said.lines().rev();
        let found = lines.find_map(|line| serde_json::from_str(line).ok());
        found.with_context(|| format!("no count of calls: {said}"))
    }

    fn of(command: &mut Command) -> Result<Self> {
        let out = command.output().context("cannot run the caller")?;
        let said = String::from_utf8_lossy(&out.stdout);
        let error = String::from_utf8_lossy(&out.stderr);
        Self::read(&said).with_context(|| format!("{}: {error}", out.status))
    }
}

/// Calls from the node, outside of every pod, to the end.
///
/// # Errors
/// The program cannot be run.
pub fn outside(kubectl: &Kubectl, flags: &[&str]) -> Result<Tally> {
    Tally::of(&mut kubectl.beside(paths::binary("meltemi-echo")?, flags))
}

/// Calls from inside of a pod's container `echo`, to the end.
///
/// # Errors
/// The program cannot be run.
pub fn inside(kubectl: &Kubectl, pod: &[&str], flags: &[&str]) -> Result<Tally> {
    let words = [&["exec"], pod, &["--container=echo", "--", INSIDE], flags].concat();
    Tally::of(&mut kubectl.command(&words))
}

/// Calls that go on until the value is dropped, from outside of every pod.
#[derive(Debug)]
pub struct Outside {
    child: Child,
    scratch: Scratch,
}

impl Outside {
    /// Starts.
    ///
    /// # Errors
    /// The first calls fail.
    pub fn start(kubectl: &Kubectl, flags: &[&str]) -> Result<Self> {
        let scratch = Scratch::new("outside")?;
        let said = File::create(scratch.path().join("said"))?;
        let mut command = kubectl.beside(paths::binary("meltemi-echo")?, flags);
        let child = command.stdin(Stdio::null()).stdout(said).spawn();
        let child = child.context("cannot run the caller")?;
        let calls = Self { child, scratch };
        begun("calls from outside", || calls.seen())?;
        Ok(calls)
    }

    /// What came back so far.
    ///
    /// # Errors
    /// Nothing was written.
    pub fn seen(&self) -> Result<Tally> {
        Tally::read(&std::fs::read_to_string(self.scratch.path().join("said"))?)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _gone = self.child.kill().and_then(|()| self.child.wait().map(drop));
    }
}

/// A pod whose application calls as long as the pod is there.
#[derive(Debug)]
pub struct Inside<'a> {
    kubectl: &'a Kubectl,
    space: String,
}

impl<'a> Inside<'a> {
    /// Starts it, as the pod `calls` of a namespace.
    ///
    /// # Errors
    /// The first calls fail.
    pub fn start(kubectl: &'a Kubectl, space: &str, flags: &[&str]) -> Result<Self> {
        let pod = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "calls", "namespace": space},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{
                    "name": "echo",
                    "image": "docker.io/meltemi/echo:dev",
                    "imagePullPolicy": "Never",
                    "args": flags,
                }],
            },
        });
        kubectl.apply(&pod.to_string())?;
        let space = format!("--namespace={space}");
        let calls = Self { kubectl, space };
        begun("calls from a pod", || calls.seen())?;
        Ok(calls)
    }

    /// What came back so far.
    ///
    /// # Errors
    /// Its log cannot be read.
    pub fn seen(&self) -> Result<Tally> {
        let log = ["logs", "calls", "--container=echo", "--tail=1", &self.space];
        Tally::read(&self.kubectl.run(&log)?)
    }
}

fn begun(what: &str, seen: impl Fn() -> Result<Tally>) -> Result<()> {
    let first = wait::every(what, (DEADLINE, LOOK), || {
        Ok(seen().ok().filter(|seen| seen.ended > 0))
    })?;
    first.whole().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"ended":2,"failed":1,"why":["x"],"by":{"v1":1},"slowest":3,"last":""}"#;

    #[test]
    fn the_last_whole_line_counts() {
        let older = LINE.replace("\"ended\":2", "\"ended\":1");
        let said = format!("{older}\nnoise\n{LINE}\n{{\"ended\":3,\"fai");
        assert_eq!(Tally::read(&said).unwrap().ended, 2);
        assert!(Tally::read("noise").is_err());
    }

    #[test]
    fn a_failed_call_and_no_call_are_failures() {
        let tally = Tally::read(LINE).unwrap();
        assert!(tally.clone().whole().is_err());
        assert!(Tally::default().whole().is_err());
        assert!(Tally { failed: 0, ..tally }.whole().is_ok());
    }
}
