//! The simulator against a real Envoy: the calls of the published traffic scenarios, made for
//! real, end where the simulator says.

use anyhow::{Context, Result, ensure};
use meltemi_live::scenario::certificates::Certificates;
use meltemi_live::scenario::{Stage, examples, files, simulated};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// How many calls must have been compared for the comparison to mean anything.
const ENOUGH: usize = 40;

#[test]
fn envoy_agrees_with_the_simulator() -> Result<()> {
    let Some(dir) = examples()? else {
        eprintln!("the published scenarios are not here: nothing is compared");
        return Ok(());
    };
    let certificates = Certificates::make()?;
    let mut tally = Tally::default();
    for file in files(&dir)? {
        if let Err(error) = scenario(&file, &certificates, &mut tally) {
            tally.wrong.push(format!("{}: {error:#}", file.display()));
        }
    }
    let Tally {
        compared,
        groups,
        errors,
        wrong,
        left_out,
    } = tally;
    println!(
        "{compared} calls compared in {} groups, kinds of error {errors:?}; left out: {left_out:?}",
        groups.len()
    );
    ensure!(
        wrong.is_empty(),
        "{} calls differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    ensure!(
        compared >= ENOUGH,
        "{compared} calls compared, {ENOUGH} are wanted"
    );
    Ok(())
}

#[derive(Default)]
struct Tally {
    compared: usize,
    groups: BTreeSet<String>,
    errors: BTreeMap<String, usize>,
    wrong: Vec<String>,
    left_out: BTreeMap<&'static str, usize>,
}

/// Makes the calls of one scenario.
fn scenario(file: &Path, certificates: &Certificates, tally: &mut Tally) -> Result<()> {
    let lines = simulated(file)?;
    if lines.is_empty() {
        return Ok(());
    }
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
        if let Some(why) = not_comparable(call, got) {
            *tally.left_out.entry(why).or_default() += 1;
            continue;
        }
        if stage.is_none() {
            stage = Some(Stage::start(file, certificates)?);
        }
        let Some(stage) = &stage else { continue };
        let name = line.get("name").and_then(Value::as_str).unwrap_or_default();
        let compared = stage.compare(call, got);
        let Some(differences) = compared.unwrap_or_else(|error| Some(vec![format!("{error:#}")]))
        else {
            let why = "TCP whose cluster refused before the handshake could fail";
            *tally.left_out.entry(why).or_default() += 1;
            continue;
        };
        tally.compared += 1;
        let group = file.parent().and_then(Path::file_name).unwrap_or_default();
        tally.groups.insert(group.display().to_string());
        let error = got.get("error").and_then(Value::as_str).unwrap_or_default();
        *tally.errors.entry(error.to_owned()).or_default() += 1;
        let place = format!("{} [{name}]", file.display());
        tally
            .wrong
            .extend(differences.iter().map(|d| format!("{place}: {d}")));
    }
    Ok(())
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
