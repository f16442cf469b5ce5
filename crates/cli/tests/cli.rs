//! The binary as scripts use it: stdout, stderr and exit codes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const FRONTEND: &str = "sidecar~127.0.1.11~frontend.shop~shop.svc.cluster.local";

fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap().to_owned()
}

fn demo() -> String {
    repository().join("manifests/demo").display().to_string()
}

/// A directory of this test alone with these files.
fn directory(test: &str, files: &[(&str, &str)]) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    if root.exists() {
        fs::remove_dir_all(&root).unwrap();
    }
    fs::create_dir_all(&root).unwrap();
    for (name, text) in files {
        fs::write(root.join(name), text).unwrap();
    }
    root
}

/// What came of a run.
struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Run {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().unwrap(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}{}", self.out, self.err))
    }

    /// A failure says nothing on stdout and does not look like a diagnostic.
    fn failed(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{}", self.err);
        assert_eq!(self.out, "");
        assert!(
            self.err.contains(words),
            "{words:?} is not in {:?}",
            self.err
        );
        for line in self.err.lines() {
            assert!(
                !line.starts_with("error") && !line.starts_with("warn"),
                "{line}"
            );
        }
    }
}

fn meltemi(words: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meltemi"));
    Run::of(command.args(words).stdin(Stdio::null()).output().unwrap())
}

fn fed(words: &[&str], input: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_meltemi"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Wrong usage is told before anything is read.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    Run::of(child.wait_with_output().unwrap())
}

fn translate(words: &[&str]) -> Run {
    let demo = demo();
    let mut all = vec!["translate", "-f", &demo];
    all.extend(words);
    meltemi(&all)
}

