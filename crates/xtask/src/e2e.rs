//! `cargo xtask e2e`: the tests that need the real helm, and those that need a real Kubernetes, on a
//! node of ours or on the cluster that KUBECONFIG names. They are no part of `cargo xtask test`,
//! because they need Go, and root.

use crate::cluster::{Programs, archives, istioctl, programs};
use crate::shell::{self, cargo, say};
use anyhow::{Context, Result, anyhow};
use meltemi_testkit::cluster::{self, Cluster, Lifetime, Options};
use meltemi_testkit::paths;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The test that is about the node itself.
const NODE: &str = "cluster";
/// These have the machine for themselves: one calls all the time and lets no call fail, and runs when it
/// is asked for by name, `cargo xtask e2e a_town`; the other measures, for `cargo xtask bench pods`.
const ALONE: [&str; 2] = ["life", READY];
const READY: &str = "ready";
/// Tests on nodes of their own, in two rows that run side by side: those that stop parts of the node
/// that they run on; and `kubectl`, `pods` and `upgrade`, so that all rows take equally long.
const OWN_NODE: [&[&str]; 2] = [
    &[NODE, "double", "outage", "status"],
    &["kubectl", "pods", "replicas", "upgrade"],
];

/// Builds everything that the tests need, then runs them.
pub(crate) fn run(filter: Option<&str>) -> Result<u8> {
    let begun = Instant::now();
    let other = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    match &other {
        Some(kubeconfig) => {
            say(&format!("using the cluster of {}", kubeconfig.display()));
            say(
                "it must have the images docker.io/meltemi/{meltemid,envoy,proxy,cni,echo,tools}:dev",
            );
            say("the tests of our own node are left out");
        }
        None => {
            cluster::check_needs()?;
            programs()?;
        }
    }
    if has("tests/e2e/tests/istioctl.rs", filter)? {
        istioctl()?;
    }
    charts(filter)?;
    if other.is_none() {
        capture(filter)?;
    }
    // All at once, as the other tests do: what was compiled for them is not compiled again.
    let ours = ["build", "--workspace", "--bins"];
    shell::run("building the programs", &mut cargo(&ours))?;
    let archives = match &other {
        Some(_) => Vec::new(),
        None => archives(&[], Programs::Built)?,
    };
    let suites = suites("tests/e2e/tests")?;
    let mut build = tests(&suites, None, filter)?;
    build.arg("--list").stdout(Stdio::null());
    shell::run("building the tests", &mut build)?;
    let built = begun.elapsed();
    let tests = |suites: &[OsString]| tests(suites, archives.first(), filter);
    match (&other, filter) {
        (Some(_), _) => {
            let able = suites.into_iter().filter(|suite| suite != NODE);
            let able = able.filter(|suite| filter.is_some() || !is_alone(suite));
            shell::run("running the tests", &mut tests(&able.collect::<Vec<_>>())?)?;
        }
        // One test starts its own node faster than a shared one gets all images.
        (None, Some(_)) => shell::run("running the tests", &mut tests(&suites)?)?,
        (None, None) => side_by_side(&archives, suites)?,
    }
    let took = begun.elapsed();
    say(&format!(
        "all passed, {} s in all, {} s after everything was built",
        took.as_secs(),
        (took - built).as_secs()
    ));
    Ok(0)
}

/// Measures on a node of ours how long pods take until they are ready; the test writes to `figures`.
pub(crate) fn readiness(figures: &Path) -> Result<()> {
    cluster::check_needs()?;
    programs()?;
    let ours = ["build", "--workspace", "--bins"];
    shell::run("building the programs", &mut cargo(&ours))?;
    let archives = archives(&[], Programs::Built)?;
    let mut test = tests(&[READY.into()], archives.first(), None)?;
    test.env("MELTEMI_FIGURES", figures)
        .env_remove("KUBECONFIG");
    shell::run("measuring on a node", &mut test)
}

/// Whether a test has the machine for itself.
fn is_alone(suite: &OsString) -> bool {
    ALONE.iter().any(|one| suite == one)
}

