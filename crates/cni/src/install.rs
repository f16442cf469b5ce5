//! `install`: keeps the plugin on this node. The binary, the way to the API server and the entry in
//! the node's network configuration are looked at whenever something changes and every ten seconds;
//! what somebody has overwritten is put back. Not ready means that pods would come up without rules.
//!
//! On SIGTERM it takes the entry out again, unless its DaemonSet stays: then another pod of it
//! follows, and until then pods must not start without rules.

mod access;
mod args;
mod conflist;
mod door;
mod file;
mod network;
mod watch;

pub(crate) use args::Args;

use access::Credentials;
use door::{Door, FAMILIES};
use meltemi_kube::{Access, AskError, Pods, connect};
use meltemi_runtime::drain::{self, Signals};
use meltemi_runtime::metrics::Metrics;
use meltemi_runtime::trace::{self, Format};
use network::Network;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use crate::USAGE;

/// A port is taken, or a folder cannot be used.
const UNAVAILABLE: u8 = 69;
/// Our own fault.
const INTERNAL: u8 = 70;
/// The name of the plugin in configurations, and of its file.
const NAME: &str = "meltemi-cni";
/// How often everything is looked at although nothing seems to have changed.
const SWEEP: Duration = Duration::from_secs(10);

/// Why it ends early: the code, and the reason.
type Failure = (u8, String);

/// Installs until told to end.
pub(crate) fn run(args: Args) -> ExitCode {
    if let Err(error) = trace::init(Format::Text, args.log.as_deref()) {
        eprintln!("{NAME}: {error}");
        return ExitCode::from(USAGE);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(live(args)),
        Err(error) => Err((INTERNAL, format!("cannot start: {error}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, reason)) => {
            tracing::error!(reason, "the plugin cannot be installed");
            ExitCode::from(code)
        }
    }
}

async fn live(args: Args) -> Result<(), Failure> {
    let metrics = Metrics::install(&FAMILIES).map_err(|e| (INTERNAL, e.to_string()))?;
    let mut signals = Signals::listen().map_err(|e| (INTERNAL, e.to_string()))?;
    let (drainer, drain) = drain::channel();
    let mut door = Door::open(&args, metrics, &drain).await?;
    let mut changes = watch::changes(&args.folders());
    let network = Network::new(&args);
    loop {
        door.tell(pass(&args, &network));
        tokio::select! {
            () = watch::next(&mut changes, SWEEP) => {}
            signal = signals.next() => {
                tracing::info!(?signal, "ending");
                break;
            }
        }
    }
    door.close();
    drainer.start();
    leave(&args, &network).await.map_err(|e| (UNAVAILABLE, e))
}

/// Brings everything to what is wanted; says what was changed.
fn pass(args: &Args, network: &Network) -> Result<Vec<String>, String> {
    let mut changed = Vec::new();
    let ours = std::env::current_exe().and_then(std::fs::read);
    let ours = ours.map_err(|e| format!("cannot read this program: {e}"))?;
    let mut put = |path: &Path, bytes: &[u8], mode: u32| -> Result<(), String> {
        if file::put(path, bytes, mode)? {
            changed.push(path.display().to_string());
        }
        Ok(())
    };
    put(&args.bin_dir.join(NAME), &ours, 0o755)?;
    let kubeconfig = Credentials::read(args)?.kubeconfig();
    put(&args.kubeconfig(), kubeconfig.as_bytes(), 0o600)?;
    // Last: from here on the runtime calls the plugin.
    changed.extend(network.install()?);
    Ok(changed)
}

/// Takes out what would call the plugin, then what only it needs. The binary stays: a runtime may
/// still have to take pods down by the configuration that it made them with.
async fn leave(args: &Args, network: &Network) -> Result<(), String> {
    if is_followed(args).await {
        tracing::info!("the DaemonSet stays, and so does the plugin");
        return Ok(());
    }
    for path in network.remove()? {
        tracing::info!(path, "taken out of the network of this node");
    }
    file::remove(&args.kubeconfig())
}

/// Whether another pod of the same DaemonSet takes over.
async fn is_followed(args: &Args) -> bool {
    if args.daemon_set.is_empty() {
        return false;
    }
    let access = Access::Kubeconfig(args.kubeconfig());
    let client = match connect(&access).await {
        Ok(client) => client,
        Err(error) => {
            tracing::warn!(%error, "cannot ask whether the DaemonSet stays");
            return true;
        }
    };
    let asked = Pods::new(client);
    match asked.is_kept(&args.pod_namespace, &args.daemon_set).await {
        Ok(kept) => kept,
        // The rights went away before the pod: everything goes.
        Err(AskError::Denied { .. }) => false,
        Err(
            error @ (AskError::Away { .. } | AskError::NotFound { .. } | AskError::Failed { .. }),
        ) => {
            tracing::warn!(%error, "cannot ask whether the DaemonSet stays");
            true
        }
    }
}
