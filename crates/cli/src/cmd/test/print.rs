//! What came of the scenarios: one JSON object a line for scripts, or a list for people.

use super::Ran;
use super::call::{Called, Verdict};
use super::tables::Table;
use meltemi_simulate::{CallError, Outcome};
use meltemi_types::{Diagnostic, Origin};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// How often something was so.
#[derive(Debug, Default)]
struct Counts {
    files: usize,
    calls: usize,
    pass: usize,
    fail: usize,
    tables_pass: usize,
    tables_fail: usize,
}

impl Counts {
    fn of(ran: &[Ran<'_>]) -> Self {
        let files: BTreeSet<&str> = ran.iter().map(|ran| &*ran.scenario.file).collect();
        let mut counts = Self {
            files: files.len(),
            ..Self::default()
        };
        for ran in ran {
            counts.calls += ran.calls.len();
            let with = |verdict| ran.calls.iter().filter(|c| c.result == verdict).count();
            counts.pass += with(Verdict::Pass);
            counts.fail += with(Verdict::Fail);
            for table in &ran.tables {
                match (table.expected.is_null(), table.mismatch.is_empty()) {
                    (true, _) => {}
                    (false, true) => counts.tables_pass += 1,
                    (false, false) => counts.tables_fail += 1,
                }
            }
        }
        counts
    }
}

/// One object a line.
pub(super) fn json(ran: &[Ran<'_>]) -> String {
    let mut lines = Vec::new();
    for ran in ran {
        let whose = |mut line: Value| {
            if let Some(fields) = line.as_object_mut() {
                fields.insert("file".into(), (&*ran.scenario.file).into());
                fields.insert("scenario".into(), ran.scenario.name.as_str().into());
            }
            line
        };
        lines.extend(ran.calls.iter().map(call).map(whose));
        lines.extend(ran.tables.iter().map(table).map(whose));
        lines.extend(ran.diagnostics.iter().map(diagnostic).map(whose));
    }
    let counts = Counts::of(ran);
    lines.push(json!({
        "kind": "summary",
        "files": counts.files,
        "calls": counts.calls,
        "pass": counts.pass,
        "fail": counts.fail,
        "tables": {"pass": counts.tables_pass, "fail": counts.tables_fail},
    }));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn call(called: &Called<'_>) -> Value {
    let got = &called.got;
    let mut line = json!({
        "kind": "call",
        "index": called.index,
        "name": called.entry.name,
        "got": {
            "error": got.error.map(CallError::name).unwrap_or_default(),
            "listener": got.listener,
            "filterChain": got.filter_chain,
            "routeConfig": got.route_config,
            "virtualHost": got.virtual_host,
            "route": got.route,
            "cluster": got.cluster,
        },
        "weighted": got.weighted,
        "expected": called.entry.expect,
        "result": called.result,
        "mismatch": called.mismatch,
        "origin": got.origins.iter().map(origin).collect::<Vec<_>>(),
    });
    if let (Some(what), Some(fields)) = (&got.unsupported, line.as_object_mut()) {
        fields.insert("unsupported".into(), what.as_str().into());
    }
    line
}

fn origin(origin: &Origin) -> Value {
    let object = &origin.object;
    let namespace = object.namespace.as_ref().map_or("", |n| n.as_str());
    let location = origin.location.as_ref();
    json!({
        "object": format!("{}/{namespace}/{}", object.kind, object.name),
        "path": origin.path.as_str(),
        "file": location.map_or("", |location| &location.file),
        "line": location.map_or(0, |location| location.line),
    })
}

fn table(table: &Table) -> Value {
    let mut line = Map::new();
    line.insert("kind".into(), table.kind.into());
    if let Some((key, value)) = &table.about {
        line.insert((*key).into(), value.as_str().into());
    }
    line.extend(table.fields.clone());
    line.insert("expected".into(), table.expected.clone());
    line.insert("mismatch".into(), json!(table.mismatch));
    let result = match (table.expected.is_null(), table.mismatch.is_empty()) {
        (true, _) => "unasked",
        (false, true) => "pass",
        (false, false) => "fail",
    };
    line.insert("result".into(), result.into());
    Value::Object(line)
}

fn diagnostic(diagnostic: &Diagnostic) -> Value {
    let mut line = serde_json::to_value(diagnostic).unwrap_or_default();
    if let Some(fields) = line.as_object_mut() {
        // What the diagnostic is about has a kind of its own inside of `object`.
        fields.insert("kind".into(), "diagnostic".into());
        fields.insert("text".into(), diagnostic.to_string().into());
    }
    line
}

/// A list for people.
pub(super) fn text(ran: &[Ran<'_>]) -> String {
    let mut out = String::new();
    for ran in ran {
        out.push_str(&format!("{} ({})\n", ran.scenario.name, ran.scenario.file));
        let names = ran.calls.iter().map(|c| c.entry.name.chars().count());
        let width = names.max().unwrap_or(0).min(60);
        for called in &ran.calls {
            out.push_str(&call_lines(called, width));
        }
        for table in ran.tables.iter().filter(|t| !t.expected.is_null()) {
            out.push_str(&table_lines(table));
        }
    }
    let counts = Counts::of(ran);
    let Counts {
        files,
        calls,
        pass,
        fail,
        tables_pass,
        tables_fail,
    } = counts;
    let rest = calls - pass - fail;
    out.push_str(&format!(
        "{files} files, {calls} calls: {pass} pass, {fail} fail, {rest} not judged"
    ));
    if tables_pass + tables_fail > 0 {
        out.push_str(&format!("; {tables_pass} tables pass, {tables_fail} fail"));
    }
    out.push('\n');
    out
}

fn call_lines(called: &Called<'_>, width: usize) -> String {
    let verdict = match called.result {
        Verdict::Pass => "pass",
        Verdict::Fail => "FAIL",
        Verdict::Unasked => "-",
        Verdict::KnownBug => "known",
    };
    let name = &called.entry.name;
    let mut out = format!("  {verdict:5} {name:width$}  {}\n", end(&called.got));
    if called.result != Verdict::Fail {
        return out;
    }
    let expected = serde_json::to_value(&called.entry.expect).unwrap_or_default();
    let got = call(called);
    for field in &called.mismatch {
        let text = |value: Option<&Value>| {
            let text = value.and_then(Value::as_str).unwrap_or_default();
            format!("{text:?}")
        };
        let got = text(got.get("got").and_then(|got| got.get(*field)));
        let wanted = text(expected.get(*field));
        out.push_str(&format!("        {field}: expected {wanted}, got {got}\n"));
    }
    if let Some(what) = &called.got.unsupported {
        out.push_str(&format!("        not known to the simulator: {what}\n"));
    }
    for origin in &called.got.origins {
        let place = origin.location.as_ref().map(|at| format!(" ({at})"));
        out.push_str(&format!(
            "        from {origin}{}\n",
            place.unwrap_or_default()
        ));
    }
    out
}

/// Where a call ended, in a few words.
fn end(got: &Outcome) -> String {
    if let Some(error) = got.error {
        return error.name().to_owned();
    }
    if !got.cluster.is_empty() {
        return got.cluster.clone();
    }
    let weighted = got
        .weighted
        .iter()
        .map(|w| format!("{} {}", w.weight, w.cluster));
    let weighted: Vec<String> = weighted.collect();
    match weighted.is_empty() {
        true => format!("route {:?}, no cluster", got.route),
        false => weighted.join(", "),
    }
}

fn table_lines(table: &Table) -> String {
    let about = table.about.as_ref().map(|(_, name)| format!(" {name}"));
    let about = about.unwrap_or_default();
    let verdict = if table.mismatch.is_empty() {
        "pass"
    } else {
        "FAIL"
    };
    let mut out = format!("  {verdict:5} {}{about}\n", table.kind);
    let got = table.fields.get("got");
    for name in &table.mismatch {
        let of = |value: Option<&Value>| match value.and_then(|value| value.get(name)) {
            Some(value) => value.to_string(),
            None => "nothing".to_owned(),
        };
        let wanted = of(Some(&table.expected));
        out.push_str(&format!(
            "        {name}: expected {wanted}, got {}\n",
            of(got)
        ));
    }
    out
}
