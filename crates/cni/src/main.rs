//! `meltemi-cni`, on each node: called by the container runtime it is a CNI plugin that captures the
//! traffic of pods, so that pods need no NET_ADMIN; as `meltemi-cni install` it puts itself there.
//!
//! Whoever calls decides: a runtime sets `CNI_COMMAND`, a person does not.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test panics when it fails"
    )
)]

mod install;
mod plugin;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Wrong usage.
const USAGE: u8 = 64;

/// What captures the traffic of pods from their node.
#[derive(Debug, Parser)]
#[command(name = "meltemi-cni", version, about)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Installs the plugin on this node and keeps it there until SIGTERM.
    Install(Box<install::Args>),
}

fn main() -> ExitCode {
    // The one provider of cryptography of this process; nobody can have installed another.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if std::env::var_os(plugin::COMMAND).is_some() {
        return plugin::run();
    }
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are answers; everything else is wrong usage.
            let code = if error.use_stderr() { USAGE } else { 0 };
            return match error.print() {
                Ok(()) | Err(_) => ExitCode::from(code),
            };
        }
    };
    match args.command {
        Command::Install(args) => install::run(*args),
    }
}
