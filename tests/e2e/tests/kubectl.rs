//! What a user sees of our kinds through kubectl: what is sent is what is stored, in every version,
//! and what is printed about it (`testdata/kubectl`, written by `BLESS=1`). No control plane takes
//! part: all of this is the work of the definitions.

use anyhow::{Context, Result, ensure};
use meltemi_e2e::mesh::{Mesh, SYSTEM};
use meltemi_e2e::{Target, golden};
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::wait;
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

const SPACE: &str = "--namespace=kinds";
const DEADLINE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(250);

/// Kind, group, plural, all versions.
const KINDS: [(&str, &str, &str, &[&str]); 15] = [
    (
        "AuthorizationPolicy",
        "security",
        "authorizationpolicies",
        &["v1", "v1beta1"],
    ),
    (
        "DestinationRule",
        "networking",
        "destinationrules",
        &["v1", "v1beta1", "v1alpha3"],
    ),
    ("EnvoyFilter", "networking", "envoyfilters", &["v1alpha3"]),
    (
        "Gateway",
        "networking",
        "gateways",
        &["v1", "v1beta1", "v1alpha3"],
    ),
    (
        "PeerAuthentication",
        "security",
        "peerauthentications",
        &["v1", "v1beta1"],
    ),
    ("ProxyConfig", "networking", "proxyconfigs", &["v1beta1"]),
    (
        "RequestAuthentication",
        "security",
        "requestauthentications",
        &["v1", "v1beta1"],
    ),
    (
        "ServiceEntry",
        "networking",
        "serviceentries",
        &["v1", "v1beta1", "v1alpha3"],
    ),
    (
        "Sidecar",
        "networking",
        "sidecars",
        &["v1", "v1beta1", "v1alpha3"],
    ),
    ("Telemetry", "telemetry", "telemetries", &["v1", "v1alpha1"]),
    (
        "TrafficExtension",
        "extensions",
        "trafficextensions",
        &["v1alpha1"],
    ),
    (
        "VirtualService",
        "networking",
        "virtualservices",
        &["v1", "v1beta1", "v1alpha3"],
    ),
    ("WasmPlugin", "extensions", "wasmplugins", &["v1alpha1"]),
    (
        "WorkloadEntry",
        "networking",
        "workloadentries",
        &["v1", "v1beta1", "v1alpha3"],
    ),
    (
        "WorkloadGroup",
        "networking",
        "workloadgroups",
        &["v1", "v1beta1", "v1alpha3"],
    ),
];

/// Short names, and what they stand for.
const SHORT: [(&str, &str); 10] = [
    ("ap", "authorizationpolicy.security"),
    ("dr", "destinationrule.networking"),
    ("gw", "gateway.networking"),
    ("pa", "peerauthentication.security"),
    ("ra", "requestauthentication.security"),
    ("se", "serviceentry.networking"),
    ("telemetry", "telemetry.telemetry"),
    ("vs", "virtualservice.networking"),
    ("we", "workloadentry.networking"),
    ("wg", "workloadgroup.networking"),
];

/// What is explained: some of what users look up most.
const EXPLAINED: [&str; 13] = [
    "vs",
    "vs.spec.http.retries",
    "vs.spec.http.match",
    "dr.spec.trafficPolicy.outlierDetection",
    "gateways.networking.istio.io.spec.servers.tls",
    "se.spec",
    "sidecars.networking.istio.io.spec.egress",
    "envoyfilter.spec.configPatches.patch",
    "we.spec",
    "ap.spec.rules.from.source",
    "pa.spec",
    "ra.spec.jwtRules",
    "telemetry.spec.tracing",
];

/// A mistake of each sort that the API server itself finds.
const MISTAKES: [(&str, &str, &str); 6] = [
    (
        "virtualservice",
        "hosts: [till.example, \"*.till.example\"]",
        "hosts: 7",
    ),
    ("virtualservice", "    timeout: 5s", "    timeouts: 5s"),
    ("virtualservice", "    timeout: 5s", "    timeout: soon"),
    ("serviceentry", "resolution: STATIC", "resolution: SOMEHOW"),
    (
        "destinationrule",
        "ringHash: {minimumRingSize: 2048}",
        "httpHeaderName: x-user",
    ),
    ("authorizationpolicy", "{key: source.ip, ", "{"),
];

