//! `cargo xtask fuzz`: libFuzzer on the targets of `tests/fuzz`, on the stable toolchain.
//!
//! The coverage counters are ordinary flags of the compiler; what needs a nightly one is only the
//! address sanitizer, which code without `unsafe` gains little from. New inputs are looked for in
//! `target/fuzz/found`; what adds coverage is merged into the kept corpus at the end.

use crate::shell::{cargo, run, say};
use anyhow::{Context, Result, bail};
use meltemi_testkit::paths;
use std::path::PathBuf;
use std::process::Command;

/// What the compiler adds for libFuzzer to see: which edges were taken, what was compared.
const INSTRUMENT: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Clink-dead-code",
];
/// Naming the target keeps the instrumentation out of build scripts.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// Megabytes that one input may take.
const MEMORY: &str = "-rss_limit_mb=2048";
/// Seconds that one input may take.
const PATIENCE: &str = "-timeout=20";

/// What to fuzz, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this target: yaml, node, duration, regex or review.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    seconds: u32,
}

/// Runs the targets one after the other; the first failure ends it.
pub(crate) fn fuzz(args: &Args) -> Result<u8> {
    let all = targets()?;
    let wanted: Vec<_> = all
        .iter()
        .filter(|name| args.target.as_ref().is_none_or(|only| only == *name))
        .collect();
    if wanted.is_empty() {
        bail!("no such target; there are {}", all.join(", "));
    }
    let driver = build()?;
    for name in wanted {
        one(&driver, name, args.seconds)?;
    }
    Ok(0)
}

/// The targets: each has a corpus, which a test holds.
fn targets() -> Result<Vec<String>> {
    let folder = paths::repository().join("tests/fuzz/corpus");
    let entries = std::fs::read_dir(&folder);
    let entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn build() -> Result<PathBuf> {
    let root = paths::repository().join("target/fuzz");
    let manifest = "tests/fuzz/driver/Cargo.toml";
    let mut build = cargo(&["build", "--release", "--target", PLATFORM]);
    build
        .args(["--manifest-path", manifest, "--target-dir"])
        .arg(&root)
        .env("RUSTFLAGS", INSTRUMENT.join(" "));
    run("building the targets with coverage counters", &mut build)?;
    Ok(root.join(PLATFORM).join("release/meltemi-fuzz-driver"))
}

fn one(driver: &PathBuf, name: &str, seconds: u32) -> Result<()> {
    let kept = paths::repository().join("tests/fuzz/corpus").join(name);
    let found = paths::repository().join("target/fuzz/found").join(name);
    let crashes = paths::repository().join("target/fuzz/crashes");
    for folder in [&kept, &found, &crashes] {
        let made = std::fs::create_dir_all(folder);
        made.with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let command = || {
        let mut command = Command::new(driver);
        command.env("MELTEMI_FUZZ_TARGET", name);
        command
    };
    let mut search = command();
    search
        .args([MEMORY, PATIENCE, "-print_final_stats=1", "-verbosity=1"])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/{name}-", crashes.display()))
        .args([&found, &kept]);
    run(&format!("fuzzing {name} for {seconds} s"), &mut search)?;
    let mut merge = command();
    merge
        .args(["-merge=1", "-verbosity=0"])
        .args([&kept, &found]);
    run(&format!("keeping what {name} found"), &mut merge)?;
    let count = std::fs::read_dir(&kept)?.count();
    say(&format!("{name}: no crash; {count} inputs kept"));
    Ok(())
}
