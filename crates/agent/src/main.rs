//! The agent of Meltemi, in the pod beside Envoy: writes its bootstrap, holds its identity, stands
//! between it and the control plane, and says when it is ready. Called as `pilot-agent` it is the
//! same program.
//!
//! One thread and the system's allocator: a fifth of the heap that the control plane's would take,
//! and there is one agent in every pod.

mod args;
mod ask;
mod capture;
mod config;
mod env;
mod envoy;
mod exchange;
mod life;
mod status;
mod wire;

use args::{Args, Command};
use clap::Parser;
use env::Env;
use std::future::Future;
use std::process::ExitCode;

/// Wrong usage.
const USAGE: u8 = 64;
/// Our own fault.
const INTERNAL: u8 = 70;

fn main() -> ExitCode {
    let (words, ignored) = args::known(std::env::args_os().collect());
    let args = match Args::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => {
            // Help and version are answers; everything else is wrong usage.
            let code = if error.use_stderr() { USAGE } else { 0 };
            return match error.print() {
                Ok(()) | Err(_) => ExitCode::from(code),
            };
        }
    };
    // The one provider of cryptography of this process; nobody can have installed another.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match args.command {
        Command::Launch(launch) => envoy::launch(launch),
        Command::Version => {
            println!("{}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Command::Request(request) => {
            let env = Env::of_process();
            run(async move { ask::request(request, &env).await })
        }
        Command::Wait(wait) => {
            let env = Env::of_process();
            run(async move { ask::wait(wait, &env).await })
        }
        Command::Init(flags) => capture::run(&flags, ignored),
        Command::Proxy(proxy) => wire::run(&proxy, ignored),
    }
}

/// Runs on one thread: a pod has many processes, and this one has little to do.
fn run(task: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(task),
        Err(error) => {
            eprintln!("meltemi-agent: cannot start: {error}");
            ExitCode::from(INTERNAL)
        }
    }
}