/// Runs the tests that can share a node beside the rows of those that have their own: much of the time
/// that a row takes is waiting.
fn side_by_side(archives: &[PathBuf], suites: Vec<OsString>) -> Result<()> {
    let of = |suites: &[OsString]| tests(suites, archives.first(), None);
    let is_in = |row: &[&str], suite: &OsString| row.iter().any(|own| suite == own);
    let mut others = suites.clone();
    others.retain(|suite| !is_alone(suite) && !OWN_NODE.iter().any(|row| is_in(row, suite)));
    let others = of(&others)?;
    let mut rows = Vec::new();
    for (row, name) in OWN_NODE.iter().zip(["own node", "other own node"]) {
        let mut own = suites.clone();
        own.retain(|suite| is_in(row, suite));
        rows.push((name, of(&own)?));
    }
    std::thread::scope(|scope| {
        let title = "running the tests with nodes of their own";
        let run =
            |(name, mut tests)| scope.spawn(move || shell::run_beside(name, title, &mut tests));
        let rows: Vec<_> = rows.into_iter().map(run).collect();
        let others = on_one_node(archives, others);
        let mut ended = vec![others];
        for row in rows {
            let row = row.join();
            ended.push(row.map_err(|_panic| anyhow!("the tests of a row were given up"))?);
        }
        ended.into_iter().collect()
    })
}

/// The command that runs these tests, one after the other: a cluster is a whole machine.
fn tests(suites: &[OsString], archive: Option<&PathBuf>, filter: Option<&str>) -> Result<Command> {
    let mut tests = cargo(&["test", "--package", "meltemi-e2e", "--no-fail-fast"]);
    for suite in suites {
        tests.arg("--test").arg(suite);
    }
    if let Some(dir) = archive.and_then(|archive| archive.parent()) {
        tests.env("MELTEMI_E2E_IMAGES", dir);
    }
    // By its name: building everything has put another one in our place.
    tests.env("MELTEMI_XTASK", paths::binary("xtask")?);
    tests.arg("--").args(filter).arg("--test-threads=1");
    Ok(tests)
}

/// Runs tests on one node for all of them, as if it were somebody's cluster: each leaves it as it was.
fn on_one_node(archives: &[PathBuf], mut tests: Command) -> Result<()> {
    cluster::sweep()?;
    let options = Options {
        name: "e2e-shared".to_owned(),
        lifetime: Lifetime::Owned,
        images: archives.to_vec(),
    };
    let node = Cluster::up(&options, &mut |text| eprintln!("{text}"))?;
    let places = node.places();
    tests.env("KUBECONFIG", places.kubeconfig());
    tests.env("PATH", before(&places.wrappers())?);
    shell::run_beside("shared node", "running the tests", &mut tests)?;
    node.down()
}

/// `PATH` with a folder in front of it.
fn before(folder: &Path) -> Result<OsString> {
    let path = std::env::var_os("PATH").context("PATH is not set")?;
    let all = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    Ok(std::env::join_paths(all)?)
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

/// The tests of traffic capture in network namespaces, which need root and no cluster.
fn capture(filter: Option<&str>) -> Result<()> {
    let programs = ["meltemi-agent", "meltemi-cni", "meltemi-guard"];
    let mut build = cargo(&["build"]);
    build.args(programs.into_iter().flat_map(|name| ["--bin", name]));
    shell::run("building the agent and the plugin", &mut build)?;
    let mut tests = cargo(&["test", "--package", "meltemi-capture-tests"]);
    for name in suites("tests/capture/tests")? {
        tests.arg("--test").arg(name);
    }
    tests.args(["--no-fail-fast", "--"]).args(filter);
    shell::run("running the tests of traffic capture", &mut tests)
}

/// Whether a file of tests has some of that name.
fn has(file: &str, filter: Option<&str>) -> Result<bool> {
    let text = std::fs::read_to_string(paths::repository().join(file)).context(file.to_owned())?;
    let named = |filter| {
        let tests = text.split("#[test]\n").skip(1);
        let mut names = tests.filter_map(|test| test.split('(').next());
        names.any(|name| name.contains(filter))
    };
    Ok(filter.is_none_or(named))
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
