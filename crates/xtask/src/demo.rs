//! `cargo xtask demo`: a mesh on this machine, shown step by step.
//!
//! The demo runs on a copy of `manifests/demo` and `manifests/identity` below the target directory,
//! with addresses and ports of its own, so two of them run side by side and nobody's checkout is edited.

mod identity;
mod lines;
mod pair;
mod pod;
mod runs;
pub(crate) mod scene;
mod steps;

use crate::shell::{self, cargo, say};
use crate::signals::Interrupts;
use crate::{NEGATIVE, fetch};
use anyhow::Result;
use clap::ValueEnum;
use lines::Lines;
use meltemi_bootstrap::XdsProtocol;
use meltemi_testkit::mesh::{Mesh, Plan, Programs};
use meltemi_testkit::paths::{self, Scratch};
use pair::Pair;
use pod::Kit;
use scene::Scene;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Flags of the demo.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run every step and end: exit 0, or 1 naming the step that failed.
    #[arg(long)]
    once: bool,
    /// Leave the run directory (configuration, logs) behind.
    #[arg(long)]
    keep: bool,
    /// How each step is told on stdout.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// Which ADS protocol the Envoys speak.
    #[arg(long, value_enum, default_value = "delta")]
    protocol: Protocol,
    /// Envoy's binary, instead of the one that is found or fetched.
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
}

/// How steps are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// In plain words.
    Text,
    /// One JSON object a line.
    Json,
}

/// The two protocols of ADS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// Only what changed.
    Delta,
    /// State of the world.
    Sotw,
}

/// Builds, starts, shows, and stays until Ctrl-C unless told otherwise.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let started = Instant::now();
    say("a mesh on this machine: build it, start it, send requests, edit a file");
    let interrupts = Interrupts::watch()?;
    let programs = programs(args)?;
    let target = paths::target()?;
    runs::sweep(&target)?;
    let mut scratch = Scratch::at(runs::own(&target))?;
    let dir = scratch.path().to_path_buf();
    interrupts.remove((!args.keep).then(|| dir.clone()));
    let result = play(args, &programs, (&dir, &interrupts));
    if args.keep || !matches!(result, Ok(0)) {
        scratch.keep();
        runs::keep(&dir)?;
        say(&format!("configuration and logs are in {}", dir.display()));
    }
    say(&format!(
        "the demo ended after {:.0} s",
        started.elapsed().as_secs_f32()
    ));
    result
}

/// What pods are made with.
fn kit(envoy: &Path, dir: &Path) -> Result<Kit> {
    Ok(Kit {
        agent: paths::binary("meltemi-agent")?,
        meltemi: paths::binary("meltemi")?,
        envoy: envoy.to_path_buf(),
        dir: dir.join("run"),
    })
}

/// Builds what is ours and finds or fetches Envoy.
fn programs(args: &Args) -> Result<Programs> {
    // Whoever names the directory of the binaries has built them.
    if std::env::var_os("MELTEMI_BIN_DIR").is_none() {
        let mut build = cargo(&["build"]);
        // At once: a second build would choose other features and begin again.
        for package in ["meltemid", "meltemi-agent", "meltemi-cli", "meltemi-echo"] {
            build.args(["--package", package]);
        }
        let what = "building the control plane, the agent and the workload";
        shell::run(what, &mut build)?;
    }
    let envoy = match &args.envoy {
        Some(path) => {
            meltemi_testkit::envoy::check(path)?;
            path.clone()
        }
        None => fetch::envoy()?,
    };
    let meltemid = paths::binary("meltemid")?;
    Ok(Programs {
        meltemid,
        echo: paths::binary("meltemi-echo")?,
        envoy,
    })
}

fn play(args: &Args, programs: &Programs, (dir, interrupts): (&Path, &Interrupts)) -> Result<u8> {
    let mut lines = Lines::new(args.output);
    let plan = Plan {
        files: Plan::read(&paths::repository().join("manifests/demo"))?,
        workloads: scene::workloads(),
        ports: scene::PORTS.to_vec(),
        protocol: match args.protocol {
            Protocol::Delta => XdsProtocol::Delta,
            Protocol::Sotw => XdsProtocol::Sotw,
        },
        flags: ["--secureGRPCAddr", "127.0.0.1:0"].map(Into::into).into(),
    };
    let started = Instant::now();
    let mesh = Mesh::start_telling(programs, &plan, dir, &mut say)?;
    let scene = Scene::new(mesh, started.elapsed());
    if !lines.show_all(&steps::TRAFFIC, &scene)? {
        return Ok(NEGATIVE);
    }
    let kit = kit(&programs.envoy, dir)?;
    let pair = Pair::join(scene.mesh(), (&kit, &programs.echo))?;
    say("two pods have joined, each with an agent that got it a certificate");
    let scene = scene.joined(pair);
    if !lines.show_all(&identity::STEPS, &scene)? || !lines.show_all(&steps::LAST, &scene)? {
        return Ok(NEGATIVE);
    }
    if !args.once {
        scene.invite();
        stay(scene.mesh(), &interrupts.tell())?;
    }
    say("stopping");
    scene.end()?;
    Ok(0)
}

/// Waits for Ctrl-C, and notices when the control plane dies.
fn stay(mesh: &Mesh, interrupted: &Receiver<()>) -> Result<()> {
    while interrupted.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        mesh.plane.get("/ready")?;
    }
    Ok(())
}
