//! `cargo xtask e2e`: the tests that need the real helm, and those that need a real Kubernetes, on a
//! node of ours or on the cluster that KUBECONFIG names. They are no part of `cargo xtask test`,
//! because they need Go, and root.

use crate::cluster::{archives, programs};
use crate::shell::{self, cargo, say};
use anyhow::Result;
use meltemi_testkit::cluster;
use meltemi_testkit::paths;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

/// The test that is about the node itself.
const NODE: &str = "cluster";

/// Builds everything that the tests need, then runs them.
pub(crate) fn run(filter: Option<&str>) -> Result<u8> {
    let begun = Instant::now();
    let other = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    let mut tests = cargo(&["test", "--package", "meltemi-e2e"]);
    for name in suites("tests/e2e/tests")? {
        if other.is_some() && name == NODE {
            say("KUBECONFIG names a cluster: the tests of our own node are left out");
        } else {
            tests.arg("--test").arg(name);
        }
    }
    if let Some(kubeconfig) = &other {
        say(&format!("using the cluster of {}", kubeconfig.display()));
        say("it must have the images docker.io/meltemi/{meltemid,envoy,echo,tools}:dev");
    } else {
        cluster::check_needs()?;
        programs()?;
    }
    charts(filter)?;
    let archives = if other.is_none() {
        archives(&[])?
    } else {
        Vec::new()
    };
    if let Some(dir) = archives.first().and_then(|archive| archive.parent()) {
        tests.env("MELTEMI_E2E_IMAGES", dir);
    }
    let tool = ["build", "--package", "meltemi-cli"];
    shell::run("building the tool", &mut cargo(&tool))?;
    tests.env("MELTEMI_XTASK", std::env::current_exe()?);
    tests.args(["--no-fail-fast", "--"]).args(filter);
    // One cluster at a time: each is a whole machine.
    shell::run("running the tests", tests.arg("--test-threads=1"))?;
    say(&format!(
        "all passed, {} s in all",
        begun.elapsed().as_secs()
    ));
    Ok(0)
}

/// The tests of the charts, which need helm and no cluster.
fn charts(filter: Option<&str>) -> Result<()> {
    let mut tests = cargo(&["test", "--package", "meltemi-charts"]);
    for name in suites("tests/charts/tests")? {
        tests.arg("--test").arg(name);
    }
    tests.env("MELTEMI_ENVOY", crate::fetch::envoy()?);
    tests.args(["--no-fail-fast", "--"]).args(filter);
    shell::run("running the tests of the charts", &mut tests)
}

/// The files of a folder of tests. They are named one by one because plain `cargo test` passes over
/// them.
fn suites(folder: &str) -> Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(paths::repository().join(folder))? {
        let path: PathBuf = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(OsString::from));
        }
    }
    names.sort();
    Ok(names)
}
