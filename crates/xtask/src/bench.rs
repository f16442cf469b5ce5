//! `cargo xtask bench`: numbers that must hold, in a release build. Exit 1 when one does not.

mod edit;
mod spine;
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
    /// Another control plane to measure beside ours; none of the benchmarks has one yet.
    #[arg(long, value_name = "PATH")]
    peer_bin: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// From the rename of a file to the first of 20 requests in a row answered by the new rule.
    Edit,
    /// 500 services, 200 equal proxies, one core: work, bytes, CPU, memory, restarts.
    Spine,
}

/// Runs a benchmark; 1 when a number misses its bound.
pub(crate) fn run(args: &Args) -> Result<u8> {
    if args.peer_bin.is_some() {
        eprintln!("no benchmark has a peer yet; leave --peer-bin out");
        return Ok(crate::USAGE);
    }
    let held = match args.name {
        Name::Edit => edit::run()?,
        Name::Spine => spine::run()?,
    };
    Ok(if held { 0 } else { crate::NEGATIVE })
}

/// Builds everything that is measured or measures, and says where the binaries are. Always the same
/// packages, so that one benchmark does not make the next one build its dependencies anew.
fn release() -> Result<PathBuf> {
    let packages = ["--package", "meltemid", "--package", "meltemi-echo"];
    let mut command = cargo(&[
        "build",
        "--release",
        "--bins",
        "--package",
        "meltemi-testkit",
    ]);
    command.args(packages);
    shell::run(
        "building for release (minutes when it is the first time)",
        &mut command,
    )?;
    Ok(paths::target()?.join("release"))
}
