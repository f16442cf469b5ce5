//! Which package may depend on which: arrows point down only, and the pure ones stay pure.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test panics when it fails"
)]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Each package with what it may import of ours. A new package needs a row here and one in
/// docs/ARCHITECTURE.md.
const MAY_IMPORT: [(&str, &[&str]); 34] = [
    ("meltemi-types", &[]),
    ("meltemi-proto", &["types"]),
    ("meltemi-runtime", &[]),
    ("meltemi-api", &["types"]),
    ("meltemi-xds", &["types", "proto", "runtime"]),
    ("meltemi-bootstrap", &["types", "proto"]),
    ("meltemi-ca", &["types"]),
    ("meltemi-capture", &["types"]),
    ("meltemi-netfilter", &["types", "capture"]),
    ("meltemi-kube", &["types", "api", "runtime"]),
    ("meltemi-files", &["types", "api", "runtime"]),
    ("meltemi-inject", &["types", "api"]),
    ("meltemi-model", &["types", "api"]),
    ("meltemi-registry", &["types", "api", "model"]),
    ("meltemi-translate", &["types", "api", "model", "proto"]),
    ("meltemi-schema", &["types", "api"]),
    ("meltemi-simulate", &["types", "proto"]),
    (
        "meltemid",
        &[
            "types",
            "api",
            "model",
            "proto",
            "runtime",
            "xds",
            "files",
            "registry",
            "translate",
            "schema",
            "ca",
            "kube",
            "inject",
        ],
    ),
    (
        "meltemi-cli",
        &[
            "types",
            "api",
            "model",
            "proto",
            "runtime",
            "xds",
            "files",
            "registry",
            "translate",
            "bootstrap",
            "schema",
            "simulate",
            "kube",
            "ca",
            "inject",
        ],
    ),
    (
        "meltemi-agent",
        &[
            "types",
            "proto",
            "api",
            "runtime",
            "xds",
            "bootstrap",
            "capture",
            "netfilter",
        ],
    ),
    (
        "meltemi-cni",
        &["types", "runtime", "capture", "netfilter", "kube"],
    ),
    ("meltemi-xtask", ANY),
    // The tests' own packages; nothing in `crates` but the tasks may import them.
    ("meltemi-testkit", ANY),
    ("meltemi-golden", ANY),
    ("meltemi-xds-tests", ANY),
    ("meltemi-kube-tests", ANY),
    ("meltemi-live", ANY),
    ("meltemi-agent-tests", ANY),
    ("meltemi-e2e", ANY),
    ("meltemi-charts", ANY),
    ("meltemi-capture-tests", ANY),
    ("meltemi-fuzz", ANY),
    ("meltemi-echo", &[]),
    ("meltemi-examples", &[]),
];

const ANY: &[&str] = &["*"];

/// Packages without I/O, clock or tasks, and what none of them may depend on.
const PURE: [&str; 11] = [
    "meltemi-inject",
    "meltemi-capture",
    "meltemi-types",
    "meltemi-proto",
    "meltemi-api",
    "meltemi-model",
    "meltemi-registry",
    "meltemi-translate",
    "meltemi-bootstrap",
    "meltemi-schema",
    "meltemi-simulate",
];

const IMPURE: [&str; 24] = [
    "async-std",
    "axum",
    "chrono",
    "clap",
    "crossbeam",
    "futures",
    "getrandom",
    "hyper",
    "hyper-util",
    "log",
    "metrics",
    "metrics-exporter-prometheus",
    "mimalloc",
    "notify",
    "rand",
    "rayon",
    "reqwest",
    "rustix",
    "tokio",
    "tokio-stream",
    "tokio-util",
    "tower",
    "tracing",
    "tracing-subscriber",
];

struct Dependency {
    name: String,
    is_dev: bool,
}

fn packages() -> BTreeMap<String, Vec<Dependency>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(meltemi_arch::root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let dependency = |value: &Value| Dependency {
        name: value["name"].as_str().unwrap().to_owned(),
        is_dev: value["kind"] == "dev",
    };
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap();
            let name = package["name"].as_str().unwrap().to_owned();
            (name, dependencies.iter().map(dependency).collect())
        })
        .collect()
}

#[test]
fn arrows_point_down_only() {
    let table: BTreeMap<&str, &[&str]> = MAY_IMPORT.into_iter().collect();
    let mut wrong = Vec::new();
    for (package, dependencies) in packages() {
        if package == "meltemi-arch" {
            continue;
        }
        let Some(may) = table.get(package.as_str()) else {
            wrong.push(format!("{package} has no row in the table"));
            continue;
        };
        for dependency in dependencies {
            let Some(ours) = dependency.name.strip_prefix("meltemi-") else {
                continue;
            };
            // It says where files lie, and nothing else.
            let reads_examples = dependency.is_dev && ours == "examples";
            if !may.contains(&"*") && !may.contains(&ours) && !reads_examples {
                let how = if dependency.is_dev {
                    "in tests"
                } else {
                    "in production"
                };
                wrong.push(format!("{package} -> {} {how}", dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pure_packages_depend_on_nothing_that_acts() {
    let packages = packages();
    let mut wrong = Vec::new();
    for package in PURE {
        for dependency in &packages[package] {
            if !dependency.is_dev && IMPURE.contains(&dependency.name.as_str()) {
                wrong.push(format!("{package} -> {}", dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_has_no_row_too_many() {
    let packages: BTreeSet<String> = packages().into_keys().collect();
    let gone: Vec<&str> = MAY_IMPORT
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !packages.contains(*name))
        .collect();
    assert!(gone.is_empty(), "{gone:?} are no packages any more");
}
