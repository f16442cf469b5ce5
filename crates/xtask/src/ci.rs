//! `cargo xtask ci`: everything that must hold before a merge, the quick answers first.

use crate::shell::{self, cargo, output, say};
use anyhow::{Context, Result};
use meltemi_testkit::paths;
use std::process::Command;
use std::time::Instant;

/// Which steps run; all unless told otherwise.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these steps.
    #[arg(long, value_name = "STEP", value_parser = names())]
    only: Vec<String>,
    /// Not these steps.
    #[arg(long, value_name = "STEP", value_parser = names())]
    skip: Vec<String>,
}

impl Args {
    fn wants(&self, name: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|listed| listed == name);
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }
}

fn names() -> clap::builder::PossibleValuesParser {
    STEPS.map(|(name, _)| name).into()
}

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 11] = [
    ("fmt", fmt),
    ("guards", || xtask(&["guards", "--check"])),
    ("lint", lint),
    ("test", || xtask(&["test"])),
    ("score", score),
    ("check-each", check_each),
    ("generate", || xtask(&["generate", "--check"])),
    ("doc", doc),
    ("deny", deny),
    ("demo", || xtask(&["demo", "--once"])),
    ("clean", clean),
];

/// Runs every step in order and stops at the first that fails.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let started = Instant::now();
    let mut times = Vec::new();
    for (name, step) in STEPS.into_iter().filter(|(name, _)| args.wants(name)) {
        let began = Instant::now();
        step().with_context(|| format!("ci step {name} failed"))?;
        times.push(format!("{name} {:.0} s", began.elapsed().as_secs_f32()));
    }
    say(&format!(
        "ci passed in {:.0} s: {}",
        started.elapsed().as_secs_f32(),
        times.join(", ")
    ));
    Ok(0)
}

/// Another task, as its own process: the tests may replace our binary while we run.
fn xtask(words: &[&str]) -> Result<()> {
    let what = format!("cargo xtask {}", words.join(" "));
    let alias = [
        "run",
        "--quiet",
        "--package",
        "meltemi-xtask",
        "--bin",
        "xtask",
        "--",
    ];
    shell::run(&what, cargo(&alias).args(words))
}

fn fmt() -> Result<()> {
    shell::run("formatting", &mut cargo(&["fmt", "--all", "--check"]))
}

fn lint() -> Result<()> {
    let args = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ];
    shell::run("clippy", &mut cargo(&args))?;
    // Plain `--all-targets` passes over the tests that need helm, root or a cluster.
    let mut others = cargo(&["clippy", "--package", "meltemi-e2e"]);
    others.args(["--package", "meltemi-charts"]);
    others.args(["--package", "meltemi-capture-tests", "--test", "*"]);
    others.args(["--", "--deny", "warnings"]);
    shell::run("clippy on the tests of charts and cluster", &mut others)
}

fn doc() -> Result<()> {
    let mut command = cargo(&["doc", "--workspace", "--no-deps"]);
    shell::run(
        "documentation",
        command.env("RUSTDOCFLAGS", "--deny warnings"),
    )
}

/// How many of the published traffic scenarios end where they should.
fn score() -> Result<()> {
    if meltemi_examples::find("simulation")?.is_none() {
        return Ok(());
    }
    let args = [
        "test",
        "--package",
        "meltemi-cli",
        "--test",
        "score",
        "--",
        "--nocapture",
    ];
    let mut command = cargo(&args);
    shell::run(
        "traffic scenarios",
        command.env("MELTEMI_EXAMPLES_REQUIRED", "1"),
    )
}

/// Each package alone: a build of the whole workspace unifies features and so hides a package
/// that borrows one from another.
fn check_each() -> Result<()> {
    for parent in ["crates", "tests"] {
        let mut dirs = Vec::new();
        for entry in std::fs::read_dir(paths::repository().join(parent))? {
            dirs.push(entry?.path().join("Cargo.toml"));
        }
        dirs.sort();
        for manifest in dirs.iter().filter(|manifest| manifest.is_file()) {
            let mut command = cargo(&["check", "--quiet", "--manifest-path"]);
            let name = manifest
                .parent()
                .and_then(|dir| dir.file_name())
                .unwrap_or_default();
            let what = format!("checking {parent}/{} alone", name.display());
            shell::run(&what, command.arg(manifest))?;
        }
    }
    Ok(())
}

fn deny() -> Result<()> {
    if output("cargo-deny", &["--version"]).is_none() {
        say(
            "cargo-deny is not installed; what the test `supply` holds of .cargo/deny.toml is held",
        );
        return Ok(());
    }
    let args = [
        "deny",
        "check",
        "--config",
        ".cargo/deny.toml",
        "licenses",
        "bans",
        "sources",
    ];
    shell::run("licences, bans and sources", &mut cargo(&args))
}

fn clean() -> Result<()> {
    if output("git", &["rev-parse", "--git-dir"]).is_none() {
        say("not a git checkout, nothing to compare with");
        return Ok(());
    }
    let mut git = Command::new("git");
    git.args(["diff", "--exit-code", "--stat"])
        .current_dir(paths::repository());
    shell::run("nothing in the checkout has changed", &mut git)
}
