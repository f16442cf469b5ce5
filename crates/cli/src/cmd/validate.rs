//! `meltemi validate`: what an API server and its webhook would say of files, without either.

use crate::args::{FailOn, MeshDocument, Validate, ValidateFormat};
use crate::failure::{Answer, FINE, Failure, NEGATIVE};
use crate::input;
use crate::output::{API_VERSION, render};
use meltemi_api::yaml::Source;
use meltemi_schema::{Judged, Validator, Verdict};
use meltemi_types::Diagnostic;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Validates files.
pub(crate) fn run(args: &Validate) -> Result<Answer, Failure> {
    let validator = Validator::new();
    let mut all = Vec::new();
    for (name, bytes) in input::texts(&args.filename)? {
        let source = Source::new(name);
        match args.r#as {
            None => all.extend(validator.text(&bytes, &source)),
            Some(MeshDocument::MeshConfig) => all.push(validator.mesh_config(&bytes, &source)),
            Some(MeshDocument::MeshNetworks) => all.push(validator.mesh_networks(&bytes, &source)),
        }
    }
    let worst = all.iter().map(|judged| judged.verdict).max();
    let negative = match args.fail_on {
        FailOn::Error => Verdict::Invalid,
        FailOn::Warning => Verdict::Warn,
    };
    Ok(Answer {
        text: match args.output {
            ValidateFormat::Text => text(&all),
            ValidateFormat::Json => render(crate::args::Format::Json, &report(&all)),
        },
        notes: Vec::new(),
        code: match worst.is_some_and(|worst| worst >= negative) {
            true => NEGATIVE,
            false => FINE,
        },
    })
}

/// One line for each finding, then how many objects there are.
fn text(all: &[Judged]) -> String {
    let mut lines: Vec<String> = all
        .iter()
        .flat_map(|judged| &judged.diagnostics)
        .map(ToString::to_string)
        .collect();
    let [valid, warn, invalid] = count(all);
    lines.push(format!("{valid} valid, {warn} warn, {invalid} invalid"));
    lines.join("\n") + "\n"
}

fn count(all: &[Judged]) -> [usize; 3] {
    let mut by = BTreeMap::new();
    for judged in all {
        *by.entry(judged.verdict).or_insert(0) += 1;
    }
    [Verdict::Valid, Verdict::Warn, Verdict::Invalid].map(|v| by.get(&v).copied().unwrap_or(0))
}

fn report(all: &[Judged]) -> Value {
    let [valid, warn, invalid] = count(all);
    json!({
        "apiVersion": API_VERSION,
        "kind": "ValidationReport",
        "objects": all.iter().map(object).collect::<Vec<_>>(),
        "summary": { "valid": valid, "warn": warn, "invalid": invalid },
    })
}

fn object(judged: &Judged) -> Value {
    let Judged {
        document,
        number,
        verdict,
        diagnostics,
    } = judged;
    let header = &document.header;
    json!({
        "file": document.location.file,
        "line": document.location.line,
        "document": number,
        "apiVersion": header.api_version,
        "kind": header.kind,
        "namespace": header.namespace,
        "name": header.name,
        "verdict": verdict.name(),
        "diagnostics": diagnostics.iter().map(diagnostic).collect::<Vec<_>>(),
    })
}

fn diagnostic(found: &Diagnostic) -> Value {
    let place = found.place();
    json!({
        "code": found.code,
        "severity": found.severity,
        "path": found.origin.as_ref().map_or("", |origin| origin.path.as_str()),
        "message": found.message,
        "remedy": found.remedy,
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
    })
}