/// A sample, as it is sent.
fn sample(kind: &str) -> Result<(String, Value)> {
    let path = golden::path(&format!("kinds/{}.yaml", kind.to_lowercase()));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let object = serde_yaml::from_str(&text)?;
    Ok((text, object))
}

/// All samples in all versions, each named after the version.
fn versions() -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for (kind, group, _, versions) in KINDS {
        for version in versions {
            let mut object = sample(kind)?.1;
            let name = json!(format!("sample-{version}"));
            let version = json!(format!("{group}.istio.io/{version}"));
            *object.pointer_mut("/metadata/name").context("no name")? = name;
            *object.pointer_mut("/apiVersion").context("no version")? = version;
            all.push(object);
        }
    }
    Ok(all)
}

/// Runs kubectl with a text for its standard input: code, and what it said.
fn with_input(kubectl: &Kubectl, words: &[&str], text: &str) -> Result<(i32, String)> {
    let mut child = kubectl
        .command(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no input")?;
    stdin.write_all(text.as_bytes())?;
    drop(stdin);
    let out = child.wait_with_output()?;
    let said = [out.stdout, out.stderr].concat();
    let code = out.status.code().context("killed")?;
    Ok((code, String::from_utf8_lossy(&said).into_owned()))
}

/// Objects as one text: JSON is YAML.
fn stream(objects: &[Value]) -> String {
    let texts: Vec<_> = objects.iter().map(Value::to_string).collect();
    texts.join("\n---\n")
}

/// The definitions are there when all of them can be discovered.
fn discovered(kubectl: &Kubectl) -> Result<()> {
    wait::every("all kinds to be discovered", (DEADLINE, LOOK), || {
        let names = kubectl.run(&["api-resources", "--categories=istio-io", "--output=name"])?;
        Ok((names.lines().count() == KINDS.len()).then_some(()))
    })
}

/// What is written in each version is read in each, and is what was sent.
fn read_back(kubectl: &Kubectl) -> Result<()> {
    let sent = versions()?;
    kubectl.apply(&stream(&sent))?;
    for (kind, group, plural, versions) in KINDS {
        let spec = sample(kind)?.1.get("spec").cloned();
        for read in versions {
            let path = format!("/apis/{group}.istio.io/{read}/namespaces/kinds/{plural}");
            let list: Value = serde_json::from_str(&kubectl.run(&["get", "--raw", &path])?)?;
            let items = list.get("items").and_then(Value::as_array);
            let items = items.with_context(|| format!("{path} is no list"))?;
            ensure!(items.len() == versions.len(), "{path}: {list}");
            for item in items {
                let of = |name| {
                    item.pointer(name)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                };
                let what = format!("{kind} {}, read as {read}", of("/metadata/name"));
                ensure!(
                    of("/apiVersion") == format!("{group}.istio.io/{read}"),
                    "{what}: {item}"
                );
                ensure!(
                    item.get("spec") == spec.as_ref(),
                    "{what}: {item}\nwas: {spec:?}"
                );
            }
        }
    }
    let all = stream(&sent);
    // Applied again, from another side, and compared: nothing changes.
    let silent = (0, String::new());
    let diff = with_input(kubectl, &["diff", "--filename=-"], &all)?;
    ensure!(diff == silent, "kubectl diff: {diff:?}");
    let again = kubectl.apply(&all)?;
    ensure!(
        again.lines().all(|line| line.ends_with("unchanged")),
        "{again}"
    );
    let (code, said) = with_input(kubectl, &["apply", "--server-side", "--filename=-"], &all)?;
    ensure!(code == 0, "{said}");
    let diff = with_input(kubectl, &["diff", "--server-side", "--filename=-"], &all)?;
    ensure!(diff == silent, "kubectl diff --server-side: {diff:?}");
    let (code, said) = with_input(kubectl, &["delete", "--filename=-"], &all)?;
    ensure!(code == 0, "{said}");
    Ok(())
}

/// One table of a list of kinds for each kind, in the order of their text.
fn tables(text: &str) -> String {
    let mut tables: Vec<_> = text.split("\n\n").map(golden::ageless).collect();
    tables.sort();
    tables.join("\n\n")
}

fn shown(kubectl: &Kubectl) -> Result<()> {
    let all = ["get", "istio-io", SPACE];
    golden::check("kubectl/get.txt", &tables(&kubectl.run(&all)?))?;
    let wide = kubectl.run(&[&all[..], &["--output=wide"]].concat())?;
    golden::check("kubectl/get.txt", &tables(&wide))?;
    for group in ["extensions", "networking", "security", "telemetry"] {
        let category = format!("{group}-istio-io");
        let names = kubectl.run(&["get", &category, SPACE, "--output=name"])?;
        let expected = KINDS.iter().filter(|kind| kind.1 == group).count();
        ensure!(names.lines().count() == expected, "{category}: {names}");
    }
    let short = SHORT.map(|(short, _)| format!("{short}/sample"));
    let short: Vec<_> = short.iter().map(String::as_str).collect();
    let names = kubectl.run(&[&["get", SPACE, "--output=name"], &short[..]].concat())?;
    let full = SHORT.map(|(_, full)| format!("{full}.istio.io/sample"));
    ensure!(names.lines().eq(full), "{names}");
    for kind in ["gateways.networking.istio.io", "pa", "we"] {
        let name = kind.split('.').next().unwrap_or_default();
        let text = kubectl.run(&["describe", kind, "sample", SPACE])?;
        golden::check(
            &format!("kubectl/describe-{name}.txt"),
            &golden::anonymous(&text),
        )?;
    }
    Ok(())
}

fn explained(kubectl: &Kubectl) -> Result<()> {
    let mut pages = String::new();
    for path in EXPLAINED {
        let page = kubectl.run(&["explain", path])?;
        pages += &format!("$ kubectl explain {path}\n");
        page.lines()
            .for_each(|line| pages += &format!("{}\n", line.trim_end()));
    }
    golden::check("kubectl/explain.txt", &pages)
}

/// Objects that the API server refuses, in the words that a user reads.
fn refused(kubectl: &Kubectl) -> Result<()> {
    let mut pages = String::new();
    for (kind, right, wrong) in MISTAKES {
        let text = sample(kind)?.0;
        ensure!(text.contains(right), "{kind} has no {right}");
        let text = text.replacen(right, wrong, 1);
        let (code, said) = with_input(kubectl, &["apply", "--filename=-"], &text)?;
        ensure!(code == 1, "{wrong} is accepted: {said}");
        pages += &format!("# {kind} with {}\n{}\n\n", wrong.trim(), said.trim_end());
    }
    golden::check("kubectl/refused.txt", &pages)
}

/// A controller's status can be waited for, and is no part of what a user applies.
fn waited_for(kubectl: &Kubectl) -> Result<()> {
    let condition = json!({"type": "Programmed", "status": "True"});
    let patch = json!({"status": {"conditions": [condition]}}).to_string();
    let subresource = ["--subresource=status", "--type=merge", SPACE];
    let words = ["patch", "virtualservice", "sample", "--patch", &patch];
    kubectl.run(&[&words[..], &subresource].concat())?;
    for condition in [
        "condition=Programmed",
        "jsonpath={.spec.http[0].timeout}=5s",
    ] {
        let until = format!("--for={condition}");
        kubectl.run(&["wait", "vs/sample", &until, SPACE, "--timeout=10s"])?;
    }
    let text = sample("VirtualService")?.0;
    let diff = with_input(kubectl, &["diff", "--filename=-"], &text)?;
    ensure!(diff == (0, String::new()), "kubectl diff: {diff:?}");
    Ok(())
}

#[test]
fn objects_are_stored_as_they_are_sent_and_read_well() -> Result<()> {
    let target = Target::take("e2e-kubectl", &[])?;
    let kubectl = target.kubectl();
    let mesh = Mesh::definitions(&target)?;
    discovered(kubectl)?;
    kubectl.run(&["create", "namespace", "kinds"])?;
    read_back(kubectl)?;
    refused(kubectl)?;
    for (kind, ..) in KINDS {
        kubectl.apply(&sample(kind)?.0)?;
    }
    shown(kubectl)?;
    explained(kubectl)?;
    waited_for(kubectl)?;
    kubectl.run(&["delete", "namespace", "kinds"])?;
    mesh.uninstall()?;
    kubectl.run(&["delete", "namespace", SYSTEM, "--ignore-not-found"])?;
    target.release()
}
