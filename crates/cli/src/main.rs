//! `meltemi`, the human's tool: what the control plane would do, offline, with the same registry
//! and the same translator; and what a running mesh does.
//!
//! stdout is the answer and nothing else; stderr is for people. Exit codes are fixed, see
//! [`failure`].

mod args;
mod clock;
mod cmd;
mod dump;
mod failure;
mod input;
mod live;
mod node;
mod output;
mod scenario;
mod table;
mod yaml;

use args::{Cli, Command};
use clap::Parser;
use failure::{Answer, Failure};
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::panic::catch_unwind(run) {
        Ok(code) => ExitCode::from(code),
        Err(_) => ExitCode::from(failure::INTERNAL),
    }
}

fn run() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::misuse(&error),
    };
    let answer = match cli.command {
        Command::Translate(args) => cmd::translate::run(*args),
        Command::Test(args) => cmd::test::run(&args),
        Command::Validate(args) => cmd::validate::run(&args),
        Command::Inject(args) => cmd::inject::run(&args),
        Command::ExplainCode(args) => cmd::explain_code::run(&args),
        Command::ProxyStatus(args) => cmd::proxy_status::run(&args),
        Command::ProxyConfig(args) => cmd::proxy_config::run(&args),
        Command::Token(args) => cmd::token::run(&args),
        Command::Version(args) => cmd::version::run(&args),
        Command::Completion(args) => Ok(cmd::completion::run(&args)),
    };
    match answer {
        Ok(Answer { text, notes, code }) => {
            output::say(&notes);
            output::answer(&text, code)
        }
        Err(Failure {
            code,
            message,
            notes,
        }) => {
            output::say(&notes);
            output::say(&[format!("meltemi: {message}")]);
            code
        }
    }
}
