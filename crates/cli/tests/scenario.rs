//! `meltemi test` and `meltemi translate --scenario` as scripts use them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SCENARIO: &str = r#"name: shop
proxy: {type: sidecar, namespace: shop, ips: [10.0.0.9]}
kubeConfig: |
  apiVersion: v1
  kind: Service
  metadata: {name: web, namespace: shop}
  spec:
    clusterIP: 10.96.0.1
    ports: [{name: http, port: 80}]
config: |
  apiVersion: networking.istio.io/v1
  kind: VirtualService
  metadata: {name: web, namespace: shop}
  spec:
    hosts: [web]
    http:
    - name: split
      match: [{uri: {prefix: /split}}]
      route:
      - {destination: {host: web}, weight: 90}
      - {destination: {host: web, port: {number: 80}}, weight: 10}
    - name: rest
      route: [{destination: {host: web}}]
registry:
  services:
  - {hostname: own.shop.svc.cluster.local, address: 10.96.0.2, resolution: STATIC, ports: [{name: a, number: 81, protocol: HTTP}]}
  instances:
  - {service: own.shop.svc.cluster.local, servicePort: 81, targetPort: 8081, addresses: [10.0.0.9]}
clusters: {"inbound|8081||": null}
clusterServices: {"inbound|8081||": [own.shop.svc.cluster.local]}
virtualHosts: {"80": {web: ["outbound|80||web.shop.svc.cluster.local"], nobody: null}}
calls:
- name: right
  call: {address: 10.96.0.1, port: 80, protocol: http, host: web}
  expect: {listener: 0.0.0.0_80, routeConfig: "80", route: rest, cluster: "outbound|80||web.shop.svc.cluster.local"}
- name: wrong
  call: {port: 80, protocol: http, host: web, path: /split}
  expect: {cluster: elsewhere}
- name: unasked
  call: {address: 10.96.0.1, port: 80, protocol: tcp}
- name: known
  call: {port: 81, mode: inbound}
  expect: {cluster: elsewhere, knownBug: upstream}
"#;

fn file(test: &str, text: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scenario");
    fs::create_dir_all(&root).unwrap();
    let path = root.join(format!("{test}.yaml"));
    fs::write(&path, text).unwrap();
    path
}

fn meltemi(words: &[&str], path: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meltemi"));
    command.args(words).arg(path).output().unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

#[test]
fn every_call_has_a_line_and_tables_follow() {
    let path = file("all", SCENARIO);
    let output = meltemi(&["test", "-o", "json"], &path);
    assert_eq!(output.status.code(), Some(1));
    let lines = lines(&output);
    let calls = of_kind(&lines, "call");
    let results: Vec<_> = calls
        .iter()
        .map(|call| call["result"].as_str().unwrap())
        .collect();
    assert_eq!(results, ["pass", "fail", "unasked", "known-bug"]);
    let [right, wrong, unasked, _] = &calls[..] else {
        unreachable!();
    };
    assert_eq!(right["got"]["virtualHost"], "web.shop.svc.cluster.local:80");
    assert_eq!(right["origin"][0]["object"], "VirtualService/shop/web");
    assert_eq!(right["origin"][0]["line"], 11);
    assert_eq!(right["file"], path.display().to_string());
    assert_eq!(wrong["mismatch"], json!(["cluster"]));
    assert_eq!(wrong["got"]["route"], "split");
    assert_eq!(wrong["weighted"][0]["weight"], 90);
    assert_eq!(unasked["expected"], Value::Null);
    assert_eq!(unasked["got"]["cluster"], "PassthroughCluster");
    assert_eq!(
        of_kind(&lines, "clusters")[0]["got"],
        json!({"inbound|8081||": null})
    );
    for kind in ["clusters", "clusterServices"] {
        assert_eq!(of_kind(&lines, kind)[0]["result"], "pass", "{kind}");
    }
    let hosts = of_kind(&lines, "virtualHosts");
    let web = hosts
        .iter()
        .find(|line| line["routeConfig"] == "80")
        .unwrap();
    assert_eq!(web["result"], "pass", "{web}");
    assert_eq!(of_kind(&lines, "endpoints").len(), 1);
    assert_eq!(of_kind(&lines, "nameTable").len(), 1);
    let summary = lines.last().unwrap();
    let counts = ["files", "calls", "pass", "fail"].map(|key| summary[key].as_u64().unwrap());
    assert_eq!(
        (summary["kind"].as_str(), counts),
        (Some("summary"), [1, 4, 1, 1])
    );
    assert_eq!(
        meltemi(&["test", "-o", "json"], &path).stdout,
        output.stdout
    );
}

#[test]
fn people_read_what_differs_and_where_it_comes_from() {
    let output = meltemi(&["test"], &file("text", SCENARIO));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("cluster: expected \"elsewhere\", got \"\""),
        "{text}"
    );
    assert!(text.contains("from VirtualService shop/web"), "{text}");
    assert!(
        text.ends_with("1 files, 4 calls: 1 pass, 1 fail, 2 not judged; 3 tables pass, 0 fail\n"),
        "{text}"
    );
}

