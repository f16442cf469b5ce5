//! `bench start`: what a control plane costs that starts on a cluster of 1,000 services with ten
//! pods each.
//!
//! A release build reads everything that it watches from a double of the API server, as streaming
//! lists; objects are as large as a cluster has them. Both run on this machine, so the time to
//! ready has the double's part in it. Plaintext only: the double keeps no Secret for an authority.

mod world;

use super::cost::Cost;
use super::table::Table;
use crate::shell::say;
use anyhow::{Context, Result};
use meltemi_testkit::api_server::{ApiServer, Resource};
use meltemi_testkit::paths::{self, Scratch};
use meltemi_testkit::plane::{Options, Plane};
use std::path::Path;
use std::time::{Duration, Instant};
use world::SERVICES;

const STARTS: usize = 5;
const READY_MS: f64 = 1000.0;
const RSS_MIB: f64 = 80.0;

/// What one start took.
struct Start {
    ready: Duration,
    cost: Cost,
}

/// True when the bounds hold.
pub(crate) fn run() -> Result<bool> {
    say("five starts on a cluster of 1,000 services, 1,000 slices, 10,000 pods and 100 nodes");
    let dir = super::release()?;
    let scratch = Scratch::new("bench-start")?;
    let server = ApiServer::start()?;
    install(&server, &paths::repository().join("crds"))?;
    world::fill(&server);
    let mut options = Options::new(
        paths::binary_in(&dir, "meltemid")?,
        String::new(),
        scratch.path().to_path_buf(),
    );
    options.config = Vec::new();
    let kubeconfig = server.kubeconfig(scratch.path())?.into_os_string();
    options.args = vec!["--kubeconfig".into(), kubeconfig];
    let closed = [
        "--secureGRPCAddr=",
        "--httpAddr=127.0.0.1:0",
        "--monitoringAddr=",
    ];
    options.args.extend(closed.map(Into::into));
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        starts.push(start(&options)?);
    }
    let mut table = Table::default();
    table.note(
        "bytes of all objects",
        &format!("{:.1} MiB", server.size() as f64 / f64::from(1 << 20)),
    );
    report(&mut table, &starts);
    Ok(table.end())
}

/// Every kind whose definition is in `dir`, as GROUP_PLURAL.yaml, exists.
fn install(server: &ApiServer, dir: &Path) -> Result<()> {
    let entries = std::fs::read_dir(dir);
    for entry in entries.with_context(|| format!("cannot read {}", dir.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let kind = name
            .strip_suffix(".yaml")
            .and_then(|name| name.split_once('_'));
        if let Some((group, plural)) = kind {
            server.install(&Resource::new(group, plural));
        }
    }
    Ok(())
}

/// Starts a control plane, looks whether it has read everything, and ends it.
fn start(options: &Options) -> Result<Start> {
    let begun = Instant::now();
    let mut plane = Plane::start(options)?;
    let ready = begun.elapsed();
    let cost = Cost::of(plane.pid())?;
    let seen = plane.get("/debug/endpointz")?;
    let last = world::last_address();
    anyhow::ensure!(
        seen.contains(&last) && seen.matches(world::ADDRESSES).count() >= SERVICES,
        "it is ready without the endpoint {last}"
    );
    plane.stop()?;
    Ok(Start { ready, cost })
}

fn report(table: &mut Table, starts: &[Start]) {
    let median = |value: &dyn Fn(&Start) -> f64| {
        let mut all: Vec<f64> = starts.iter().map(value).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let worst = |value: &dyn Fn(&Start) -> f64| starts.iter().map(value).fold(0.0, f64::max);
    let ready = |start: &Start| start.ready.as_secs_f64() * 1000.0;
    table.note("starts", &starts.len().to_string());
    table.at_most("process to ready, median", median(&ready), (READY_MS, "ms"));
    table.note(
        "process to ready, slowest",
        &format!("{:.0} ms", worst(&ready)),
    );
    let cpu = median(&|start| start.cost.cpu().as_secs_f64() * 1000.0);
    table.note("CPU until ready, median", &format!("{cpu:.0} ms"));
    table.at_most(
        "resident memory when ready, most of all",
        worst(&|start| start.cost.resident_mib()),
        (RSS_MIB, "MiB"),
    );
    let anonymous = worst(&|start| start.cost.anonymous_mib());
    table.note(
        "of it no part of the program, most of all",
        &format!("{anonymous:.2} MiB"),
    );
    table.at_most(
        "highest resident memory until ready, most of all",
        worst(&|start| start.cost.highest_mib()),
        (RSS_MIB, "MiB"),
    );
}
