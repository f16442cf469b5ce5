//! Plain Deployments in a labelled namespace get their proxies from the webhook, a gateway is nothing
//! but what is injected, and the API server believes the webhook whatever happens to its roots.

use anyhow::{Context, Result, ensure};
use meltemi_e2e::mesh::{GATEWAY, Mesh, SYSTEM};
use meltemi_e2e::shop::pieces;
use meltemi_e2e::webhooks::{HOOKS, settled};
use meltemi_e2e::{Target, calls, inventory};
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::wait;
use serde_json::{Value, json};
use std::time::Duration;

const SPACE: &str = "--namespace=shop";
/// The proxy of the pods, and an installation that has it.
const IMAGES: [&str; 4] = ["meltemid", "proxy", "echo", "tools"];
const VALUES: [&str; 2] = [
    "--set=global.tag=dev",
    "--set=global.proxy.resources.requests.cpu=10m",
];
/// A gateway that is injected.
const EDGE: [&str; 2] = ["--set=image=auto", "--set=resources.requests.cpu=10m"];
const ANSWER: &str = "\"workload\":\"echo\"";
const DEADLINE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

/// Nobody in the mesh takes plaintext.
const ROUTES: &str = "
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [shop]
  http:
  - route: [{destination: {host: echo}}]
";

/// An application whose proxy asks for so much, somebody beside it, and somebody outside.
fn shop(cpu: &str) -> String {
    let asked = format!("sidecar.istio.io/proxyCPU: {cpu}");
    pieces::all(&[
        pieces::namespace("shop", "istio-injection: enabled"),
        pieces::namespace("plain", ""),
        pieces::workload("echo", "app: echo", &asked),
        pieces::service("echo", "app: echo"),
        pieces::shell("caller", "shop"),
        pieces::shell("client", "plain"),
        pieces::gateway("istio: ingressgateway", "shop.example"),
    ])
}

/// What `kubectl get` shows, as JSON.
fn get(kubectl: &Kubectl, words: &[&str]) -> Result<Value> {
    let text = kubectl.run(&[&["get", "--output=json"], words].concat())?;
    Ok(serde_json::from_str(&text)?)
}

/// The one pod of a label, once it is ready; one that ends does not count.
fn ready(kubectl: &Kubectl, label: &str, space: &str) -> Result<Value> {
    let found = wait::every(&format!("a pod of {label}"), (DEADLINE, LOOK), || {
        let found = get(kubectl, &["pods", space, "--selector", label])?;
        let items = found.pointer("/items").and_then(Value::as_array);
        let ends = |pod: &&Value| pod.pointer("/metadata/deletionTimestamp").is_some();
        let mut here = items.into_iter().flatten().filter(|pod| !ends(pod));
        let first = here.next().filter(|pod| is_ready(pod)).cloned();
        Ok(first.filter(|_| here.next().is_none()))
    });
    found.map_err(|error| error.context(said(kubectl, space)))
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    let ready = conditions.find(|one| one.get("type") == Some(&json!("Ready")));
    ready.and_then(|one| one.get("status")) == Some(&json!("True"))
}

/// What a person would look at.
fn said(kubectl: &Kubectl, space: &str) -> String {
    let events = kubectl.run(&["get", "events", space]);
    let pods = kubectl.run(&["describe", "pods", space]);
    let logs = ["logs", "--selector=app=echo", "--container=istio-proxy"];
    let logs = kubectl.run(&[&logs[..], &[space, "--tail=40"]].concat());
    format!("{events:?}\n{pods:?}\n{logs:?}")
}

/// The container of a name, wherever it is, and whether the kubelet says that it is ready.
fn container(pod: &Value, name: &str) -> Result<(Value, bool)> {
    let named = |pointers: [&str; 2]| {
        let all = pointers.into_iter().filter_map(|at| pod.pointer(at));
        let mut all = all.filter_map(Value::as_array).flatten();
        all.find(|one| one.get("name") == Some(&json!(name)))
            .cloned()
    };
    let spec = named(["/spec/containers", "/spec/initContainers"]);
    let status = named(["/status/containerStatuses", "/status/initContainerStatuses"]);
    let is_ready = status.and_then(|status| status.get("ready")?.as_bool());
    Ok((
        spec.with_context(|| format!("no container {name} in {pod:#}"))?,
        is_ready.unwrap_or(false),
    ))
}

/// The pod has a proxy of ours, and both of its containers are ready.
fn has_proxy(pod: &Value) -> Result<()> {
    let (proxy, is_ready) = container(pod, "istio-proxy")?;
    ensure!(is_ready, "the proxy is not ready");
    let image = proxy.get("image").and_then(Value::as_str);
    ensure!(image == Some("docker.io/meltemi/proxy:dev"), "{image:?}");
    let (_, is_ready) = container(pod, "echo")?;
    ensure!(is_ready, "the application is not ready");
    let status = pod.pointer("/metadata/annotations/sidecar.istio.io~1status");
    ensure!(status.is_some(), "no status");
    Ok(())
}

/// What the gateway answers.
fn ask(kubectl: &Kubectl) -> Result<String> {
    let url = format!("http://{GATEWAY}.{SYSTEM}/");
    let pod = ["client", "--namespace=plain"];
    calls::call(kubectl, &pod, (&url, &["Host: shop.example"]))
}

