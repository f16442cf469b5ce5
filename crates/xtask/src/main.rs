//! The project's tasks: `cargo xtask demo`, `test`, `bless`, `ci`, `bench`, `fuzz`, `guards`, `generate`, `cluster`,
//! `e2e`.
//!
//! stdout is the answer (the lines of the demo, the tables of the benchmarks), stderr is progress.
//! Exit codes: 0 fine, 1 a negative answer, 64 wrong usage, 69 the machine cannot do it,
//! 70 our own bug, 130 interrupted.

mod bench;
mod ci;
mod cluster;
mod demo;
mod e2e;
mod fetch;
mod fuzz;
mod generate;
mod guards;
mod shell;
mod signals;
mod tests;

use clap::{Parser, Subcommand};
use meltemi_testkit::cluster::Unavailable;
use std::process::ExitCode;

/// A negative answer.
const NEGATIVE: u8 = 1;
/// Wrong usage.
const USAGE: u8 = 64;
/// The machine lacks what the task needs.
const UNAVAILABLE: u8 = 69;

/// The project's tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// A mesh on this machine: control plane, four workloads, real Envoys, real requests.
    Demo(demo::Args),
    /// Fetch Envoy, build everything, run all tests.
    Test {
        /// Only tests whose name contains this.
        filter: Option<String>,
    },
    /// Write what the golden tests got into their expectations.
    Bless {
        /// Only cases whose name contains this.
        filter: Option<String>,
    },
    /// Everything that must hold before a merge.
    Ci(ci::Args),
    /// Measure: `edit` (rename to live), `spine` (many proxies, one core), and more.
    Bench(bench::Args),
    /// Any bytes into the readers, with libFuzzer.
    Fuzz(fuzz::Args),
    /// Take guards away, one at a time: the attack that each holds off must be noticed.
    Guards(guards::Args),
    /// A real Kubernetes node for tests.
    Cluster(cluster::Args),
    /// Tests on the Kubernetes node.
    E2e {
        /// Only tests whose name contains this.
        filter: Option<String>,
    },
    /// Write generated files (docs/codes.md, crds/, manifests/cluster), or check that they are current.
    Generate {
        /// Change nothing; fail when a file is not current.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == "guard") {
        return meltemi_testkit::guard::run(words);
    }
    match Args::try_parse() {
        Ok(args) => answer(run(args.task)),
        Err(error) => {
            // Help is no mistake; printing can only fail when nobody reads.
            let _unread = error.print();
            ExitCode::from(if error.use_stderr() { USAGE } else { 0 })
        }
    }
}

fn run(task: Task) -> anyhow::Result<u8> {
    match task {
        Task::Demo(args) => demo::run(&args),
        Task::Test { filter } => tests::run(filter.as_deref()),
        Task::Bless { filter } => tests::bless(filter.as_deref()),
        Task::Ci(args) => ci::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Fuzz(args) => fuzz::fuzz(&args),
        Task::Guards(args) => guards::run(&args),
        Task::Cluster(args) => cluster::run(&args),
        Task::E2e { filter } => e2e::run(filter.as_deref()),
        Task::Generate { check: true } => generate::check(),
        Task::Generate { check: false } => generate::write(),
    }
}

fn answer(result: anyhow::Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            let lacks = error.downcast_ref::<Unavailable>().is_some();
            ExitCode::from(if lacks { UNAVAILABLE } else { NEGATIVE })
        }
    }
}