fn names(document: &Value, kind: &str) -> Vec<String> {
    let all = document["resources"][kind].as_array().unwrap();
    all.iter()
        .map(|r| r["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_demo_translates_whole_and_twice_the_same() {
    let words = ["--proxy", "pod/shop/frontend", "-o", "json"];
    let run = translate(&words);
    assert_eq!(run.code, 0, "{}", run.err);
    let document = run.json();
    assert_eq!(document["apiVersion"], "cli.meltemi.io/v1");
    assert_eq!(document["kind"], "ProxyResources");
    assert_eq!(document["class"].as_str().unwrap().len(), 16);
    assert_eq!(document["node"]["id"], FRONTEND);
    let metadata = &document["node"]["metadata"];
    assert_eq!(metadata["INTERCEPTION_MODE"], "NONE");
    assert_eq!(metadata["LABELS"], json!({"app": "frontend"}));
    assert_eq!(metadata["SERVICE_ACCOUNT"], "frontend");
    let types: Vec<_> = document["resources"].as_object().unwrap().keys().collect();
    assert_eq!(types, ["cluster", "endpoint", "listener", "route"]);
    let v2 = "outbound|9080|v2|reviews.shop.svc.cluster.local";
    assert!(names(&document, "cluster").iter().any(|n| n == v2));
    assert!(names(&document, "endpoint").iter().any(|n| n == v2));
    let errors = document["diagnostics"].as_array().unwrap();
    assert_eq!(errors.len(), run.err.lines().count(), "{}", run.err);
    assert_eq!(translate(&words).out, run.out);
}

#[test]
fn a_resource_has_version_origin_and_message() {
    let words = ["--proxy", FRONTEND, "--type", "endpoint", "-o", "json"];
    let name = "outbound|9080|v2|reviews.shop.svc.cluster.local";
    let run = translate(&[&words[..], &["--name", name]].concat());
    let document = run.json();
    assert_eq!(document["resources"].as_object().unwrap().len(), 1);
    let all = document["resources"]["endpoint"].as_array().unwrap();
    let [one] = &all[..] else {
        panic!("{all:?}");
    };
    assert_eq!(one["name"], name);
    let version = one["version"].as_str().unwrap();
    assert!(version.len() == 32 && version.chars().all(|c| c.is_ascii_hexdigit()));
    assert_eq!(one["resource"]["cluster_name"], name);
    assert!(one["resource"].to_string().contains("127.0.1.13"));
    assert!(
        one["origin"].to_string().contains("workloads.yaml"),
        "{one}"
    );
}

#[test]
fn yaml_and_json_are_the_same_document() {
    let words = ["--proxy", "pod/shop/reviews-v1", "-o"];
    let yaml = translate(&[&words[..], &["yaml"]].concat());
    let json = translate(&[&words[..], &["json"]].concat());
    let read: Value = serde_yaml::from_str(&yaml.out).unwrap();
    assert_eq!(read, json.json());
    let default = translate(&["--proxy", "pod/shop/reviews-v1"]);
    assert_eq!(default.out, yaml.out);
}

#[test]
fn a_node_file_says_what_the_pod_says() {
    let node = json!({
        "id": FRONTEND,
        "cluster": "frontend.shop",
        "metadata": {"NAMESPACE": "shop", "INTERCEPTION_MODE": "NONE", "LABELS": {"app": "frontend"}},
        "userAgentName": "envoy",
        "extensions": [{"name": "envoy.filters.http.router", "category": "envoy.filters.http"}],
    });
    let root = directory("node", &[("node.json", &node.to_string())]);
    let file = root.join("node.json");
    let by_file = translate(&["--node", file.to_str().unwrap(), "-o", "json"]);
    let by_pod = translate(&["--proxy", "pod/shop/frontend", "-o", "json"]);
    assert_eq!(by_file.code, 0, "{}", by_file.err);
    assert_eq!(by_file.json()["resources"], by_pod.json()["resources"]);
    assert_eq!(by_file.json()["class"], by_pod.json()["class"]);
}

#[test]
fn node_files_that_cannot_be_read_are_65_and_missing_ones_66() {
    let files = [
        ("text.json", "nope"),
        ("field.json", r#"{"id": "a", "colour": "red"}"#),
        ("id.json", r#"{"id": "web"}"#),
    ];
    let root = directory("bad-node", &files);
    for (name, _) in files {
        let file = root.join(name);
        translate(&["--node", file.to_str().unwrap()]).failed(65, name);
    }
    let file = root.join("none.json");
    translate(&["--node", file.to_str().unwrap()]).failed(66, "none.json");
}

#[test]
fn input_that_does_not_exist_is_66() {
    let words = ["translate", "-f", "/no/such/dir", "--proxy", FRONTEND];
    meltemi(&words).failed(66, "/no/such/dir does not exist");
    let words = ["--proxy", FRONTEND, "--mesh-config", "/no/such/mesh.yaml"];
    translate(&words).failed(66, "/no/such/mesh.yaml");
}

#[test]
fn the_name_table_is_that_of_a_proxy_that_captures_dns() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: reviews, namespace: shop}\n\
                   spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}\n";
    let root = directory("name-table", &[("reviews.yaml", service)]);
    let files = root.to_str().unwrap();
    let words = ["translate", "-f", files, "--proxy", FRONTEND];
    let run = meltemi(&[&words[..], &["--type", "nametable", "-o", "json"]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    let document = run.json();
    let table = &document["resources"]["nametable"][0]["resource"]["table"];
    let reviews = &table["reviews.shop.svc.cluster.local"];
    assert_eq!(reviews["shortname"], "reviews", "{table}");
    assert_eq!(reviews["registry"], "Kubernetes");
    assert_eq!(reviews["ips"], serde_json::json!(["10.0.0.1"]));
}

#[test]
fn what_comes_later_says_so() {
    for (flag, value) in [
        ("--type", "secret"),
        ("--type", "extension"),
        ("--mesh-networks", "x.yaml"),
    ] {
        translate(&["--proxy", FRONTEND, flag, value]).failed(64, "comes later");
    }
}

#[test]
fn wrong_usage_is_64() {
    meltemi(&["translate", "-f", "."]).failed(64, "--proxy");
    meltemi(&["translate", "--proxy", FRONTEND]).failed(64, "--filename");
    meltemi(&["fly"]).failed(64, "fly");
    translate(&["--proxy", "car~1.1.1.1~a.b~c"]).failed(64, "node id");
    translate(&["--proxy", "pod/shop"]).failed(64, "pod/NAMESPACE/NAME");
    translate(&["--proxy", "pod/shop/review"]).failed(64, "pod/shop/reviews-v1");
    let waypoint = "waypoint~127.0.1.11~a.shop~shop.svc.cluster.local";
    translate(&["--proxy", waypoint]).failed(64, "not served");
    let words = ["--proxy", FRONTEND, "--form", "static", "--type", "route"];
    translate(&words).failed(64, "--form static");
    let none = meltemi(&[]);
    assert_eq!((none.code, none.out.as_str()), (64, ""));
}

#[test]
fn help_and_version_are_answers() {
    for words in [
        &["--help"][..],
        &["translate", "--help"],
        &["explain-code", "-h"],
        &["version", "--help"],
    ] {
        let run = meltemi(words);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{words:?}");
        assert!(run.out.contains("Usage: meltemi"), "{}", run.out);
        assert!(!run.out.contains('\u{1b}'), "colour off a terminal");
    }
    assert!(meltemi(&["translate", "--help"]).out.contains("Examples:"));
    let run = meltemi(&["version", "-o", "json"]);
    assert_eq!(run.code, 0);
    assert_eq!(run.json()["kind"], "Version");
    assert_eq!(run.json()["version"], env!("CARGO_PKG_VERSION"));
    let text = meltemi(&["version"]).out;
    assert!(text.starts_with(concat!("meltemi ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn an_error_is_on_stderr_and_in_the_document_and_the_answer_is_whole() {
    let broken = "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
                  metadata: {name: bad, namespace: shop}\n\
                  spec: {hosts: [ratings], http: [{timeut: 1s}]}\n";
    let root = directory("broken", &[("bad.yaml", broken)]);
    let file = root.join("bad.yaml");
    let words = [
        "-f",
        file.to_str().unwrap(),
        "--proxy",
        FRONTEND,
        "-o",
        "json",
    ];
    let run = translate(&words);
    assert_eq!(run.code, 1);
    let document = run.json();
    let line = run.err.lines().find(|l| l.starts_with("error[")).unwrap();
    assert!(
        line.starts_with("error[MLT0004]: VirtualService shop/bad spec.http[0]"),
        "{line}"
    );
    assert!(line.contains("bad.yaml:4:"), "{line}");
    let texts = document["diagnostics"].as_array().unwrap().iter();
    assert!(
        texts
            .clone()
            .any(|d| d["text"] == line && d["code"] == "MLT0004")
    );
    assert!(names(&document, "cluster").len() > 3);
}

#[test]
fn standard_input_is_a_file_of_its_own() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\n\
               spec: {containers: [{name: app}]}\nstatus: {podIP: 10.1.0.9}\n";
    let demo = demo();
    let words = [
        "translate",
        "-f",
        "-",
        &demo,
        "--proxy",
        "pod/shop/web",
        "-o",
        "json",
    ];
    let run = fed(&words, pod);
    assert_eq!(run.code, 0, "{}", run.err);
    let document = run.json();
    assert_eq!(
        document["node"]["metadata"]["INTERCEPTION_MODE"],
        "REDIRECT"
    );
    let listeners = names(&document, "listener");
    assert!(
        listeners.iter().any(|n| n == "virtualOutbound"),
        "{listeners:?}"
    );
    fed(
        &["translate", "-f", "-", "-f", "-", "--proxy", FRONTEND],
        pod,
    )
    .failed(64, "once");
}

#[test]
fn mesh_configuration_is_used() {
    let root = directory("mesh", &[("mesh.yaml", "connectTimeout: 3s\n")]);
    let file = root.join("mesh.yaml");
    let words = ["--proxy", FRONTEND, "--type", "cluster", "-o", "json"];
    let plain = translate(&words);
    let mesh = ["--mesh-config", file.to_str().unwrap()];
    let other = translate(&[&words[..], &mesh].concat());
    assert_eq!(other.code, 0, "{}", other.err);
    assert!(!plain.out.contains("\"connect_timeout\": \"3s\""));
    assert!(other.out.contains("\"connect_timeout\": \"3s\""));
}

#[test]
fn the_domain_of_the_proxy_is_the_domain_of_the_mesh() {
    // No Sidecar selects it: it sees everything.
    let proxy = "sidecar~127.0.1.99~web.shop~shop.svc.corp.example";
    let run = translate(&["--proxy", proxy, "--type", "cluster", "-o", "json"]);
    let all = names(&run.json(), "cluster");
    assert!(
        all.iter()
            .any(|n| n.ends_with("|reviews.shop.svc.corp.example")),
        "{all:?}"
    );
}

#[test]
fn the_static_form_asks_for_nothing() {
    let words = ["--proxy", "pod/shop/frontend", "--form", "static", "-o"];
    let run = translate(&[&words[..], &["json"]].concat());
    assert_eq!(run.code, 0, "{}", run.err);
    let bootstrap = run.json();
    assert!(bootstrap.get("dynamic_resources").is_none());
    assert_eq!(bootstrap["node"]["id"], FRONTEND);
    let clusters = bootstrap["static_resources"]["clusters"]
        .as_array()
        .unwrap();
    assert!(!clusters.is_empty());
    assert!(clusters.iter().all(|c| c["type"] != "EDS"));
    for word in ["\"rds\"", "\"ads\"", "eds_cluster_config"] {
        assert!(!run.out.contains(word), "{word}");
    }
    let yaml = translate(&[&words[..], &["yaml"]].concat());
    let read: Value = serde_yaml::from_str(&yaml.out).unwrap();
    assert_eq!(read, bootstrap);
}

#[test]
fn codes_are_explained() {
    let run = meltemi(&["explain-code", "mlt0201"]);
    assert_eq!(run.code, 0);
    assert!(run.out.starts_with("MLT0201: "), "{}", run.out);
    let json = meltemi(&["explain-code", "MLT0201", "-o", "json"]).json();
    assert_eq!(json["kind"], "CodeExplanation");
    assert!(run.out.contains(json["text"].as_str().unwrap()));
    meltemi(&["explain-code", "MLT0202x"]).failed(64, "MLT0202");
    let page = fs::read_to_string(repository().join("docs/codes.md")).unwrap();
    let all = meltemi(&["explain-code", "--all"]).out;
    assert!(
        all == page,
        "docs/codes.md is not current; run: cargo xtask generate"
    );
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let demo = demo();
    let mut child = Command::new(env!("CARGO_BIN_EXE_meltemi"))
        .args(["translate", "-f", &demo, "--proxy", FRONTEND])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Closed before anything is written: the program has yet to read and translate.
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    let mut err = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!(status.code(), Some(0), "{err}");
    assert!(!err.contains("panicked"), "{err}");
}
