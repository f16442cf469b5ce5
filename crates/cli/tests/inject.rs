//! `meltemi inject`: goldens, what it leaves alone, what it refuses, and the published cases.
//!
//! A golden is a directory of `inject/` with `input.yaml` and `expected.yaml`; `BLESS=1` writes the
//! latter. The published cases are read in place (`MELTEMI_EXAMPLES`), and compared as maps:
//! containers and their order, variables, ports, probes, mounts, security, resources, arguments,
//! volumes, annotations and labels. Registry and tag of images are not compared.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use serde_json::{Map, Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Percent of the published cases that must be equal.
const FLOOR: usize = 90;

fn inject(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_meltemi"))
        .args(["inject", "-f", "-"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inject")
}

#[test]
fn goldens_are_as_they_were_and_stay_so_when_injected_again() {
    for case in ["sidecar", "gateway", "mixed", "override", "proxy-config"] {
        let dir = cases().join(case);
        let input = std::fs::read_to_string(dir.join("input.yaml")).unwrap();
        let once = out(&inject(&[], &input));
        let path = dir.join("expected.yaml");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &once).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap();
        assert!(once == expected, "{case}:\n{once}");
        assert_eq!(out(&inject(&[], &once)), once, "{case}, injected again");
        let json = out(&inject(&["-o", "json"], &input));
        let json: Value = serde_json::from_str(&json).unwrap();
        let mut all = documents(&once);
        let whole = match all.len() {
            1 => all.remove(0),
            _ => json!({"apiVersion": "v1", "kind": "List", "items": all}),
        };
        assert_eq!(json, whole, "{case} as JSON");
    }
}

#[test]
fn what_is_no_workload_keeps_its_bytes() {
    let input = std::fs::read_to_string(cases().join("mixed/input.yaml")).unwrap();
    let output = inject(&[], &input);
    let (kept, _) = input.split_once("---\napiVersion: batch/v1").unwrap();
    assert!(out(&output).starts_with(kept));
    let notes = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        notes,
        "info: Pod/debug not injected: spec.hostNetwork is true\n"
    );
    let patches = out(&inject(&["-o", "patch"], &input));
    assert_eq!(patches.lines().count(), 1, "one workload changes");
}

#[test]
fn a_bad_annotation_is_named_and_nothing_comes_out() {
    let pod = |key: &str, value: &str| {
        let meta = json!({"name": "p", "annotations": {key: value}});
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta,
            "spec": {"containers": [{"name": "c"}]}})
        .to_string()
    };
    for (key, value) in [
        (
            "traffic.sidecar.istio.io/excludeOutboundIPRanges",
            "10.0.0.1",
        ),
        ("proxy.istio.io/config", "concurrency: many"),
        ("proxy.istio.io/config", "concurency: 1"),
        ("prometheus.io/port", "15090"),
        ("inject.istio.io/templates", "sidecar,mine"),
        ("sidecar.istio.io/userVolume", "{\"a\": 1}"),
    ] {
        let output = inject(&[], &pod(key, value));
        let notes = String::from_utf8(output.stderr).unwrap();
        let code = output.status.code();
        assert_eq!((code, output.stdout.len()), (Some(1), 0), "{notes}");
        let begin = format!("error[MLT0701]: Pod/p annotation \"{key}\": ");
        assert!(notes.starts_with(&begin), "{notes}");
    }
    let template = "sidecarInjectorWebhook.templates.mine=spec: {{ .Spec }}";
    let input = pod("inject.istio.io/templates", "sidecar,mine");
    let output = inject(&["--set", template], &input);
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.starts_with("error[MLT0702]: Pod/p "), "{notes}");
}

#[test]
fn a_template_of_plain_yaml_is_laid_over_the_built_in_one() {
    let template = "sidecarInjectorWebhook.templates.spire=spec: {volumes: [{name: \
                    workload-socket, csi: {driver: csi.spiffe.io, readOnly: true}}]}";
    let input = "{apiVersion: v1, kind: Pod, metadata: {name: p, annotations: \
                 {inject.istio.io/templates: 'sidecar,spire'}}, spec: {containers: [{name: c}]}}";
    let pod = documents(&out(&inject(&["--set", template], input))).remove(0);
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let socket = volumes
        .iter()
        .find(|v| v["name"] == "workload-socket")
        .unwrap();
    assert_eq!(socket["csi"]["driver"], "csi.spiffe.io");
}

