//! Pods that want more than a proxy, and strangers who ask the injector themselves: the threats to the
//! webhook, through its listener.

use crate::ads::SOON;
use anyhow::{Context, Result, ensure};
use meltemi_live::citadel::Citadel;
use meltemi_testkit::wait;
use meltemi_testkit::webhooks::{Hook, head, post};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};
use tokio::time::timeout;

const JSON: &str = "application/json";
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
const CONFIG: &str = "/api/v1/namespaces/istio-system/configmaps/istio-sidecar-injector";
/// What a question may take, and some room.
const PATIENCE: Duration = Duration::from_secs(8);

/// A control plane that injects.
fn start(name: &str) -> Result<Citadel> {
    let data = json!({"config": "policy: enabled\n", "values": "{\"global\": {\"tag\": \"1\"}}"});
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {"name": "istio-sidecar-injector", "namespace": "istio-system", "resourceVersion": "1"},
    });
    Citadel::start_prepared(name, &["--httpsAddr", "127.0.0.1:0"], |stage| {
        stage.reviews.put(CONFIG, map);
        Ok(())
    })
}

async fn connect(citadel: &Citadel, from: IpAddr) -> Result<Hook> {
    Hook::connect(citadel.plane.webhook()?, &citadel.roots()?, from).await
}

/// The pod that everybody would send.
fn pod() -> Value {
    json!({
        "metadata": {"generateName": "web-", "labels": {"app": "web"}, "annotations": {}},
        "spec": {"serviceAccountName": "web", "containers": [{
            "name": "app", "image": "app:1",
            "readinessProbe": {"httpGet": {"path": "/", "port": 8080}},
        }]},
    })
}

fn review(pod: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "1-2-3", "namespace": "shop", "operation": "CREATE",
            "kind": {"group": "", "version": "v1", "kind": "Pod"}, "object": pod,
        },
    })
}

/// Asks about a pod; the response of the review.
async fn ask(hook: &mut Hook, pod: &Value) -> Result<Value> {
    let body = review(pod).to_string();
    hook.send(&post("/inject", JSON, body.as_bytes())).await?;
    let (status, body) = hook.answer().await?;
    let text = String::from_utf8_lossy(&body).into_owned();
    ensure!(status == 200, "{status}: {text}");
    let answer: Value = serde_json::from_slice(&body)?;
    let keys = |value: &Value| -> Vec<String> {
        let all = value.as_object().into_iter().flatten();
        all.map(|(key, _)| key.clone()).collect()
    };
    ensure!(
        keys(&answer) == ["apiVersion", "kind", "response"],
        "{text}"
    );
    answer.get("response").cloned().context("no response")
}

/// The changes that an answer asks for.
fn changes(citadel: &Citadel, answer: &Value) -> Result<Vec<Value>> {
    let Some(patch) = answer.get("patch").and_then(Value::as_str) else {
        return Ok(Vec::new());
    };
    Ok(serde_json::from_str(&citadel.openssl.from_base64(patch)?)?)
}

/// What injection may touch of a pod.
const ALLOWED: [&str; 8] = [
    "/metadata/annotations",
    "/metadata/labels",
    "/spec/containers",
    "/spec/dnsConfig",
    "/spec/imagePullSecrets",
    "/spec/initContainers",
    "/spec/securityContext",
    "/spec/volumes",
];

