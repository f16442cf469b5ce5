//! The control plane of Meltemi: parse flags, wire the parts, run.

mod about;
mod alike;
mod args;
mod authority;
mod callers;
mod cleanup;
mod clients;
mod clock;
mod controlz;
mod credentials;
mod desk;
mod events;
mod families;
mod http;
mod issuing;
mod node;
mod plane;
mod port_file;
mod publish;
mod pump;
mod registrar;
mod report;
mod secure;
mod sources;
mod status;
mod trust;
mod webhook;
mod wire;

use args::Args;
use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Wrong usage.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    // The one provider of cryptography of this process; nobody can have installed another.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == "cleanup") {
        return cleanup::main(words);
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
    match args.config() {
        Ok(config) => wire::run(config),
        Err(message) => {
            eprintln!("meltemid: {message}");
            ExitCode::from(USAGE)
        }
    }
}