/// A variable of the proxy of a pod, and the end of its image.
fn of_proxy(pod: &Value, variable: &str) -> (Value, String) {
    let proxy = pod["spec"]["initContainers"].as_array().unwrap();
    let proxy = proxy.iter().find(|c| c["name"] == "istio-proxy").unwrap();
    let all = proxy["env"].as_array().unwrap();
    let value = all.iter().find(|one| one["name"] == variable);
    let value = value.map_or(Value::Null, |one| one["value"].clone());
    let image = proxy["image"].as_str().unwrap();
    (value, image.rsplit('/').next().unwrap().to_owned())
}

#[test]
fn a_proxy_config_counts_by_its_level() {
    let input = std::fs::read_to_string(cases().join("proxy-config/input.yaml")).unwrap();
    let made = documents(&out(&inject(&[], &input)));
    let pod = |name: &str| {
        let is_it = |one: &&Value| one["kind"] == "Pod" && one["metadata"]["name"] == name;
        made.iter().find(is_it).unwrap()
    };
    for (name, variable, expected, image) in [
        ("web", "LEVEL", json!("workload"), "proxyv2:latest-debug"),
        ("web", "OF_MESH", json!("yes"), "proxyv2:latest-debug"),
        ("web", "OF_NAMESPACE", json!("yes"), "proxyv2:latest-debug"),
        ("web", "OF_ANNOTATION", json!("yes"), "proxyv2:latest-debug"),
        ("web", "NEVER", json!(null), "proxyv2:latest-debug"),
        (
            "other",
            "LEVEL",
            json!("namespace"),
            "proxyv2:latest-distroless",
        ),
        (
            "elsewhere",
            "LEVEL",
            json!("mesh"),
            "proxyv2:latest-distroless",
        ),
        (
            "elsewhere",
            "OF_NAMESPACE",
            json!(null),
            "proxyv2:latest-distroless",
        ),
    ] {
        let got = of_proxy(pod(name), variable);
        assert_eq!(got, (expected, image.to_owned()), "{name} {variable}");
    }
    for (name, threads) in [("web", 4), ("other", 2), ("elsewhere", 1)] {
        let (config, _) = of_proxy(pod(name), "PROXY_CONFIG");
        let config: Value = serde_json::from_str(config.as_str().unwrap()).unwrap();
        assert_eq!(config["concurrency"], threads, "{name}");
    }
    // What names no namespace is of the one that is said.
    let input = input.replace("  namespace: shop\n", "");
    let made = documents(&out(&inject(&["--namespace", "till"], &input)));
    let elsewhere = made
        .iter()
        .find(|one| one["metadata"]["name"] == "elsewhere");
    let level = of_proxy(elsewhere.unwrap(), "LEVEL").0;
    assert_eq!(level, "namespace");
}

#[test]
fn a_proxy_config_that_cannot_be_used_stops_all() {
    let input = "apiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\n\
                 metadata: {name: a}\nspec: {concurrency: -1}\n---\napiVersion: v1\nkind: Pod\n\
                 metadata: {name: p}\nspec: {containers: [{name: c}]}\n";
    let output = inject(&[], input);
    let notes = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.len()),
        (Some(1), 0),
        "{notes}"
    );
    assert!(
        notes.contains("ProxyConfig default/a spec.concurrency"),
        "{notes}"
    );
}

/// The objects of a text, lists opened.
fn documents(text: &str) -> Vec<Value> {
    use serde::Deserialize;
    let mut all = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = Value::deserialize(document).unwrap();
        match value.get("items").and_then(Value::as_array) {
            Some(items) => all.extend(items.iter().cloned()),
            None if value.is_object() => all.push(value),
            None => {}
        }
    }
    all
}

