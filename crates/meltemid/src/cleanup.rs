//! `meltemid cleanup`: what the chart's hook runs before an uninstallation.

use crate::wire::chain;
use clap::Parser;
use meltemi_kube::{Access, Cleanup, connect};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// The API server cannot be reached, or refuses.
const UNAVAILABLE: u8 = 69;
/// Wrong usage.
const USAGE: u8 = 64;

/// Ends one control plane and takes away what its process made: locks, and the root certificates
/// in all namespaces. The Secret istio-ca-secret stays.
#[derive(Debug, Parser)]
#[command(name = "meltemid cleanup")]
struct Args {
    /// Where the control plane is installed.
    #[arg(long, default_value = "istio-system")]
    namespace: String,
    /// Its revision.
    #[arg(long, default_value = "default")]
    revision: String,
    /// A kubeconfig; the default is the pod's own cluster.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// How logs look.
    #[arg(long, value_parser = ["text", "json"], default_value = "text")]
    log_format: String,
}

/// Runs it with the words behind `cleanup`.
pub(crate) fn main(words: impl Iterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(std::iter::once("meltemid cleanup".into()).chain(words)) {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            return match error.print() {
                Ok(()) | Err(_) => ExitCode::from(code),
            };
        }
    };
    match clean(args) {
        Ok(gone) => {
            for one in gone {
                println!("removed {one}");
            }
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("meltemid: {message}");
            ExitCode::from(UNAVAILABLE)
        }
    }
}

fn clean(args: Args) -> Result<Vec<String>, String> {
    let Args {
        namespace,
        revision,
        kubeconfig,
        log_format: _, // it says three lines, all of them for people
    } = args;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let access = kubeconfig.map_or(Access::Pod, Access::Kubeconfig);
        let client = connect(&access).await.map_err(|error| chain(&error))?;
        let cleanup = Cleanup {
            client,
            namespace,
            revision,
        };
        cleanup.run().await.map_err(|error| chain(&error))
    })
}
