//! Pods join the mesh in a namespace that takes none with rights: their node captures their traffic.
//! Without the plugin on their node they do not start, and say so with 126.

use anyhow::{Context, Result, ensure};
use meltemi_e2e::mesh::{Mesh, SYSTEM};
use meltemi_e2e::{Target, calls, inventory};
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::wait;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const SPACE: &str = "--namespace=shop";
const IMAGES: [&str; 5] = ["meltemid", "proxy", "cni", "echo", "tools"];
const CONTROL: [&str; 4] = [
    "--set=global.tag=dev",
    "--set=global.proxy.resources.requests.cpu=10m",
    "--set=resources.requests.cpu=10m",
    "--set=cni.enabled=true",
];
const ANSWER: &str = "\"workload\":\"echo\"";
const DEADLINE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(200);

const SHOP: &str = "
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: {istio-injection: enabled, pod-security.kubernetes.io/enforce: restricted}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo, namespace: shop}
spec:
  selector: {matchLabels: {app: echo}}
  template:
    metadata:
      labels: {app: echo}
      annotations: {sidecar.istio.io/proxyCPU: 10m}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: echo
        image: docker.io/meltemi/echo:dev
        imagePullPolicy: Never
        args: [--port=8080, --name=echo]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: echo, namespace: shop}
