//! Our definitions against those that Istio publishes, read where they lie: every field there is
//! here, of the same type; and every object of the examples gets the same verdict from both.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test panics when it fails"
)]

use meltemi_api::yaml::{Source, read_whole};
use meltemi_schema::{Judge, crd};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The published schemas by kind and version.
fn published(dir: &Path) -> BTreeMap<(String, String), Value> {
    let file = dir.join("crds/istio-api.customresourcedefinitions.gen.yaml");
    let text = fs::read_to_string(file).unwrap();
    let mut all = BTreeMap::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let object = Value::deserialize(document).unwrap();
        if object.is_null() {
            continue;
        }
        let kind = object["spec"]["names"]["kind"].as_str().unwrap().to_owned();
        for version in object["spec"]["versions"].as_array().unwrap() {
            let name = version["name"].as_str().unwrap().to_owned();
            all.insert((kind.clone(), name), version.clone());
        }
    }
    assert!(!all.is_empty());
    all
}

fn ours() -> BTreeMap<(String, String), Value> {
    let mut all = BTreeMap::new();
    for definition in crd::definitions() {
        for version in definition.object["spec"]["versions"].as_array().unwrap() {
            let name = version["name"].as_str().unwrap().to_owned();
            all.insert((definition.kind.name().to_owned(), name), version.clone());
        }
    }
    all
}

/// What a schema demands, without words and without CEL, whose rules are ours.
const COMPARED: &[&str] = &[
    "enum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "nullable",
    "required",
    "type",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-preserve-unknown-fields",
];

fn sorted(value: Option<&Value>) -> Option<Value> {
    let mut value = value.cloned()?;
    if let Value::Array(items) = &mut value {
        items.sort_by_key(ToString::to_string);
    }
    Some(value)
}

fn compare(path: &str, theirs: &Value, ours: &Value, out: &mut Vec<String>) {
    for key in COMPARED {
        let (a, b) = (sorted(theirs.get(key)), sorted(ours.get(key)));
        if a.as_ref().map(ToString::to_string).map(float)
            != b.as_ref().map(ToString::to_string).map(float)
        {
            out.push(format!("{path}: {key} is {a:?} there and {b:?} here"));
        }
    }
    let rules = |schema: &Value| {
        schema["x-kubernetes-validations"]
            .as_array()
            .map_or(0, Vec::len)
    };
    if (rules(theirs) == 0) != (rules(ours) == 0) {
        out.push(format!(
            "{path}: {} CEL rules there, {} here",
            rules(theirs),
            rules(ours)
        ));
    }
    let none = serde_json::Map::new();
    let fields = |schema: &Value| schema["properties"].as_object().unwrap_or(&none).clone();
    let mine = fields(ours);
    for (name, field) in fields(theirs) {
        let path = format!("{path}.{name}");
        match mine.get(&name) {
            Some(own) => compare(&path, &field, own, out),
            None => out.push(format!("{path}: missing")),
        }
    }
    for name in mine
        .keys()
        .filter(|name| theirs["properties"].get(name).is_none())
    {
        out.push(format!("{path}.{name}: only here"));
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        match (theirs.get(key), ours.get(key)) {
            (Some(a), Some(b)) => compare(&format!("{path}{mark}"), a, b, out),
            (None, None) => {}
            (a, b) => out.push(format!(
                "{path}: {key} {} there, {} here",
                a.is_some(),
                b.is_some()
            )),
        }
    }
}

fn float(text: String) -> String {
    text.parse::<f64>()
        .map_or(text, |number| number.to_string())
}

#[test]
fn every_published_field_is_here() {
    let Some(dir) = meltemi_examples::find("").unwrap() else {
        return;
    };
    let (theirs, ours) = (published(&dir), ours());
    let mut out = Vec::new();
    for ((kind, version), there) in &theirs {
        let Some(here) = ours.get(&(kind.clone(), version.clone())) else {
            out.push(format!("{kind} {version}: missing"));
            continue;
        };
        let schema = |version: &Value| version["schema"]["openAPIV3Schema"].clone();
        compare(kind, &schema(there), &schema(here), &mut out);
        for key in ["storage", "served"] {
            if there[key] != here[key] {
                out.push(format!("{kind} {version}: {key} differs"));
            }
        }
    }
    out.sort();
    out.dedup();
    eprintln!("{} versions of kinds compared", theirs.len());
    assert!(
        out.is_empty(),
        "{} differences:\n{}",
        out.len(),
        out.join("\n")
    );
}

#[test]
fn every_object_gets_the_published_verdict() {
    let Some(dir) = meltemi_examples::find("").unwrap() else {
        return;
    };
    let judges = |schemas: BTreeMap<(String, String), Value>| -> BTreeMap<_, Judge> {
        let judge = |version: &Value| Judge::new(&version["schema"]["openAPIV3Schema"]).unwrap();
        schemas
            .iter()
            .map(|(key, version)| (key.clone(), judge(version)))
            .collect()
    };
    // Another implementation of the part that is JSON Schema: what it refuses, we refuse.
    let oracles: BTreeMap<_, _> = ours()
        .into_iter()
        .map(|(key, version)| {
            let schema = &version["schema"]["openAPIV3Schema"];
            (key, jsonschema::validator_for(schema).unwrap())
        })
        .collect();
    let (theirs, ours) = (judges(published(&dir)), judges(ours()));
    let (mut objects, mut different) = (0, Vec::new());
    for area in ["validation", "seeds"] {
        for path in files(&dir.join(area)) {
            let bytes = fs::read(&path).unwrap();
            for whole in read_whole(&bytes, &Source::new(path.display().to_string())) {
                let header = &whole.document.header;
                let version = header.api_version.clone().unwrap_or_default();
                let version = version.rsplit('/').next().unwrap_or_default().to_owned();
                let key = (header.kind.clone().unwrap_or_default(), version);
                let ours_alone = header
                    .api_version
                    .as_deref()
                    .unwrap_or_default()
                    .contains("istio.io");
                let (Some(content), Some(there), Some(here)) =
                    (&whole.content, theirs.get(&key), ours.get(&key))
                else {
                    continue;
                };
                if !ours_alone {
                    continue;
                }
                objects += 1;
                let plain = oracles.get(&key).unwrap();
                if !plain.is_valid(&content.value) && !content.value.to_string().contains("null") {
                    assert!(!here.judge(&content.value).is_empty(), "{}", path.display());
                }
                let (a, b) = (there.judge(&content.value), here.judge(&content.value));
                if a.is_empty() != b.is_empty() {
                    different.push(format!("{}: there {a:?}\n  here {b:?}", path.display()));
                }
            }
        }
    }
    eprintln!("{objects} objects judged by both");
    assert!(objects > 300, "{objects}");
    assert!(different.is_empty(), "{}", different.join("\n"));
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            all.push(path);
        }
    }
    all.sort();
    all
}
