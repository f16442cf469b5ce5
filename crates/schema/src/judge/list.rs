//! Lists whose elements must differ: as a whole (`set`), or in their keys (`map`).

use super::words::describe;
use meltemi_api::Finding;
use meltemi_types::{Code, FieldPath};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Adds the elements that are there twice.
pub(super) fn check(
    schema: &Map<String, Value>,
    items: &[Value],
    path: &FieldPath,
    found: &mut Vec<Finding>,
) {
    let keys: Vec<&str> = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("map") => {
            let keys = schema.get("x-kubernetes-list-map-keys");
            let keys = keys.and_then(Value::as_array).into_iter().flatten();
            keys.filter_map(Value::as_str).collect()
        }
        Some("set") => Vec::new(),
        Some(_) | None => return,
    };
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        if seen.insert(identity(item, &keys)) {
            continue;
        }
        let (path, what) = match keys.as_slice() {
            [] => (path.index(index), describe(item)),
            [key] => {
                let value = item.get(key).unwrap_or(&Value::Null);
                (path.index(index).field(key), describe(value))
            }
            keys => (
                path.index(index),
                format!("the same {}", keys.join(" and ")),
            ),
        };
        found.push(Finding::error(
            Code::Conflict,
            &path,
            format!("{what} is there twice"),
            "each element of this list must be unique: remove or rename one",
        ));
    }
}

/// What must differ. Keys of maps are written in order, so equal values have equal texts.
fn identity(item: &Value, keys: &[&str]) -> String {
    if keys.is_empty() {
        return canonical(item);
    }
    let values = keys.iter().map(|key| item.get(key).map(canonical));
    format!("{:?}", values.collect::<Vec<_>>())
}

fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{key:?}:{}", canonical(value)))
                .collect();
            fields.sort();
            fields.join(",")
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}
