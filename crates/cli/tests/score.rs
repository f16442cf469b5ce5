//! The published traffic scenarios: how many calls end where they should, by group of tests.
//!
//! Behaviour counts: error, cluster and virtual host of a call, and each table that a scenario
//! expects. Names of listeners, chains and routes are conventions and are told apart, as are the
//! scenarios of `istio-xds`. One call is left out: where Envoy would refuse two equal filter
//! chains, the older server is kept on purpose, with a diagnostic.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests fail by panicking, as tests do"
)]

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Percent of calls, and of the mean over groups, below which something broke. The goal is 85: it
/// is raised as more kinds are translated.
const FLOOR: f64 = 85.0;

/// Known misses: what stands in the file's path and in the call's name, why we answer otherwise, and
/// where that would be changed.
const MISSES: [(&str, &str, &str, &str); 4] = [
    (
        "TestPassthroughTraffic/registry-only",
        "http-plaintext-",
        "requests to nobody are answered 502 by the route itself, which has no cluster",
        "crates/translate/src/route/catch_all.rs",
    ),
    (
        "TestPassthroughTraffic/registry-only-without-vip",
        "-81",
        "a port of an entry without addresses takes all bytes sent to that port, with a warning",
        "crates/translate/src/listener/tcp.rs",
    ),
    (
        "TestSidecarRoutes/httproute-",
        "",
        "HTTPRoute is not read yet",
        "crates/api/src/kinds.rs, crates/registry/src/link/lower.rs",
    ),
    (
        "TestTLSRouteTermination/tlsroute-mixed-mode",
        "",
        "TLSRoute is not read yet",
        "crates/api/src/kinds.rs, crates/translate/src/listener/gateway/tcp.rs",
    ),
];

/// Why a call ends elsewhere, and where that would be changed.
fn cause(file: &str, call: &str) -> String {
    let known = |(path, part, _, _): &&(&str, &str, &str, &str)| {
        file.contains(*path) && call.contains(*part)
    };
    match MISSES.iter().find(known) {
        Some((_, _, why, place)) => format!("{why} ({place})"),
        None => "the cause is not known".into(),
    }
}

fn lines(dir: &Path) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meltemi"));
    let output = command
        .args(["test", "-o", "json"])
        .arg(dir)
        .output()
        .unwrap();
    assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[derive(Default)]
struct Count {
    right: u32,
    all: u32,
}

impl Count {
    fn percent(&self) -> f64 {
        100.0 * f64::from(self.right) / f64::from(self.all.max(1))
    }
}

/// Which of these fields differ from what is expected.
fn differing<'a>(line: &'a Value, fields: &[&'a str]) -> Vec<&'a str> {
    let (expected, got) = (&line["expected"], &line["got"]);
    let strict = expected["strict"] == true;
    let wrong = |field: &&&str| match expected[**field].as_str() {
        Some(wanted) => wanted != got[**field],
        None => strict && got[**field] != "",
    };
    fields.iter().filter(wrong).copied().collect()
}

fn is_scored(line: &Value) -> bool {
    let expected = &line["expected"];
    match line["kind"].as_str() {
        Some("call") => {
            let on_purpose = expected["error"] == "multiple_filter_chains";
            !expected.is_null() && expected.get("knownBug").is_none() && !on_purpose
        }
        Some("virtualHosts" | "clusters" | "clusterServices") => !expected.is_null(),
        _ => false,
    }
}

fn group(line: &Value) -> String {
    let file = Path::new(line["file"].as_str().unwrap());
    let dir = file.parent().unwrap().file_name().unwrap();
    dir.to_str().unwrap().to_owned()
}

#[test]
fn published_scenarios() {
    let Some(dir) = meltemi_examples::find("simulation").unwrap() else {
        return;
    };
    let mut groups: BTreeMap<String, Count> = BTreeMap::new();
    let (mut all, mut names) = (Count::default(), Count::default());
    for line in lines(&dir.join("istio"))
        .iter()
        .filter(|line| is_scored(line))
    {
        let wrong = match line["kind"] == "call" {
            true => differing(line, &["error", "cluster", "virtualHost"]),
            false => Vec::from_iter((line["result"] != "pass").then_some("table")),
        };
        let right = u32::from(wrong.is_empty());
        let count = groups.entry(group(line)).or_default();
        (count.all, count.right) = (count.all + 1, count.right + right);
        (all.all, all.right) = (all.all + 1, all.right + right);
        if !wrong.is_empty() {
            let what = line["name"].as_str().or(line["kind"].as_str()).unwrap();
            let file = line["file"].as_str().unwrap();
            let cause = cause(file, what);
            println!(
                "score: wrong {file} [{what}]: {cause}; {wrong:?} {}",
                line["got"]
            );
        }
        if line["kind"] == "call" {
            let right =
                differing(line, &["listener", "filterChain", "routeConfig", "route"]).is_empty();
            (names.all, names.right) = (names.all + 1, names.right + u32::from(right));
        }
    }
    for (group, count) in &groups {
        println!("score: {group} {} of {}", count.right, count.all);
    }
    let tables = lines(&dir.join("istio-xds"));
    let tables: Vec<_> = tables
        .iter()
        .filter(|l| l["kind"] == "endpoints" && !l["expected"].is_null())
        .collect();
    let right = tables
        .iter()
        .filter(|line| line["result"] == "pass")
        .count();
    println!(
        "score: istio-xds {right} of {} tables of endpoints",
        tables.len()
    );
    let sum: f64 = groups.values().map(Count::percent).sum();
    let mean = sum / f64::from(u32::try_from(groups.len().max(1)).unwrap());
    println!("score: names {} of {}", names.right, names.all);
    println!(
        "score: {} groups, mean {mean:.1} %; {} of {} calls and tables, {:.1} %",
        groups.len(),
        all.right,
        all.all,
        all.percent()
    );
    assert!(mean >= FLOOR && all.percent() >= FLOOR, "below {FLOOR} %");
}
