//! The simulator against a real Envoy: the calls of the published traffic scenarios and of our own
//! ones, made for real, end where the simulator says.

use anyhow::{Context, Result, ensure};
use meltemi_live::scenario::{Stage, Surroundings, files, simulated};
use meltemi_testkit::paths;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// How many published calls must have been compared for the comparison to mean anything.
const ENOUGH: usize = 40;

/// Every way in which a call ends nowhere, but `multiple_filter_chains`: Envoy refuses those
/// listeners, and so do we.
const ERRORS: [&str; 8] = [
    "mtls_error",
    "no_filter_chain",
    "no_listener",
    "no_route",
    "no_virtual_host",
    "protocol_error",
    "tls_error",
    "tls_redirect",
];

#[test]
fn envoy_agrees_with_the_simulator() -> Result<()> {
    let Some(dir) = meltemi_examples::find("simulation/istio")? else {
        eprintln!("the published scenarios are not here: only our own are compared");
        return Ok(());
    };
    let tally = compare(&dir)?;
    ensure!(
        tally.compared >= ENOUGH,
        "{} calls compared, {ENOUGH} are wanted",
        tally.compared
    );
    let missing: Vec<_> = tally.with_calls.difference(&tally.groups).collect();
    ensure!(missing.is_empty(), "no call compared of {missing:?}");
    Ok(())
}

#[test]
fn envoy_agrees_about_every_kind_of_error() -> Result<()> {
    let tally = compare(&paths::repository().join("tests/live/testdata/scenarios"))?;
    ensure!(tally.left_out.is_empty(), "left out: {:?}", tally.left_out);
    ensure!(
        tally.unexpected.is_empty(),
        "not as written: {:?}",
        tally.unexpected
    );
    let unseen: Vec<_> = ERRORS
        .iter()
        .filter(|error| !tally.errors.contains_key(**error))
        .collect();
    ensure!(unseen.is_empty(), "no call ended with {unseen:?}");
    Ok(())
}

/// Compares all calls of the scenarios of a directory, and fails when one differs.
fn compare(dir: &Path) -> Result<Tally> {
    let around = Surroundings::make()?;
    let mut tally = Tally::default();
    for file in files(dir)? {
        if let Err(error) = scenario(&file, &around, &mut tally) {
            tally.wrong.push(format!("{}: {error:#}", file.display()));
        }
    }
    println!(
        "{} calls compared in {} groups, kinds of error {:?}; left out: {:?}",
        tally.compared,
        tally.groups.len(),
        tally.errors,
        tally.left_out
    );
    ensure!(
        tally.wrong.is_empty(),
        "{} calls differ:\n{}",
        tally.wrong.len(),
        tally.wrong.join("\n")
    );
    Ok(tally)
}

#[derive(Default)]
struct Tally {
    compared: usize,
    with_calls: BTreeSet<String>,
    groups: BTreeSet<String>,
    errors: BTreeMap<String, usize>,
    unexpected: Vec<String>,
    wrong: Vec<String>,
    left_out: BTreeMap<&'static str, usize>,
}

/// Makes the calls of one scenario.
fn scenario(file: &Path, around: &Surroundings, tally: &mut Tally) -> Result<()> {
    let lines = simulated(file)?;
    if lines.is_empty() {
        return Ok(());
    }
    tally.with_calls.insert(group(file));
    let text = fs::read_to_string(file)?;
    let content: Value = serde_yaml::from_str(&text)?;
    let calls = content
        .get("calls")
        .and_then(Value::as_array)
        .context("no calls")?;
    let mut stage = None;
    for (entry, line) in calls.iter().zip(&lines) {
        let call = entry.get("call").context("no call")?;
        let got = line.get("got").context("nothing got")?;
        let name = line.get("name").and_then(Value::as_str).unwrap_or_default();
        if line.get("result").is_none_or(|result| result != "pass") {
            tally.unexpected.push(name.to_owned());
        }
        if let Some(why) = not_comparable(call, got) {
            *tally.left_out.entry(why).or_default() += 1;
            continue;
        }
        if stage.is_none() {
            stage = Some(Stage::start(file, around)?);
        }
        let Some(stage) = &stage else { continue };
        let compared = stage.compare(call, got);
        let differences = compared.unwrap_or_else(|error| vec![format!("{error:#}")]);
        tally.compared += 1;
        tally.groups.insert(group(file));
        let error = got.get("error").and_then(Value::as_str).unwrap_or_default();
        *tally.errors.entry(error.to_owned()).or_default() += 1;
        let place = format!("{} [{name}]", file.display());
        tally
            .wrong
            .extend(differences.iter().map(|d| format!("{place}: {d}")));
    }
    Ok(())
}

/// The directory of a file.
fn group(file: &Path) -> String {
    let name = file.parent().and_then(Path::file_name).unwrap_or_default();
    name.display().to_string()
}

/// Why no real client can make the call, or Envoy cannot agree on purpose.
fn not_comparable(call: &Value, got: &Value) -> Option<&'static str> {
    let text = |value: &Value, key: &str| -> String {
        value
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let plain = !matches!(text(call, "tls").as_str(), "tls" | "mtls");
    if plain && !text(call, "sni").is_empty() {
        return Some("a server name without TLS");
    }
    match text(got, "error").as_str() {
        "mtls_error" if text(call, "tls") == "mtls" => {
            Some("a client certificate that nobody asks for")
        }
        "unsupported" => Some("unknown to the simulator"),
        _ => None,
    }
}