/// Everywhere below a value, whether something is so.
fn anywhere(value: &Value, is: fn(&str, &Value) -> bool) -> bool {
    match value {
        Value::Object(fields) => fields
            .iter()
            .any(|(key, value)| is(key, value) || anywhere(value, is)),
        Value::Array(items) => items.iter().any(|item| anywhere(item, is)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// What no proxy has.
fn is_too_much(key: &str, value: &Value) -> bool {
    let flags = ["privileged", "hostNetwork", "hostPID", "hostIPC"];
    flags.contains(&key) && *value == true
        || matches!(key, "hostPath" | "serviceAccountName" | "nodeName")
        || key == "name" && *value == "evil"
}

/// Texts that would mean something else in a template of text.
const TEXTS: [&str; 9] = [
    "x\"\n    securityContext: {privileged: true}\n    foo: \"",
    "x\n      hostNetwork: true",
    "warning\"]\n- name: evil\n  image: evil\n  args: [\"",
    "info\",\"privileged\":true,\"x\":\"",
    "{{ .Values.global }}",
    "a\u{0}b",
    "\r\n- name: evil",
    "10.0.0.0/8\" -j ACCEPT; rm -rf /; \"",
    "[{\"name\":\"evil\",\"image\":\"evil\"}]",
];

/// Annotations and labels whose text comes into a pod.
const KEYS: [&str; 30] = [
    "sidecar.istio.io/proxyCPU",
    "sidecar.istio.io/proxyMemoryLimit",
    "sidecar.istio.io/proxyImage",
    "sidecar.istio.io/proxyImageType",
    "sidecar.istio.io/interceptionMode",
    "sidecar.istio.io/logLevel",
    "sidecar.istio.io/componentLogLevel",
    "sidecar.istio.io/agentLogLevel",
    "sidecar.istio.io/nativeSidecar",
    "sidecar.istio.io/bootstrapOverride",
    "sidecar.istio.io/userVolume",
    "sidecar.istio.io/userVolumeMount",
    "sidecar.istio.io/discoveryAddress",
    "sidecar.istio.io/status",
    "sidecar.istio.io/rewriteAppHTTPProbers",
    "traffic.sidecar.istio.io/includeOutboundIPRanges",
    "traffic.sidecar.istio.io/excludeOutboundIPRanges",
    "traffic.sidecar.istio.io/includeInboundPorts",
    "traffic.sidecar.istio.io/excludeInboundPorts",
    "traffic.sidecar.istio.io/excludeOutboundPorts",
    "traffic.sidecar.istio.io/excludeInterfaces",
    "istio.io/reroute-virtual-interfaces",
    "status.sidecar.istio.io/port",
    "readiness.status.sidecar.istio.io/periodSeconds",
    "proxy.istio.io/config",
    "proxy.istio.io/overrides",
    "inject.istio.io/templates",
    "prometheus.io/port",
    "prometheus.istio.io/scrape-targets",
    "k8s.v1.cni.cncf.io/networks",
];

#[tokio::test]
async fn t51_what_a_pod_says_never_gets_out_of_its_place() -> Result<()> {
    let citadel = start("t51")?;
    let mut hook = connect(&citadel, SERVER).await?;
    let plain = ask(&mut hook, &pod()).await?;
    ensure!(!changes(&citadel, &plain)?.is_empty(), "{plain}");
    let (mut refused, mut injected) = (0, 0);
    for key in KEYS {
        for text in TEXTS {
            let mut pod = pod();
            pod["metadata"]["annotations"][key] = json!(text);
            // The same in a label, which the proxy's name is made of.
            pod["metadata"]["labels"]["app"] = json!(text);
            let answer = ask(&mut hook, &pod).await?;
            if answer["allowed"] == false {
                let why = answer["status"]["message"].as_str().unwrap_or_default();
                ensure!(why.contains("pod shop/web-"), "{key}={text:?}: {why}");
                refused += 1;
                continue;
            }
            injected += 1;
            for change in changes(&citadel, &answer)? {
                let path = change["path"].as_str().context("no path")?;
                let allowed = ALLOWED.iter().any(|one| path.starts_with(one));
                ensure!(allowed, "{key}={text:?}: {change}");
                // The pod's own words come back as they were, and as nothing else.
                let quotes = path.starts_with("/metadata/annotations");
                let bad = !quotes && anywhere(&change, is_too_much);
                ensure!(!bad, "{key}={text:?}: {change}");
            }
        }
    }
    ensure!(refused > 100 && injected > 10, "{refused} {injected}");
    Ok(())
}

/// What is no review, or none of this version.
fn nonsense() -> Vec<Vec<u8>> {
    let whole = review(&pod()).to_string().into_bytes();
    let mut all: Vec<Vec<u8>> = (0..whole.len())
        .step_by(37)
        .filter_map(|end| whole.get(..end).filter(|cut| !cut.is_empty()))
        .map(<[u8]>::to_vec)
        .collect();
    // Any byte changed, the same ones in each run.
    let mut seed = 7_u64;
    for _ in 0..200 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let mut body = whole.clone();
        let at = usize::try_from(seed >> 33).unwrap_or(0) % body.len();
        if let Some(byte) = body.get_mut(at) {
            *byte = seed.to_le_bytes()[2];
        }
        all.push(body);
    }
    for text in [
        "null",
        "[]",
        "7",
        "{}",
        "{\"request\": null}",
        "{\"request\": {}}",
        "{\"request\": {\"uid\": \"a\", \"object\": 7}}",
        "{\"request\": {\"object\": {\"metadata\": [], \"spec\": {}}}}",
        "{\"request\": {\"object\": {\"metadata\": {}, \"spec\": {\"containers\": 7}}}}",
        "{\"request\": {\"object\": {\"metadata\": {\"annotations\": 7}, \"spec\": {\"containers\": [7]}}}}",
        "apiVersion: v1",
    ] {
        all.push(text.into());
    }
    all.push(b"[".repeat(200_000));
    all.push(vec![0xff; 1000]);
    let mut deep = pod();
    for _ in 0..100 {
        deep = json!({"metadata": deep, "spec": {}});
    }
    all.push(review(&deep).to_string().into_bytes());
    let mut many = pod();
    if let Some(containers) = many.pointer_mut("/spec/containers") {
        *containers = json!(vec![json!({"name": "a"}); 50_000]);
    }
    all.push(review(&many).to_string().into_bytes());
    all
}

#[tokio::test]
async fn t61_whoever_asks_costs_little_and_learns_nothing() -> Result<()> {
    let citadel = start("t61")?;
    let mut hook = connect(&citadel, STRANGER).await?;
    // A stranger learns what becomes of the pod that he sent, and nothing else.
    let answer = ask(&mut hook, &pod()).await?;
    let changes = changes(&citadel, &answer)?;
    let text = json!(changes).to_string();
    for secret in ["BEGIN", "PRIVATE", "eyJ"] {
        ensure!(!text.contains(secret), "{secret} in {text}");
    }
    for (path, kind, body, expected) in [
        ("/inject", "text/yaml", &b"{}"[..], 415),
        ("/inject", JSON, b"", 400),
        ("/inject/cluster", JSON, b"{}", 400),
        ("/inject/cluster/x%0a", JSON, b"{}", 400),
        ("/debug/syncz", JSON, b"{}", 404),
        ("/validate", JSON, b"{}", 404),
    ] {
        hook.send(&post(path, kind, body)).await?;
        let (status, said) = hook.answer().await?;
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(status == expected, "{path} {kind}: {status} {said}");
        hook = connect(&citadel, STRANGER).await?;
    }
    for body in nonsense() {
        hook.send(&post("/inject", JSON, &body)).await?;
        let (status, said) = timeout(PATIENCE, hook.answer()).await??;
        let shown = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
        ensure!(status == 200, "{status} for {shown}");
        let said: Value = serde_json::from_slice(&said)?;
        let answer = &said["response"];
        let why = answer["status"]["message"].as_str().unwrap_or_default();
        let fine = answer["allowed"] == true || !why.is_empty();
        ensure!(fine, "{said} for {shown}");
    }
    too_long(&citadel).await?;
    flood(&citadel).await?;
    let metrics = citadel.plane.metrics()?;
    let sum = |name: &str| metrics.sum(&format!("sidecar_injection_{name}"));
    ensure!(sum("requests_total") > 200.0, "{}", sum("requests_total"));
    let counted = sum("success_total") + sum("failure_total") + sum("skip_total");
    ensure!((sum("requests_total") - counted).abs() < 0.5, "{counted}");
    ensure!(!citadel.plane.log().contains("panicked"), "it panicked");
    Ok(())
}

async fn too_long(citadel: &Citadel) -> Result<()> {
    let mut hook = connect(citadel, STRANGER).await?;
    let long = (6 << 20) + 1;
    hook.send(head("/inject", JSON, long).as_bytes()).await?;
    // It may be refused before all of it was sent.
    let body = vec![b' '; long];
    for chunk in body.chunks(64 << 10) {
        if hook.send(chunk).await.is_err() {
            break;
        }
    }
    let (status, _) = hook.answer().await?;
    ensure!(status == 400, "{status}");
    Ok(())
}

/// Who sends half of much keeps nobody out, and is let go.
async fn flood(citadel: &Citadel) -> Result<()> {
    let began = Instant::now();
    let half = vec![b' '; 3 << 20];
    let mut slow = Vec::new();
    let mut busy = 0;
    for _ in 0..12 {
        let mut hook = connect(citadel, STRANGER).await?;
        hook.send(head("/inject", JSON, 2 * half.len()).as_bytes())
            .await?;
        match hook.send(&half).await {
            Ok(()) => slow.push(hook),
            Err(_) => busy += 1,
        }
    }
    for _ in 0..200 {
        let mut hook = connect(citadel, STRANGER).await?;
        hook.send(head("/inject", JSON, 1000).as_bytes()).await?;
        slow.push(hook);
    }
    let mut server = connect(citadel, SERVER).await?;
    let asked = Instant::now();
    let answer = ask(&mut server, &pod()).await?;
    ensure!(answer.get("allowed") == Some(&json!(true)), "{answer}");
    let took = asked.elapsed();
    ensure!(took < Duration::from_secs(2), "others wait for {took:?}");
    for hook in &mut slow {
        let left = PATIENCE.saturating_sub(began.elapsed());
        let left = left.max(Duration::from_secs(5));
        match timeout(left, hook.answer())
            .await
            .context("held for ever")?
        {
            Ok((503, _)) => busy += 1,
            Ok((status, _)) => ensure!(status == 408, "{status}"),
            // The connection was closed before all of it was read, and the answer is lost.
            Err(_closed) => busy += 1,
        }
    }
    ensure!(busy > 0, "one address may hold as much as it likes");
    let gone = wait::until("memory to be given back", SOON, || {
        Ok(citadel.plane.get("/ready").ok())
    })?;
    ensure!(gone == "ready\n", "{gone}");
    Ok(())
}

#[tokio::test]
async fn settings_are_those_in_force_and_a_mistake_changes_nothing() -> Result<()> {
    let citadel = start("webhook-settings")?;
    let mut hook = connect(&citadel, SERVER).await?;
    let mut own = pod();
    own["metadata"]["namespace"] = json!("");
    let answer = ask(&mut hook, &own).await?;
    ensure!(answer["uid"] == "1-2-3" && answer["patchType"] == "JSONPatch");
    let text = json!(changes(&citadel, &answer)?).to_string();
    ensure!(text.contains("docker.io/meltemi/proxyv2:1"), "{text}");
    ensure!(!text.contains("\"path\":\"/metadata/namespace\""), "{text}");
    // Injecting what came out changes nothing: there is no patch at all.
    let mut refused = pod();
    refused["metadata"]["labels"]["sidecar.istio.io/inject"] = json!("false");
    let answer = ask(&mut hook, &refused).await?;
    ensure!(
        answer == json!({"uid": "1-2-3", "allowed": true}),
        "{answer}"
    );
    // The address says where the proxy is.
    let body = review(&pod()).to_string();
    let path = "/inject/cluster/east/net/one";
    hook.send(&post(path, JSON, body.as_bytes())).await?;
    let said: Value = serde_json::from_slice(&hook.answer().await?.1)?;
    let text = json!(changes(&citadel, &said["response"])?).to_string();
    for (name, value) in [("CLUSTER_ID", "east"), ("NETWORK", "one")] {
        let variable = json!({"name": format!("ISTIO_META_{name}"), "value": value});
        ensure!(text.contains(&variable.to_string()), "{variable}: {text}");
    }
    // An older API server is answered in its words.
    let body = body.replace("k8s.io/v1\"", "k8s.io/v1beta1\"");
    hook.send(&post("/inject", JSON, body.as_bytes())).await?;
    let said: Value = serde_json::from_slice(&hook.answer().await?.1)?;
    ensure!(said["apiVersion"] == "admission.k8s.io/v1beta1", "{said}");
    let mut wrong = pod();
    wrong["metadata"]["annotations"]["sidecar.istio.io/proxyCPU"] = json!("much");
    let answer = ask(&mut hook, &wrong).await?;
    let why = answer["status"]["message"].as_str().unwrap_or_default();
    ensure!(
        why.contains("sidecar.istio.io/proxyCPU") && why.contains("MLT"),
        "{why}"
    );
    Ok(())
}
