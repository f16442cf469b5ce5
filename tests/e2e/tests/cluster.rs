//! The node itself: it comes up, runs what is applied, and leaves nothing behind.
#![allow(clippy::panic, reason = "a test panics when it fails")]

use anyhow::{Context, Result, ensure};
use meltemi_e2e::{Machine, calls, image};
use meltemi_testkit::cluster::places::Places;
use meltemi_testkit::cluster::{self, Cluster, Component, Lifetime, Options};
use meltemi_testkit::wait;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(180);

const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: echo}}
  template:
    metadata: {labels: {app: echo}}
    spec:
      containers:
      - name: echo
        image: docker.io/meltemi/echo:dev
        imagePullPolicy: Never
        args: [--port=8080]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: shop}
spec:
  clusterIP: 10.96.7.7
  selector: {app: echo}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop}
spec:
  terminationGracePeriodSeconds: 0
  initContainers:
  - name: capture
    image: docker.io/meltemi/tools:dev
    imagePullPolicy: Never
    command: [sh, -ec, \"iptables -t nat -A OUTPUT -p tcp --dport 81 -j REDIRECT --to-ports 82\"]
    securityContext: {capabilities: {add: [NET_ADMIN, NET_RAW], drop: [ALL]}}
  containers:
  - name: shell
    image: docker.io/meltemi/tools:dev
    imagePullPolicy: Never
    command: [sleep, \"3600\"]
";

fn options(name: &str, images: &[&str]) -> Result<Options> {
    let images: Result<Vec<PathBuf>> = images.iter().map(|name| image(name)).collect();
    Ok(Options {
        name: name.to_owned(),
        lifetime: Lifetime::Owned,
        images: images?,
    })
}

fn up(name: &str, images: &[&str]) -> Result<Cluster> {
    cluster::sweep()?;
    Cluster::up(&options(name, images)?, &mut |text| eprintln!("{text}"))
}

fn in_client(cluster: &Cluster, words: &[&str]) -> Result<String> {
    let exec = ["exec", "client", "--namespace=shop", "--"];
    cluster.kubectl().run(&[&exec[..], words].concat())
}

#[test]
fn pods_run_and_services_answer_beside_another_cluster() -> Result<()> {
    let before = Machine::now("e2e")?;
    let cluster = up("e2e", &["echo", "tools"])?;
    let kubectl = cluster.kubectl();
    kubectl.apply(SHOP)?;
    let shop = "--namespace=shop";
    let wait = ["wait", "pod/client", "--for=condition=Ready", shop];
    kubectl.run(&[&wait[..], &["--timeout=60s"]].concat())?;
    let rollout = ["rollout", "status", "deployment/echo", shop];
    kubectl.run(&[&rollout[..], &["--timeout=60s"]].concat())?;

    // A pod is ready before kube-proxy has heard of it.
    let named = calls::until("the Service", "\"workload\"", || {
        let asked = in_client(&cluster, &["wget", "-qO-", "http://echo.shop/by-name"]);
        Ok(asked.unwrap_or_else(|error| format!("{error:#}")))
    })?;
    ensure!(named.contains("/by-name"), "{named}");
    let addressed = in_client(&cluster, &["wget", "-qO-", "http://10.96.7.7/by-address"])?;
    ensure!(addressed.contains("/by-address"), "{addressed}");
    let looked_up = in_client(&cluster, &["nslookup", "echo.shop.svc.cluster.local"])?;
    ensure!(looked_up.contains("10.96.7.7"), "{looked_up}");
    let nowhere = in_client(&cluster, &["nslookup", "example.org."]);
    ensure!(nowhere.is_err(), "there is a way out: {nowhere:?}");

    // The API server dies and comes back; what runs goes on.
    cluster.kill(Component::ApiServer)?;
    cluster.start(Component::ApiServer)?;
    wait::every(
        "the API server",
        (DEADLINE, Duration::from_millis(200)),
        || Ok(kubectl.run(&["get", "--raw", "/readyz"]).ok()),
    )?;
    in_client(&cluster, &["wget", "-qO-", "http://echo.shop/after"])?;

    let other = up("e2e-two", &[])?;
    let seen = other
        .kubectl()
        .run(&["get", "namespaces", "--output=name"])?;
    ensure!(!seen.contains("shop"), "{seen}");
    cluster.down()?;
    goes_on(&other)?;
    let traces = Machine::now("e2e")?.traces_since(&before);
    ensure!(traces.is_empty(), "left behind: {traces:#?}");
    let run = Places::of("e2e")?.run().to_path_buf();
    ensure!(!run.exists(), "{} is left behind", run.display());
    other.down()
}

/// A cluster whose neighbour has ended.
fn goes_on(cluster: &Cluster) -> Result<()> {
    let node = cluster.kubectl().run(&["get", "--raw", "/readyz"])?;
    ensure!(node == "ok", "{node}");
    // The wrapper of ctr finds containerd's client also when it is itself on the PATH.
    let wrappers = cluster.places().wrappers();
    let path = std::env::var("PATH")?;
    let images = Command::new(wrappers.join("ctr"))
        .args(["images", "list", "--quiet"])
        .env("PATH", format!("{}:{path}", wrappers.display()))
        .output()?;
    let images = String::from_utf8(images.stdout)?;
    ensure!(images.contains("docker.io/meltemi/pause:dev"), "{images}");
    Ok(())
}

#[test]
fn what_a_killed_start_leaves_is_cleared_away() -> Result<()> {
    let name = "e2e-killed";
    cluster::down(name)?;
    let before = Machine::now(name)?;
    let xtask = std::env::var_os("MELTEMI_XTASK").context("run this by `cargo xtask e2e`")?;
    let mut starting = Command::new(xtask)
        .args(["cluster", "up", "--name", name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let places = Places::of(name)?;
    let kubelet = places.run().join("pid/kubelet");
    let reached = wait::until("kubelet to be started", DEADLINE, || {
        ensure!(starting.try_wait()?.is_none(), "the start ended too early");
        Ok(kubelet.exists().then_some(()))
    });
    starting.kill()?;
    starting.wait()?;
    reached?;
    ensure!(!Machine::now(name)?.traces_since(&before).is_empty());
    cluster::down(name)?;
    let traces = Machine::now(name)?.traces_since(&before);
    ensure!(traces.is_empty(), "left behind: {traces:#?}");
    Ok(())
}

#[test]
fn what_a_killed_test_leaves_is_swept_away_and_what_lives_is_not() -> Result<()> {
    let dead = Places::of("e2e-dead")?;
    let alive = Places::of("e2e-alive")?;
    // A process that has ended, and this one, which has not.
    let mut ended = Command::new("true").spawn()?;
    ended.wait()?;
    let own = std::fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = own.rsplit_once(") ").context("the form of stat")?;
    let started = rest
        .split(' ')
        .nth(19)
        .context("the start of this process")?;
    for (places, owner) in [
        (&dead, format!("{} 1", ended.id())),
        (&alive, format!("{} {started}", std::process::id())),
    ] {
        std::fs::create_dir_all(places.run())?;
        std::fs::write(places.run().join("owner"), owner)?;
    }
    cluster::sweep()?;
    let (is_dead, is_alive) = (dead.run().exists(), alive.run().exists());
    cluster::down("e2e-alive")?;
    ensure!(!is_dead, "the run of a dead process is still there");
    ensure!(is_alive, "the run of a living process is gone");
    Ok(())
}
