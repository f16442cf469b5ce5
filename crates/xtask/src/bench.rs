//! `cargo xtask bench`: numbers that must hold, in a release build. Exit 1 when one does not.

mod cost;
mod dns;
mod edit;
mod flips;
mod identity;
mod load;
mod pods;
mod rotation;
mod spine;
mod start;
mod table;

use crate::shell::{self, cargo};
use anyhow::Result;
use clap::ValueEnum;
use meltemi_testkit::paths;
use std::path::PathBuf;

/// Flags of the benchmarks.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which benchmark.
    #[arg(value_enum)]
    name: Name,
    /// How long `rotation` lets certificates be replaced.
    #[arg(long, default_value_t = 10)]
    minutes: u32,
    /// Another control plane to measure beside ours; none of the benchmarks has one yet.
    #[arg(long, value_name = "PATH")]
    peer_bin: Option<PathBuf>,
    /// This process runs in the network of a cluster already.
    #[arg(long, hide = true)]
    inside: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// Names of the mesh a second, asked of the agent of a pod over UDP.
    Dns,
    /// From the rename of a file to the first of 20 requests in a row answered by the new rule.
    Edit,
    /// From the change of an EndpointSlice to the new endpoint in a real Envoy, 200 times.
    Flips,
    /// Certificates of workloads a second of one core, over TLS and gRPC, for P-256 and RSA keys.
    Identity,
    /// Pods injected a second of one core over HTTPS, then names answered by the agent of a pod.
    Pods,
    /// 100 requests a second over mTLS while roots and certificates are replaced, and while nobody signs.
    Rotation,
    /// 500 services, 200 equal proxies, one core: work, bytes, CPU, memory, restarts.
    Spine,
    /// From the start of the process to ready, on a cluster of 1,000 services and 10,000 pods.
    Start,
}

/// Runs a benchmark; 1 when a number misses its bound.
pub(crate) fn run(args: &Args) -> Result<u8> {
    if args.peer_bin.is_some() {
        eprintln!("no benchmark has a peer yet; leave --peer-bin out");
        return Ok(crate::USAGE);
    }
    let held = match args.name {
        Name::Dns => dns::run()?,
        Name::Edit => edit::run()?,
        Name::Flips => flips::run(args.inside)?,
        Name::Identity => identity::run()?,
        Name::Pods => pods::run()?,
        Name::Rotation => rotation::run(args.minutes)?,
        Name::Spine => spine::run()?,
        Name::Start => start::run()?,
    };
    Ok(if held { 0 } else { crate::NEGATIVE })
}

/// Builds everything that is measured or measures, and says where the binaries are. Always the same
/// packages, so that one benchmark does not make the next one build its dependencies anew. Whoever
/// names the directory of the binaries (`MELTEMI_BIN_DIR`) has built them.
fn release() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("MELTEMI_BIN_DIR") {
        let dir = PathBuf::from(dir);
        shell::say(&format!("as built, in {}", dir.display()));
        return Ok(dir);
    }
    let packages = ["meltemid", "meltemi-agent", "meltemi-echo"];
    let mut command = cargo(&[
        "build",
        "--release",
        "--bins",
        "--package",
        "meltemi-testkit",
    ]);
    command.args(packages.iter().flat_map(|name| ["--package", name]));
    shell::run(
        "building for release (minutes when it is the first time)",
        &mut command,
    )?;
    Ok(paths::target()?.join("release"))
}

/// Nearest rank; the values are sorted.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=50).map(f64::from).collect();
        assert!((percentile(&values, 50) - 25.0).abs() < f64::EPSILON);
        assert!((percentile(&values, 99) - 50.0).abs() < f64::EPSILON);
    }
}
