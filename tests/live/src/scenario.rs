//! A scenario's configuration in a real Envoy that is asked where each call goes.
//!
//! The resources are those of `meltemi translate --scenario`. Only what surrounds the decision is
//! changed: every cluster has one endpoint that hangs up (Envoy counts the connection),
//! certificates are of this run, and one listener on loopback takes all connections. The PROXY
//! protocol tells it where a connection was going, so Envoy's own listener choice is tested too.

pub mod call;
pub mod certificates;
pub mod observe;
pub mod strip;
pub mod upstream;

use anyhow::{Context, Result};
use call::Caller;
use certificates::Certificates;
use meltemi_testkit::envoy::{self, Envoy, Options};
use meltemi_testkit::paths::{self, Scratch};
use observe::Names;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use upstream::Upstream;

const START: Duration = Duration::from_secs(30);

/// The files of a directory and below, sorted, that are YAML.
///
/// # Errors
/// A directory cannot be read.
pub fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|e| e == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// What the simulator says of the calls of a scenario, call by call.
///
/// # Errors
/// `meltemi test` cannot be run.
pub fn simulated(file: &Path) -> Result<Vec<Value>> {
    let out = Command::new(paths::binary("meltemi")?)
        .args(["test", "-o", "json"])
        .arg(file)
        .output()?;
    let text = String::from_utf8(out.stdout)?;
    let lines = text.lines().map(serde_json::from_str);
    let lines: Vec<Value> = lines.collect::<Result<_, _>>()?;
    let is_call = |line: &Value| line.get("kind").is_some_and(|kind| kind == "call");
    Ok(lines.into_iter().filter(is_call).collect())
}

/// What is around the Envoys of one run.
#[derive(Debug)]
pub struct Surroundings {
    /// What both sides of TLS show.
    pub certificates: Certificates,
    /// What every cluster leads to.
    pub upstream: Upstream,
}

impl Surroundings {
    /// Makes them.
    ///
    /// # Errors
    /// There is no `openssl`, or no port.
    pub fn make() -> Result<Self> {
        Ok(Self {
            certificates: Certificates::make()?,
            upstream: Upstream::start()?,
        })
    }
}

/// A real Envoy with the configuration of a scenario.
pub struct Stage {
    envoy: Envoy,
    caller: Caller,
    names: Names,
    _scratch: Scratch,
}

impl Stage {
    /// Starts Envoy for a scenario.
    ///
    /// # Errors
    /// Envoy refuses the configuration, or does not start.
    pub fn start(file: &Path, around: &Surroundings) -> Result<Self> {
        let out = Command::new(paths::binary("meltemi")?)
            .args(["translate", "-o", "json", "--form", "static", "--scenario"])
            .arg(file)
            .output()?;
        let mut bootstrap: Value = serde_json::from_slice(&out.stdout)
            .with_context(|| String::from_utf8_lossy(&out.stderr).into_owned())?;
        let names = strip::strip(&mut bootstrap, around)?;
        let scratch = Scratch::new("scenario")?;
        let options = Options {
            name: "envoy".into(),
            concurrency: 1,
            dir: scratch.path().to_owned(),
        };
        let envoy = Envoy::start(&envoy::find()?, &bootstrap, &options)?;
        envoy.admin().wait_live(START)?;
        let listeners = envoy.admin().json("/listeners?format=json")?;
        let caller = Caller::new(&listeners, &around.certificates)?;
        Ok(Self {
            envoy,
            caller,
            names,
            _scratch: scratch,
        })
    }

    /// Makes a call (as the scenario writes it) and says how Envoy differs from what the simulator
    /// `got`; nothing when they agree.
    ///
    /// # Errors
    /// The call cannot be made, or Envoy says nothing of it.
    pub fn compare(&self, call: &Value, got: &Value) -> Result<Vec<String>> {
        let before = self.envoy.admin().stats()?;
        let connection = self.caller.call(call)?;
        let after = observe::end(self.envoy.admin(), &before)?;
        drop(connection);
        observe::quiet(self.envoy.admin())?;
        Ok(observe::differences(&self.names, (&before, &after), got))
    }
}