spec:
  selector: {app: echo}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: caller, namespace: shop}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: shell
    image: docker.io/meltemi/tools:dev
    imagePullPolicy: Never
    command: [sleep, \"3600\"]
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
";

/// The run directory of a node of ours, also when KUBECONFIG leads to it.
fn run(target: &Target) -> Option<PathBuf> {
    let own = target.node().map(|node| node.places().run().to_owned());
    let named = || {
        Some(
            PathBuf::from(std::env::var_os("KUBECONFIG")?)
                .parent()?
                .to_owned(),
        )
    };
    let found = own.or_else(named);
    found.filter(|run| run.join("plugins").is_dir())
}

/// What installs the plugin; on a node of ours into the folders of its run.
fn plugin(target: &Target) -> Vec<String> {
    let mut all = [
        "install",
        "istio-cni",
        "charts/cni",
        "--wait",
        "--timeout=90s",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut set = |key: &str, value: &str| all.push(format!("--set={key}={value}"));
    set("tag", "dev");
    set("pullPolicy", "Never");
    if let Some(run) = run(target) {
        let run = run.display();
        set("cniBinDir", &format!("{run}/plugins"));
        set("cniConfDir", &format!("{run}/cni"));
    }
    all
}

fn pods(kubectl: &Kubectl, label: &str) -> Result<Vec<Value>> {
    let label = format!("--selector={label}");
    let text = kubectl.run(&["get", "pods", SPACE, &label, "--output=json"])?;
    let found: Value = serde_json::from_str(&text)?;
    let items = found.pointer("/items").and_then(Value::as_array);
    Ok(items.cloned().unwrap_or_default())
}

/// What a person would look at.
fn said(kubectl: &Kubectl) -> String {
    let events = kubectl.run(&["get", "events", SPACE]);
    let pods = kubectl.run(&["describe", "pods", SPACE]);
    let selector = "--selector=k8s-app=istio-cni-node";
    let logs = kubectl.run(&["logs", selector, "--namespace", SYSTEM, "--tail=40"]);
    format!("{events:?}\n{pods:?}\n{logs:?}")
}

/// How the container that tries the rules has ended, the last time.
fn tried(pod: &Value) -> Option<i64> {
    let all = pod.pointer("/status/initContainerStatuses")?.as_array()?;
    let mut all = all.iter();
    let status = all.find(|one| one.get("name") == Some(&json!("istio-validation")))?;
    let ends = ["/state", "/lastState"].map(|state| format!("{state}/terminated/exitCode"));
    ends.iter().find_map(|end| status.pointer(end)?.as_i64())
}

/// Waits for the pods of the Deployment whose rules were tried with this result.
fn until(kubectl: &Kubectl, code: i64) -> Result<Value> {
    let found = wait::every(
        &format!("a pod that was tried: {code}"),
        (DEADLINE, LOOK),
        || {
            let found = pods(kubectl, "app=echo")?.into_iter();
            let mut found =
                found.filter(|pod| pod.pointer("/metadata/deletionTimestamp").is_none());
            Ok(found.find(|pod| tried(pod) == Some(code)))
        },
    );
    found.map_err(|error| error.context(said(kubectl)))
}

/// Waits until the API server believes the webhook: until then no pod can be made.
fn believed(kubectl: &Kubectl) -> Result<()> {
    let hooks = "mutatingwebhookconfiguration/istio-sidecar-injector";
    wait::every("a bundle in all webhooks", (DEADLINE, LOOK), || {
        let text = kubectl.run(&["get", hooks, "--output=json"])?;
        let found: Value = serde_json::from_str(&text)?;
        let all = found.pointer("/webhooks").and_then(Value::as_array);
        let bundle = |hook: &Value| hook.pointer("/clientConfig/caBundle").is_some();
        Ok(all.is_some_and(|all| all.iter().all(bundle)).then_some(()))
    })
}

/// No container of the pod has a capability, or captures by itself.
fn is_without_rights(pod: &Value) -> Result<()> {
    let lists = ["/spec/containers", "/spec/initContainers"];
    let all = lists
        .iter()
        .filter_map(|list| pod.pointer(list)?.as_array());
    let mut seen = 0;
    for container in all.flatten() {
        let added = container.pointer("/securityContext/capabilities/add");
        ensure!(added.is_none(), "{container}");
        ensure!(
            container.get("name") != Some(&json!("istio-init")),
            "{container}"
        );
        seen += 1;
    }
    ensure!(
        seen >= 3,
        "application, proxy and what tries the rules: {pod}"
    );
    Ok(())
}

#[test]
fn pods_without_rights_join_the_mesh_by_the_plugin_of_their_node() -> Result<()> {
    let target = Target::take("e2e-cni", &IMAGES)?;
    let kubectl = target.kubectl();
    let before = inventory::objects(kubectl)?;
    let mesh = Mesh::install(&target, &CONTROL)?;
    let words = plugin(&target);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    mesh.helm(&words)
        .map_err(|error| error.context(said(kubectl)))?;

    believed(kubectl)?;
    kubectl.apply(SHOP)?;
    let pod = until(kubectl, 0)?;
    is_without_rights(&pod)?;
    let caller = ["caller", SPACE, "--container=shell"];
    let seen = calls::until("the service by name", ANSWER, || {
        calls::call(kubectl, &caller, ("http://echo/", &[]))
    });
    let seen = seen.map_err(|error| error.context(said(kubectl)))?;
    // Both ends have an identity: what the caller sent in plaintext went through two proxies.
    let identity = "spiffe://cluster.local/ns/shop/sa/default";
    for end in ["By", "URI"] {
        ensure!(seen.contains(&format!("{end}={identity}")), "{seen}");
    }

    mesh.helm(&["uninstall", "istio-cni", "--wait"])?;
    if let Some(run) = run(&target) {
        // Its pod outlives the release by a moment.
        let chain = run.join("cni/10-meltemi.conflist");
        wait::every("a chain without the plugin", (DEADLINE, LOOK), || {
            let text = std::fs::read_to_string(&chain).context("the chain of the node")?;
            Ok((!text.contains("meltemi-cni")).then_some(()))
        })?;
    }
    kubectl.run(&["delete", "pods", SPACE, "--selector=app=echo"])?;
    let pod = until(kubectl, 126)?;
    let ready = pod.pointer("/status/containerStatuses/0/ready");
    ensure!(
        ready != Some(&json!(true)),
        "a pod without rules runs: {pod}"
    );

    kubectl.run(&["delete", "namespace", "shop"])?;
    mesh.uninstall()?;
    kubectl.run(&["delete", "namespace", SYSTEM])?;
    let after = inventory::objects(kubectl)?;
    let left: Vec<_> = after.difference(&before).collect();
    ensure!(left.is_empty(), "left behind: {left:#?}");
    target.release()
}