/// The application's traffic goes through its proxy both ways, which nobody told the application.
fn captured(kubectl: &Kubectl) -> Result<()> {
    let seen = calls::until("the gateway", ANSWER, || ask(kubectl))?;
    ensure!(
        seen.contains("URI=spiffe://cluster.local/ns/istio-system/sa/"),
        "{seen}"
    );
    let caller = ["caller", SPACE, "--container=shell"];
    let seen = calls::until("the service by name", ANSWER, || {
        calls::call(kubectl, &caller, ("http://echo/", &[]))
    })?;
    let of =
        |name: &str, account: &str| format!("{name}=spiffe://cluster.local/ns/shop/sa/{account}");
    ensure!(
        seen.contains(&of("By", "default")) && seen.contains(&of("URI", "default")),
        "{seen}"
    );
    let client = ["client", "--namespace=plain"];
    calls::until("plaintext", "it is refused", || {
        let seen = calls::call(kubectl, &client, ("http://echo.shop/", &[]))?;
        Ok(match seen.contains(ANSWER) {
            true => seen,
            false => "it is refused".to_owned(),
        })
    })
    .map(drop)
}

/// A new pod of the Deployment comes with a proxy.
fn again(kubectl: &Kubectl) -> Result<()> {
    let restart = ["rollout", "restart", "deployment/echo", SPACE];
    kubectl.run(&restart)?;
    let status = ["rollout", "status", "deployment/echo", SPACE];
    let done = kubectl.run(&[&status[..], &["--timeout=60s"]].concat());
    done.map_err(|error| error.context(said(kubectl, SPACE)))?;
    has_proxy(&ready(kubectl, "app=echo", SPACE)?)
}

/// Whatever happens to the roots of the webhooks, pods come with proxies.
fn believed(kubectl: &Kubectl) -> Result<()> {
    let first = settled(kubectl, None)?;
    // Somebody empties one, and writes nonsense into another.
    for bundle in ["", "bm9uc2Vuc2U="] {
        let at = "/webhooks/2/clientConfig/caBundle";
        let patch = json!([{"op": "replace", "path": at, "value": bundle}]).to_string();
        // The API server takes no bundle that is no certificate; an empty one it does.
        let done = kubectl.run(&["patch", HOOKS, "--type=json", "--patch", &patch]);
        ensure!(done.is_ok() || !bundle.is_empty(), "{done:?}");
        let healed = settled(kubectl, None)?;
        ensure!(healed == first, "another bundle: {healed}");
    }
    again(kubectl)?;

    // Without its Secret the authority stays in force; the next process makes another one.
    let system = format!("--namespace={SYSTEM}");
    kubectl.run(&["delete", "secret", "istio-ca-secret", &system])?;
    again(kubectl)?;
    kubectl.run(&["rollout", "restart", "deployment/istiod", &system])?;
    let status = ["rollout", "status", "deployment/istiod", &system];
    kubectl.run(&[&status[..], &["--timeout=90s"]].concat())?;
    let next = settled(kubectl, Some(&first))?;
    again(kubectl)?;
    // Both replicas are content with it: nobody writes any more.
    let version = |kubectl: &Kubectl| -> Result<Value> {
        let hooks = get(kubectl, &[HOOKS])?;
        let version = hooks.pointer("/metadata/resourceVersion");
        version.cloned().context("a version")
    };
    let settled_at = version(kubectl)?;
    again(kubectl)?;
    ensure!(version(kubectl)? == settled_at, "somebody writes on");
    ensure!(settled(kubectl, None)? == next, "another bundle");
    Ok(())
}

/// Reliability.md T63: the API server believes the webhook whatever happens.
#[test]
fn t63_plain_deployments_join_the_mesh_whatever_happens_to_the_webhook() -> Result<()> {
    let target = Target::take("e2e-pods", &IMAGES)?;
    let kubectl = target.kubectl();
    let before = inventory::objects(kubectl)?;
    let two = ["--set=replicaCount=2", "--set=resources.requests.cpu=10m"];
    let mut mesh = Mesh::install(&target, &[&VALUES[..], &two].concat())?;
    // The webhook is asked about the gateway's pod, so it must be believed by then.
    settled(kubectl, None)?;
    mesh.add_gateway(&EDGE)?;
    let label = format!("app={GATEWAY}");
    let gateway = ready(kubectl, &label, &format!("--namespace={SYSTEM}"))?;
    let (proxy, _) = container(&gateway, "istio-proxy")?;
    let image = proxy.get("image").and_then(Value::as_str);
    ensure!(image == Some("docker.io/meltemi/proxy:dev"), "{image:?}");
    ensure!(
        proxy.pointer("/args/1") == Some(&json!("router")),
        "{proxy}"
    );

    kubectl.apply(&shop("10m"))?;
    has_proxy(&ready(kubectl, "app=echo", SPACE)?)?;
    let client = get(kubectl, &["pod", "client", "--namespace=plain"])?;
    ensure!(container(&client, "istio-proxy").is_err(), "nobody asked");
    kubectl.apply(ROUTES)?;
    captured(kubectl)?;

    // A mistake keeps the pod from running outside of the mesh, and the person is told.
    kubectl.apply(&shop("much"))?;
    calls::until("the events", "sidecar.istio.io/proxyCPU", || {
        kubectl.run(&["get", "events", SPACE])
    })?;
    kubectl.apply(&shop("10m"))?;
    believed(kubectl)?;

    kubectl.run(&["delete", "namespace", "shop", "plain"])?;
    mesh.uninstall()?;
    kubectl.run(&["delete", "namespace", SYSTEM])?;
    let after = inventory::objects(kubectl)?;
    let left: Vec<_> = after.difference(&before).collect();
    ensure!(left.is_empty(), "left behind: {left:#?}");
    target.release()
}
