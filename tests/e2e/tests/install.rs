//! An installation by helm: proxies are configured from what is applied, and what is uninstalled
//! leaves nothing but what it should.
#![allow(clippy::panic, reason = "a test panics when it fails")]

use anyhow::{Context, Result, ensure};
use meltemi_e2e::image;
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::cluster::{self, Cluster, Lifetime, Options};
use meltemi_testkit::{paths, wait};
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);
const SYSTEM: &str = "istio-system";

const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v1, namespace: shop}
spec:
  selector: {matchLabels: {app: reviews, version: v1}}
  template:
    metadata: {labels: {app: reviews, version: v1}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: &v1
      - name: echo
        image: docker.io/meltemi/echo:dev
        imagePullPolicy: Never
        args: [--port=8080, --name=v1]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v2, namespace: shop}
spec:
  selector: {matchLabels: {app: reviews, version: v2}}
  template:
    metadata: {labels: {app: reviews, version: v2}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: echo
        image: docker.io/meltemi/echo:dev
        imagePullPolicy: Never
        args: [--port=8080, --name=v2]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec:
  selector: {app: reviews}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: shell
    image: docker.io/meltemi/tools:dev
    imagePullPolicy: Never
    command: [sleep, \"3600\"]
";

const ROUTES: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [shop.example]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [shop]
  http:
  - match: [{uri: {prefix: /new}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: reviews, subset: v1}}]
";

/// Kinds whose objects come and go by themselves, or that stay on purpose: definitions, and what
/// the API server makes of them.
const APART: [&str; 5] = [
    "apiservices.apiregistration.k8s.io",
    "events",
    "events.events.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "leases.coordination.k8s.io",
];

fn up(name: &str) -> Result<Cluster> {
    cluster::sweep()?;
    let images: Result<Vec<_>> = ["meltemid", "envoy", "echo", "tools"]
        .into_iter()
        .map(image)
        .collect();
    let options = Options {
        name: name.to_owned(),
        lifetime: Lifetime::Owned,
        images: images?,
    };
    Cluster::up(&options, &mut |text| eprintln!("{text}"))
}

fn helm(cluster: &Cluster, words: &[&str]) -> Result<String> {
    let mut command = Command::new(cluster.places().wrappers().join("helm"));
    command.args(words).arg("--namespace").arg(SYSTEM);
    let out = command
        .current_dir(paths::repository())
        .env("KUBECONFIG", cluster.places().kubeconfig())
        .output()
        .context("cannot run helm")?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let error = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "helm {words:?}: {said}{error}");
    Ok(said)
}

fn install(cluster: &Cluster) -> Result<()> {
    helm(
        cluster,
        &["install", "base", "charts/base", "--create-namespace"],
    )?;
    let ours = [
        "--set=tag=dev",
        "--set=global.imagePullPolicy=Never",
        "--set=autoscaleEnabled=false",
        "--set=replicaCount=1",
        "--wait",
        "--timeout=90s",
    ];
    let control = ["install", "istiod", "charts/meltemid"];
    let done = helm(cluster, &[&control[..], &ours].concat());
    done.or_else(|error| explain(cluster, "app=istiod", error))?;
    let edge = [
        "install",
        "istio-ingressgateway",
        "charts/gateway",
        "--set=image=docker.io/meltemi/envoy:dev",
        "--set=imagePullPolicy=Never",
        "--set=autoscaling.enabled=false",
        "--set=service.type=ClusterIP",
        "--wait",
        "--timeout=90s",
    ];
    let done = helm(cluster, &edge);
    done.or_else(|error| explain(cluster, "istio=ingressgateway", error))?;
    Ok(())
}

/// An error with what the pods say.
fn explain(cluster: &Cluster, selector: &str, error: anyhow::Error) -> Result<String> {
    let kubectl = cluster.kubectl();
    let namespace = ["--namespace", SYSTEM, "--selector", selector];
    let logs = kubectl.run(&[&["logs", "--tail=40", "--all-containers"][..], &namespace].concat());
    let pods = kubectl.run(&[&["describe", "pods"][..], &namespace].concat());
    Err(error.context(format!("{pods:?}\n{logs:?}")))
}