#[test]
fn a_filter_leaves_calls_and_scenarios_out() {
    let path = file("filter", SCENARIO);
    let output = meltemi(&["test", "-o", "json", "--filter", "^shop/right$"], &path);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(of_kind(&lines(&output), "call").len(), 1);
    let output = meltemi(&["test", "-o", "json", "--filter", "nobody"], &path);
    assert_eq!(lines(&output).len(), 1);
    let output = meltemi(&["test", "--filter", "("], &path);
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn a_waypoint_is_not_known_rather_than_right() {
    let text = "proxy: {type: waypoint, ips: [1.1.1.1]}\ncalls:\n- call: {port: 80}\n";
    let output = meltemi(&["test", "-o", "json"], &file("waypoint", text));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(lines(&output)[0]["got"]["error"], "unsupported");
}

#[test]
fn what_cannot_be_read_names_its_place() {
    for (name, text, place) in [
        (
            "port",
            "proxy: {ips: [1.1.1.1]}\ncalls:\n- call: {port: web}\n",
            ":3:",
        ),
        ("syntax", "proxy: [\n", ":1:"),
        ("nothing", "a: b\n", "no scenario"),
        ("address", "proxy: {namespace: a}\n", ":1:"),
    ] {
        let output = meltemi(&["test"], &file(name, text));
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(65), "{name}: {error}");
        assert!(
            error.contains(place) && output.stdout.is_empty(),
            "{name}: {error}"
        );
    }
    let output = meltemi(&["test"], Path::new("/no/such/scenario.yaml"));
    assert_eq!(output.status.code(), Some(66));
}

#[test]
fn translate_takes_the_proxy_and_objects_of_a_scenario() {
    let output = meltemi(
        &["translate", "-o", "json", "--scenario"],
        &file("translate", SCENARIO),
    );
    assert_eq!(output.status.code(), Some(0));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["node"]["metadata"]["NAMESPACE"], "shop");
    let names = document["resources"]["cluster"].as_array().unwrap();
    assert!(
        names
            .iter()
            .any(|c| c["name"] == "outbound|80||web.shop.svc.cluster.local")
    );
}

#[test]
fn services_that_exist_are_served_even_if_nobody_may_add_them() {
    let text = r#"name: twins
proxy: {type: sidecar, namespace: shop, ips: [10.0.0.9]}
config: |
  apiVersion: v1
  kind: Service
  metadata: {name: web, namespace: shop}
  spec:
    clusterIP: 10.96.0.1
    ports: [{name: http, port: 80}, {name: http, port: 8080}]
virtualHosts:
  "80": {web: ["outbound|80||web.shop.svc.cluster.local"]}
  "8080": {web: ["outbound|8080||web.shop.svc.cluster.local"]}
"#;
    let path = file("twins", text);
    let output = meltemi(&["test", "-o", "json"], &path);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = lines(&output);
    let tables = of_kind(&lines, "virtualHosts");
    assert_eq!(tables.len(), 2);
    assert!(tables.iter().all(|table| table["result"] == "pass"));
    let findings = of_kind(&lines, "diagnostic");
    assert_eq!(findings[0]["path"], "spec.ports[1].name");
    assert_eq!(findings[0]["severity"], "warning");
}
