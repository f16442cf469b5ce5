//! Every case of `testdata` as named tests: its output is as expected (`golden::`), Envoy would
//! accept it as a file (`validate::`) and takes it over ADS (`push::`). `BLESS=1` writes the
//! expected files of the cases that the filter chooses, and removes stray ones.

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use meltemi_bootstrap::XdsProtocol;
use meltemi_golden::{Case, case, judge, show};
use similar::TextDiff;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// A case shows at most so many lines, so that a reader sees what it is about.
const LINES: usize = 60;

fn main() -> ExitCode {
    let args = Arguments::from_args();
    let cases = match Case::all() {
        Ok(cases) => Arc::new(cases),
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let bless = std::env::var_os("BLESS").is_some_and(|value| value == "1");
    let mut trials = Vec::new();
    for case in cases.iter() {
        let name = case.name.replace('/', "::");
        let (golden, judged) = (case.clone(), case.clone());
        trials.push(trial(format!("golden::{name}"), move || {
            check(&golden, bless)
        }));
        trials.push(trial(format!("validate::{name}"), move || {
            judge::validate(&judged)
        }));
    }
    for (name, protocol) in [
        ("push::all_over_delta", XdsProtocol::Delta),
        ("push::all_over_sotw", XdsProtocol::Sotw),
    ] {
        let cases = cases.clone();
        trials.push(trial(name.into(), move || {
            judge::push_all(&cases, protocol)
        }));
    }
    trials.push(trial("stray_files".into(), move || strays(&cases, bless)));
    libtest_mimic::run(&args, trials).exit_code()
}

fn trial(name: String, test: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, || {
        test().map_err(|error| Failed::from(format!("{error:#}")))
    })
}

fn check(case: &Case, bless: bool) -> Result<()> {
    let actual = show::render(&case.show, &case.compose())?;
    let lines = actual.lines().count();
    ensure!(
        lines <= LINES || case.name.contains("panorama"),
        "{lines} lines are shown, {LINES} are allowed: show less, or make it a panorama"
    );
    let path = case.expected();
    if bless {
        return std::fs::write(&path, actual).context("cannot write what is expected");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected != actual {
        let diff = TextDiff::from_lines(&expected, &actual);
        let diff = diff
            .unified_diff()
            .context_radius(3)
            .header("expected", "actual")
            .to_string();
        bail!(
            "{diff}\nif that is right: cargo xtask bless {}",
            case.name.replace('/', "::")
        );
    }
    Ok(())
}

/// Every file below `testdata` belongs to a case.
fn strays(cases: &[Case], bless: bool) -> Result<()> {
    let known: BTreeSet<&Path> = cases.iter().map(|case| &*case.dir).collect();
    let mut strays = Vec::new();
    let mut queue = vec![case::testdata()];
    while let Some(dir) = queue.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                queue.push(path);
            } else if !known.contains(&*dir) || !belongs(&path) {
                strays.push(path);
            }
        }
    }
    strays.sort();
    if bless {
        for path in strays {
            std::fs::remove_file(path)?;
        }
        return Ok(());
    }
    ensure!(
        strays.is_empty(),
        "these files belong to no case: {strays:?}"
    );
    Ok(())
}

fn belongs(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let cluster = name.starts_with("cluster-") && name.ends_with(".yaml");
    matches!(&*name, "input.yaml" | "expected.yaml") || cluster
}