/// Every object, as KIND NAMESPACE/NAME.
fn objects(kubectl: &Kubectl) -> Result<BTreeSet<String>> {
    let kinds = kubectl.run(&["api-resources", "--verbs=list", "--output=name"])?;
    let kinds: Vec<_> = kinds.lines().filter(|kind| !APART.contains(kind)).collect();
    let form = "--output=jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{\"\\n\"}{end}";
    let all = ["get", &kinds.join(","), "--all-namespaces", form];
    let listed = kubectl.run(&all)?;
    Ok(listed.lines().map(str::to_owned).collect())
}

/// What the gateway answers to a path.
fn ask(kubectl: &Kubectl, path: &str) -> Result<String> {
    let url = format!("http://istio-ingressgateway.{SYSTEM}{path}");
    kubectl.run(&[
        "exec",
        "client",
        "--namespace=shop",
        "--",
        // Not wget's own limit: with it busybox 1.35 dies.
        "timeout",
        "5",
        "wget",
        "-qO-",
        "--header=Host: shop.example",
        &url,
    ])
}

fn answered(kubectl: &Kubectl, path: &str, by: &str) -> Result<()> {
    wait::every(
        &format!("{path} to be answered by {by}"),
        (DEADLINE, LOOK),
        || Ok(ask(kubectl, path).ok().filter(|text| text.contains(by))),
    )?;
    Ok(())
}

#[test]
fn what_is_applied_is_what_a_gateway_does_and_nothing_is_left_afterwards() -> Result<()> {
    let cluster = up("e2e-install")?;
    let kubectl = cluster.kubectl();
    let before = objects(&kubectl)?;
    install(&cluster)?;
    kubectl.apply(SHOP)?;
    let shop = "--namespace=shop";
    let wait = ["wait", "pods", "--all", "--for=condition=Ready", shop];
    kubectl.run(&[&wait[..], &["--timeout=60s"]].concat())?;

    kubectl.apply(ROUTES)?;
    answered(&kubectl, "/old", "v1")?;
    answered(&kubectl, "/new", "v2")?;
    // A change reaches the gateway, and an object that is refused changes nothing.
    kubectl.apply(&ROUTES.replace("prefix: /new", "prefix: /newer"))?;
    answered(&kubectl, "/new", "v1")?;
    answered(&kubectl, "/newer", "v2")?;
    let refused = kubectl.apply(&ROUTES.replace("hosts: [shop.example]", "hosts: 7"));
    ensure!(refused.is_err(), "the schema refuses it: {refused:?}");
    answered(&kubectl, "/newer", "v2")?;
    // What was applied is what is stored.
    let same = kubectl.apply(&ROUTES.replace("prefix: /new", "prefix: /newer"))?;
    ensure!(
        same.lines().all(|line| line.ends_with("unchanged")),
        "{same}"
    );
    // The columns that users know.
    let shown = kubectl.run(&["get", "vs", shop])?;
    ensure!(shown.starts_with("NAME"), "{shown}");
    for column in [
        "GATEWAYS",
        "HOSTS",
        "AGE",
        "[\"shop\"]",
        "[\"shop.example\"]",
    ] {
        ensure!(shown.contains(column), "{column} is not shown: {shown}");
    }

    for release in ["istio-ingressgateway", "istiod", "base"] {
        helm(&cluster, &["uninstall", release, "--wait"])?;
    }
    kubectl.run(&["delete", "namespace", "shop", SYSTEM, "--ignore-not-found"])?;
    let after = objects(&kubectl)?;
    let left: Vec<_> = after.difference(&before).collect();
    ensure!(left.is_empty(), "left behind: {left:#?}");
    let gone: Vec<_> = before.difference(&after).collect();
    ensure!(gone.is_empty(), "taken away: {gone:#?}");
    cluster.down()
}