/// What of an object is compared, by what it is.
fn facts(object: &Value) -> Map<String, Value> {
    let template = match object["kind"].as_str() {
        Some("Pod") => object,
        Some("CronJob") => &object["spec"]["jobTemplate"]["spec"]["template"],
        _ => &object["spec"]["template"],
    };
    let (metadata, spec) = (&template["metadata"], &template["spec"]);
    let mut all = Map::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for kind in ["annotations", "labels"] {
        for (key, value) in metadata[kind].as_object().into_iter().flatten() {
            let value = match key.as_str() {
                "sidecar.istio.io/status" => serde_json::from_str(value.as_str().unwrap()).unwrap(),
                _ => value.clone(),
            };
            all.insert(format!("{kind} {key}"), value);
        }
    }
    for kind in ["containers", "initContainers"] {
        let names: Vec<Value> = list(&spec[kind])
            .iter()
            .map(|c| c["name"].clone())
            .collect();
        all.insert(kind.into(), names.into());
        for container in list(&spec[kind]) {
            let at = format!("{kind} {}", container["name"]);
            for env in list(&container["env"]) {
                all.insert(format!("{at} env {}", env["name"]), env.clone());
            }
            for mount in list(&container["volumeMounts"]) {
                all.insert(format!("{at} mount {}", mount["mountPath"]), mount.clone());
            }
            for (key, value) in container.as_object().unwrap() {
                let is_empty = value.as_object().is_some_and(Map::is_empty);
                if !["env", "volumeMounts", "image", "args", "command"].contains(&&**key)
                    && !is_empty
                {
                    all.insert(format!("{at} {key}"), value.clone());
                }
            }
            let args = list(&container["args"]);
            all.insert(format!("{at} args"), args.into());
        }
    }
    for volume in list(&spec["volumes"]) {
        all.insert(format!("volume {}", volume["name"]), volume);
    }
    for key in [
        "securityContext",
        "imagePullSecrets",
        "hostNetwork",
        "dnsConfig",
    ] {
        all.insert(key.into(), spec[key].clone());
    }
    all
}

/// The flags of a row of the index.
fn flags(row: &dyn Fn(&str) -> String, dir: &Path) -> Vec<String> {
    let mut flags: Vec<String> = ["--namespace", "test-ns"].map(String::from).into();
    let mut flag = |name: &str, value: &str| flags.extend([name.to_owned(), value.to_owned()]);
    for set in row("set_flags").split_whitespace() {
        flag("--set", set);
    }
    if !row("operator_file").is_empty() {
        let path = dir.join(row("operator_file"));
        flag("--operator-file", path.to_str().unwrap());
    }
    if !row("mesh_config_overrides").is_empty() {
        flag("--mesh-config-overrides", &row("mesh_config_overrides"));
    }
    for setting in row("settings").split_whitespace() {
        let (key, _) = setting.split_once('=').unwrap();
        let is_variable = !key.contains(|c: char| c.is_ascii_lowercase());
        flag(if is_variable { "--env" } else { "--feature" }, setting);
    }
    if let Some(lowest) = row("node_kubelet_versions").split(',').min() {
        flag("--kubernetes-version", lowest);
    }
    flags
}

/// Why a row is wrong.
fn judge(row: &dyn Fn(&str) -> String, dir: &Path) -> Result<(), String> {
    let input = std::fs::read_to_string(dir.join(row("input"))).unwrap();
    let flags = flags(row, dir);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let output = inject(&flags, &input);
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    if !row("expected_error").is_empty() {
        // The index leaves `Outbound` out of one of the names.
        let plain = |text: &str| text.to_ascii_lowercase().replace("outbound", "");
        let named = notes.split("annotation \"").nth(1);
        let named = named
            .and_then(|rest| rest.split('"').next())
            .unwrap_or_default();
        let is_named = plain(named).contains(&plain(&row("expected_error")));
        let refused = output.status.code() == Some(1);
        return if is_named && refused {
            Ok(())
        } else {
            Err(notes)
        };
    }
    let expected = std::fs::read_to_string(dir.join(row("expected"))).unwrap();
    let (expected, got) = (documents(&expected), documents(&out(&output)));
    for (expected, got) in expected.iter().zip(&got) {
        let (expected, got) = (facts(expected), facts(got));
        let keys = expected.keys().chain(got.keys());
        if let Some(key) = keys
            .into_iter()
            .find(|key| expected.get(*key) != got.get(*key))
        {
            return Err(format!(
                "{key}: {:?}, not {:?}",
                got.get(key),
                expected.get(key)
            ));
        }
    }
    match expected.len() == got.len() {
        true => Ok(()),
        false => Err(format!("{} objects, not {}", got.len(), expected.len())),
    }
}

#[test]
fn published_cases() {
    let Some(dir) = meltemi_examples::find("inject").unwrap() else {
        return;
    };
    let index = std::fs::read_to_string(dir.join("index.tsv")).unwrap();
    let mut lines = index
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let (mut right, mut all) = (0, 0);
    for line in lines {
        let row = |name: &str| {
            let at = names.iter().position(|known| *known == name).unwrap();
            line.get(at).copied().unwrap_or_default().to_owned()
        };
        all += 1;
        match judge(&row, &dir) {
            Ok(()) => right += 1,
            Err(why) => println!(
                "inject: wrong {} -> {}: {why}",
                row("input"),
                row("expected")
            ),
        }
    }
    println!("inject: {right} of {all} published cases");
    assert!(100 * right >= FLOOR * all, "below {FLOOR} %");
}
