//! `bench flips`: from the change of an EndpointSlice to the new endpoint in a real Envoy.
//!
//! On the one-node cluster when this machine can have one: the slice of a Service without a
//! selector is patched through the API server, `meltemid` reads it as it does everywhere, and an
//! Envoy that subscribes sends requests until the new endpoint answers. All of it runs in the
//! network of the node, this program too: it starts itself there again. Without a cluster the
//! double of the API server stands in, and the table says so.

mod api;
mod scene;

use super::percentile;
use super::table::Table;
use crate::cluster::programs;
use crate::shell::say;
use anyhow::{Context, Result, bail};
use api::Api;
use meltemi_testkit::cluster::places::{self, PROGRAMS};
use meltemi_testkit::cluster::{self, Cluster, Lifetime, Options};
use meltemi_testkit::paths::Scratch;
use scene::Scene;
use std::process::Command;

const FLIPS: usize = 200;
const P99_MS: f64 = 100.0;
/// The name of the cluster.
const NAME: &str = "bench";

/// True when the bound holds.
pub(crate) fn run(inside: bool) -> Result<bool> {
    let scratch = Scratch::new("bench-flips")?;
    if inside {
        return measure(Api::of_cluster(scratch.path())?, &scratch);
    }
    say("200 changes of an EndpointSlice, each until its endpoint answers a request");
    super::release()?;
    crate::fetch::envoy()?;
    match is_possible() {
        Ok(()) => on_cluster(),
        Err(why) => {
            say(&format!(
                "no cluster, so a double of the API server: {why:#}"
            ));
            measure(Api::of_double()?, &scratch)
        }
    }
}

/// Whether a cluster can be had without building one for a quarter of an hour.
fn is_possible() -> Result<()> {
    cluster::check_needs()?;
    PROGRAMS
        .iter()
        .try_for_each(|(name, _, _)| places::program(name).map(drop))
}

/// Starts a cluster, and this program in its network.
fn on_cluster() -> Result<bool> {
    programs()?;
    cluster::sweep()?;
    let options = Options {
        name: NAME.to_owned(),
        lifetime: Lifetime::Owned,
        images: Vec::new(),
    };
    let cluster = Cluster::up(&options, &mut say)?;
    let mut again: Command = cluster.command(&std::env::current_exe()?);
    again.args(["bench", "flips", "--inside"]);
    let status = again
        .status()
        .context("cannot start in the cluster's network")?;
    cluster.down()?;
    match status.code() {
        Some(0) => Ok(true),
        Some(code) if code == i32::from(crate::NEGATIVE) => Ok(false),
        _ => bail!("the benchmark in the cluster's network ended with {status}"),
    }
}

/// Flips and tells.
fn measure(api: Api, scratch: &Scratch) -> Result<bool> {
    let mut table = Table::default();
    table.note("API server", api.what());
    let mut scene = Scene::start(api, scratch.path())?;
    // The first only makes sure where the rounds start from.
    scene.flip()?;
    let (mut seen, mut told) = (Vec::new(), Vec::new());
    for _ in 0..FLIPS {
        let flip = scene.flip()?;
        seen.push(flip.seen.as_secs_f64() * 1000.0);
        told.extend(flip.told.map(|told| told.as_secs_f64() * 1000.0));
    }
    scene.end()?;
    table.note("flips", &seen.len().to_string());
    for times in [&mut seen, &mut told] {
        times.sort_by(f64::total_cmp);
    }
    if !told.is_empty() {
        let part = |percent| format!("{:.2} ms", percentile(&told, percent));
        table.note("of it the API server: patch to watch, p50", &part(50));
        table.note("of it the API server: patch to watch, p99", &part(99));
    }
    let p50 = percentile(&seen, 50);
    table.note(
        "patch to an answer of the new endpoint, p50",
        &format!("{p50:.2} ms"),
    );
    table.at_most(
        "patch to an answer of the new endpoint, p99",
        percentile(&seen, 99),
        (P99_MS, "ms"),
    );
    Ok(table.end())
}
