//! A running shop and the questions that tests ask it.

use crate::load::Load;
use crate::shop;
use anyhow::{Context, Result, ensure};
use meltemi_testkit::http::{Client, Request, Response};
use meltemi_testkit::mesh::{Mesh, Plan, Programs};
use meltemi_testkit::paths::Scratch;
use meltemi_testkit::wait;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// How long a change may take to arrive, on a machine that is busy with other tests.
pub const SOON: Duration = Duration::from_secs(20);

/// A running shop.
#[derive(Debug)]
pub struct Scene {
    /// Its processes and its files.
    pub mesh: Mesh,
    client: Client,
}

/// Runs a shop and plays `play` on it; every Envoy must be healthy at the end, that is: no update
/// was rejected, every subscription was answered, nothing is warming, the server is LIVE.
///
/// # Errors
/// What failed first; the error names the directory with all logs.
pub fn run(name: &str, plan: &Plan, play: impl FnOnce(&mut Scene) -> Result<()>) -> Result<()> {
    let mut scratch = Scratch::new(name)?;
    let result = perform(scratch.path(), plan, play);
    if result.is_err() {
        scratch.keep();
    }
    result.with_context(|| format!("the logs are in {}", scratch.path().display()))
}

fn perform(dir: &Path, plan: &Plan, play: impl FnOnce(&mut Scene) -> Result<()>) -> Result<()> {
    let mut scene = Scene {
        mesh: Mesh::start(&Programs::find()?, plan, dir)?,
        client: Client::new(Duration::from_secs(10)),
    };
    scene.wait_answer("reviews", "one v1")?;
    scene.wait_answer("details", "one v1")?;
    play(&mut scene)?;
    scene.mesh.wait_healthy()?;
    scene.mesh.plane.stop()
}

impl Scene {
    /// Where the client's application reaches every service.
    ///
    /// # Errors
    /// Not an address.
    pub fn door(&self) -> Result<SocketAddr> {
        self.mesh.at(shop::DOOR.0, shop::DOOR.1)
    }

    /// The client's application asks a service.
    ///
    /// # Errors
    /// No answer.
    pub fn ask(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> Result<Response> {
        let request = Request::get(self.door()?, host, path);
        self.client.send(&Request { headers, ..request })
    }

    /// Asks several times and counts the workloads that answered.
    ///
    /// # Errors
    /// No answer.
    pub fn count(
        &self,
        times: u32,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<BTreeMap<String, u32>> {
        let mut counts = BTreeMap::new();
        for _ in 0..times {
            let answer = self.ask("reviews", path, headers)?;
            *counts.entry(who(&answer)).or_default() += 1;
        }
        Ok(counts)
    }

    /// Waits until a service answers as wanted: `VERSION WORKLOAD`.
    ///
    /// # Errors
    /// It does not in time.
    pub fn wait_answer(&self, host: &str, want: &str) -> Result<()> {
        let what = format!("{host} to answer {want:?}");
        wait::until(&what, SOON, || {
            let answer = self.ask(host, "/", &[])?;
            let got = format!("{} {}", answer.header("x-version"), who(&answer));
            ensure!(got == want, "it answers {got:?}");
            Ok(Some(()))
        })
    }

    /// Waits until a service answers with a status.
    ///
    /// # Errors
    /// It does not in time.
    pub fn wait_status(&self, host: &str, want: u16) -> Result<()> {
        let what = format!("{host} to answer with status {want}");
        wait::until(&what, SOON, || {
            let got = self.ask(host, "/", &[])?.status;
            ensure!(got == want, "it answers with status {got}");
            Ok(Some(()))
        })
    }

    /// Starts a steady load on a service, and waits for its first answers.
    ///
    /// # Errors
    /// There are none.
    pub fn load(&self, host: &str) -> Result<Load> {
        let load = Load::start(self.door()?, host);
        wait::until("the load to run", SOON, || {
            Ok((load.sent() >= 5).then_some(()))
        })?;
        Ok(load)
    }

    /// What is wrong now, according to `/debug/diagnosticz`.
    ///
    /// # Errors
    /// The page does not answer as it should.
    pub fn diagnostics(&self) -> Result<Vec<Value>> {
        let page = self.mesh.plane.diagnostics()?;
        let list = page.get("diagnostics").and_then(Value::as_array).cloned();
        list.with_context(|| format!("not a list of diagnostics: {page}"))
    }

    /// Waits until exactly one thing is wrong.
    ///
    /// # Errors
    /// It is not in time.
    pub fn wait_diagnostic(&self) -> Result<Value> {
        wait::until("exactly one diagnostic", SOON, || {
            let all = self.diagnostics()?;
            match all.as_slice() {
                [one] => Ok(Some(one.clone())),
                others => anyhow::bail!("there are {}: {others:?}", others.len()),
            }
        })
    }

    /// Waits until nothing is wrong.
    ///
    /// # Errors
    /// Something still is.
    pub fn wait_no_diagnostics(&self) -> Result<()> {
        wait::until("no diagnostics", SOON, || {
            let all = self.diagnostics()?;
            ensure!(all.is_empty(), "there are {}: {all:?}", all.len());
            Ok(Some(()))
        })
    }

    /// Waits until the control plane has every Envoy of the mesh, and each has acknowledged all.
    ///
    /// # Errors
    /// It has not in time.
    pub fn wait_synced(&self) -> Result<()> {
        wait::until("every Envoy to be synced", SOON, || {
            let page = self.mesh.plane.json("/debug/syncz")?;
            let proxies = page.as_array().map(Vec::as_slice).unwrap_or_default();
            let synced = proxies.iter().filter(|proxy| is_synced(proxy)).count();
            ensure!(synced == self.mesh.members.len(), "not synced: {page}");
            Ok(Some(()))
        })
    }
}

/// Clusters and listeners are subscribed to at least, and every type is acknowledged.
fn is_synced(proxy: &Value) -> bool {
    let types = proxy.get("types").and_then(Value::as_array);
    let types = types.map(Vec::as_slice).unwrap_or_default();
    types.len() >= 2 && types.iter().all(|t| t["state"] == "SYNCED")
}

/// The workload that answered, or the status when nobody did.
#[must_use]
pub fn who(answer: &Response) -> String {
    match (answer.status, answer.header("x-workload")) {
        (200, name) if !name.is_empty() => name.to_owned(),
        (status, _) => status.to_string(),
    }
}
