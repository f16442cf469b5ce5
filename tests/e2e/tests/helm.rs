//! helm installs a chart whose pod sends its TCP through a stock Envoy, and takes it away again.

use anyhow::{Context, Result, ensure};
use meltemi_e2e::Target;
use meltemi_testkit::{paths, wait};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);
const SPACE: &str = "--namespace=captured";

#[test]
fn a_pod_of_a_chart_calls_through_a_stock_envoy() -> Result<()> {
    let target = Target::take("e2e-helm", &["echo", "envoy", "tools"])?;
    let chart = paths::repository().join("tests/e2e/charts/captured");
    let chart = chart.to_str().context("the path of the repository")?;
    let install = ["install", "captured", chart, SPACE, "--create-namespace"];
    target
        .helm()
        .run(&[&install[..], &["--wait", "--timeout=90s"]].concat())?;

    let in_app = |words: &[&str]| {
        let exec = ["exec", "client", SPACE, "--container=app", "--"];
        target.kubectl().run(&[&exec[..], words].concat())
    };
    let passed = || -> Result<u64> {
        let name = "tcp.captured.downstream_cx_total";
        let stats = in_app(&[
            "wget",
            "-qO-",
            "http://127.0.0.1:15000/stats?filter=captured",
        ])?;
        let line = stats.lines().find_map(|line| line.strip_prefix(name));
        let count = line.with_context(|| format!("no {name} in {stats}"))?;
        Ok(count.trim_start_matches(':').trim().parse()?)
    };
    let called = |path: &str| in_app(&["wget", "-qO-", &format!("http://echo.captured{path}")]);
    // A pod is ready before kube-proxy has heard of it.
    wait::every("the Service", (DEADLINE, LOOK), || {
        called("/first").map(Some)
    })?;
    let before = passed()?;
    let answer = called("/through-envoy")?;
    ensure!(answer.contains("/through-envoy"), "{answer}");
    ensure!(
        passed()? == before + 1,
        "the call did not pass through Envoy"
    );

    target
        .helm()
        .run(&["uninstall", "captured", SPACE, "--wait"])?;
    // The pods of a Deployment are deleted after it.
    wait::every("everything to be gone", (DEADLINE, LOOK), || {
        let list = ["get", "pods,services", SPACE, "--output=name"];
        let left = target.kubectl().run(&list)?;
        ensure!(left.trim().is_empty(), "left behind: {left}");
        Ok(Some(()))
    })?;
    target.kubectl().run(&["delete", "namespace", "captured"])?;
    target.release()
}
