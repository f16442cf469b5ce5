//! `cargo xtask test` and `bless`: everything that the tests need first, then the tests.

use crate::shell::{self, cargo, output, say};
use anyhow::Result;
use std::time::Instant;

/// Fetches Envoy, builds all binaries and tests in one go, runs the tests.
pub(crate) fn run(filter: Option<&str>) -> Result<u8> {
    let started = Instant::now();
    say("fetching Envoy, building, then running all tests");
    let envoy = crate::fetch::envoy()?;
    let build = ["build", "--workspace", "--bins", "--tests"];
    step("building binaries and tests", &build, None)?;
    let fetched = Some(("MELTEMI_ENVOY", envoy));
    let words: Vec<_> = filter.into_iter().collect();
    if output("cargo-nextest", &["nextest", "--version"]).is_some() {
        let tests = [
            &["nextest", "run", "--workspace", "--no-tests", "pass"],
            &*words,
        ]
        .concat();
        step("running the tests with nextest", &tests, fetched.clone())?;
        let docs = [&["test", "--workspace", "--doc"], &*words].concat();
        step("running the documentation tests", &docs, fetched)?;
    } else {
        let tests = [&["test", "--workspace", "--no-fail-fast"], &*words].concat();
        step("running the tests", &tests, fetched)?;
    }
    say(&format!(
        "all tests passed, {:.0} s in all",
        started.elapsed().as_secs_f32()
    ));
    Ok(0)
}

/// Lets the golden tests write their expectations.
pub(crate) fn bless(filter: Option<&str>) -> Result<u8> {
    let mut command = cargo(&["test", "--package", "meltemi-golden"]);
    command.args(filter).env("BLESS", "1");
    shell::run("writing the expectations of the golden tests", &mut command)?;
    Ok(0)
}

fn step(what: &str, args: &[&str], variable: Option<(&str, std::path::PathBuf)>) -> Result<()> {
    let mut command = cargo(args);
    command.envs(variable);
    shell::run(what, &mut command)
}
