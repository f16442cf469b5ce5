//! How long a pod takes from its creation until it is ready, with a proxy and without one. A
//! measurement: `cargo xtask bench pods` runs it, and nothing else does.

use anyhow::{Context, Result, ensure};
use meltemi_e2e::Target;
use meltemi_e2e::mesh::{Mesh, SYSTEM};
use meltemi_e2e::shop::pieces;
use meltemi_e2e::webhooks::settled;
use meltemi_testkit::cluster::access::Kubectl;
use serde_json::json;
use std::time::{Duration, Instant};

const IMAGES: [&str; 3] = ["meltemid", "proxy", "echo"];
const VALUES: [&str; 2] = [
    "--set=global.tag=dev",
    "--set=global.proxy.resources.requests.cpu=10m",
];
/// Pods of each kind, one after the other.
const ROUNDS: usize = 7;
/// What the exit list of a mesh grants all of a town at once; one pod needs less.
const LONGEST: Duration = Duration::from_secs(30);

/// A pod of the echo, and how long it took.
fn pod(kubectl: &Kubectl, namespace: &str, round: usize) -> Result<Duration> {
    let (name, space) = (format!("echo-{round}"), format!("--namespace={namespace}"));
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "echo", "image": "docker.io/meltemi/echo:dev", "imagePullPolicy": "Never",
                "args": ["--port=8080"],
                "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
            }],
        },
    });
    let begun = Instant::now();
    kubectl.apply(&pod.to_string())?;
    let ready = ["wait", "--for=condition=Ready", "--timeout=60s"];
    kubectl.run(&[&ready[..], &[&format!("pod/{name}"), &space]].concat())?;
    let took = begun.elapsed();
    let containers = "--output=jsonpath={.spec.initContainers[*].name} {.spec.containers[*].name}";
    let names = kubectl.run(&["get", "pod", &name, &space, containers])?;
    let proxied = names.contains("istio-proxy");
    ensure!(proxied == (namespace == "shop"), "{namespace}: {names}");
    kubectl.run(&["delete", "pod", &name, &space, "--wait=false"])?;
    Ok(took)
}

fn median(mut all: Vec<Duration>) -> Result<Duration> {
    all.sort();
    all.get(all.len() / 2).copied().context("no pods")
}

#[test]
fn how_long_pods_take_until_they_are_ready() -> Result<()> {
    let target = Target::take("e2e-ready", &IMAGES)?;
    let kubectl = target.kubectl();
    let mesh = Mesh::install(&target, &VALUES)?;
    settled(kubectl, None)?;
    kubectl.apply(&pieces::all(&[
        pieces::namespace("shop", "istio-injection: enabled"),
        pieces::namespace("plain", ""),
    ]))?;
    let (mut plain, mut proxied) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        plain.push(pod(kubectl, "plain", round)?);
        proxied.push(pod(kubectl, "shop", round)?);
    }
    let (plain, proxied) = (median(plain)?, median(proxied)?);
    eprintln!("ready after {plain:?}, with a proxy after {proxied:?}");
    if let Some(file) = std::env::var_os("MELTEMI_FIGURES") {
        let figures = json!({"plain": plain.as_secs_f64(), "proxied": proxied.as_secs_f64()});
        std::fs::write(file, figures.to_string())?;
    }
    ensure!(proxied < LONGEST, "{proxied:?}");
    kubectl.run(&["delete", "namespace", "shop", "plain"])?;
    mesh.uninstall()?;
    kubectl.run(&["delete", "namespace", SYSTEM])?;
    target.release()
}
