//! From a Rust type to a structural schema: the form that an API server takes.
//!
//! No references, no nulls, no defaults; enumerations with the meaning of each word in the
//! description; objects of any content keep what they hold. What the types cannot say comes from
//! [`crate::rules`]. The surprise: Kubernetes has no unsigned numbers, so they become bounds.

use crate::constraint::{Row, Says};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Where the meanings of words wait for the description of their field.
const MEANINGS: &str = "x-meanings";

/// How a type's schema is made.
pub(crate) struct Builder<'r> {
    definitions: Map<String, Value>,
    rules: &'r [&'r [Row]],
    used: BTreeSet<&'static str>,
}

/// A schema, and the places of the rules that found their type and field.
#[cfg_attr(
    not(test),
    allow(dead_code, reason = "tests hold that every rule finds its place")
)]
pub(crate) struct Built {
    pub(crate) schema: Value,
    pub(crate) used: BTreeSet<&'static str>,
}

/// The structural schema of `T`.
pub(crate) fn build<T: JsonSchema>(rules: &[&[Row]]) -> Built {
    let mut generator: SchemaGenerator = SchemaSettings::draft2020_12().into_generator();
    let root = generator.subschema_for::<T>().to_value();
    let mut builder = Builder {
        definitions: generator.take_definitions(false),
        rules,
        used: BTreeSet::new(),
    };
    let mut schema = builder.convert(&root);
    settle(&mut schema);
    Built {
        schema: Value::Object(schema),
        used: builder.used,
    }
}

impl Builder<'_> {
    fn convert(&mut self, source: &Value) -> Map<String, Value> {
        let Value::Object(source) = source else {
            return anything();
        };
        let mut out = match () {
            () if source.contains_key("$ref") => self.reference(source),
            () if source.contains_key("anyOf") => self.not_null(source),
            () if source.contains_key("oneOf") || source.contains_key("enum") => words(source),
            () => self.plain(source),
        };
        if let Some(description) = source.get("description") {
            out.insert("description".into(), json!(one_line(description)));
        }
        out
    }

    /// A type by its name, and what the rules say of it.
    fn reference(&mut self, source: &Map<String, Value>) -> Map<String, Value> {
        let reference = source.get("$ref").and_then(Value::as_str);
        let name = reference.and_then(|text| text.rsplit('/').next());
        let name = name.unwrap_or_default().to_owned();
        let definition = self.definitions.get(&name).cloned().unwrap_or_default();
        let mut out = self.convert(&definition);
        if let Some(Value::Object(fields)) = out.get_mut("properties") {
            for (field, schema) in fields {
                let Value::Object(schema) = schema else {
                    continue;
                };
                let place = format!("{name}.{field}");
                self.apply(&place, schema);
                for (suffix, key) in [("[]", "items"), ("{}", "additionalProperties")] {
                    if let Some(Value::Object(inner)) = schema.get_mut(key) {
                        self.apply(&format!("{place}{suffix}"), inner);
                    }
                }
            }
        }
        self.apply(&name, &mut out);
        out
    }

    fn apply(&mut self, place: &str, schema: &mut Map<String, Value>) {
        for (at, says) in self.rules.iter().copied().flatten() {
            if *at == place {
                says.write(schema);
                self.used.insert(at);
            }
        }
    }

    /// `T` or null, as an optional field is described.
    fn not_null(&mut self, source: &Map<String, Value>) -> Map<String, Value> {
        let ways = source.get("anyOf").and_then(Value::as_array);
        let is_null = |way: &&Value| way.get("type").and_then(Value::as_str) == Some("null");
        let way = ways.and_then(|ways| ways.iter().find(|way| !is_null(way)));
        way.cloned().map_or_else(anything, |way| self.convert(&way))
    }

    fn plain(&mut self, source: &Map<String, Value>) -> Map<String, Value> {
        let kind = match source.get("type") {
            Some(Value::Array(kinds)) => kinds.iter().find(|kind| *kind != "null").cloned(),
            other => other.cloned(),
        };
        let mut out = Map::new();
        let Some(Value::String(kind)) = kind else {
            return anything();
        };
        match kind.as_str() {
            "object" => self.object(source, &mut out),
            "array" => {
                let items = source.get("items").cloned().unwrap_or_default();
                out.insert("items".into(), Value::Object(self.convert(&items)));
            }
            "integer" => bounds(source, &mut out),
            "number" => {
                out.insert("format".into(), json!("double"));
            }
            _ => {}
        }
        out.insert("type".into(), Value::String(kind));
        out
    }

    fn object(&mut self, source: &Map<String, Value>, out: &mut Map<String, Value>) {
        if let Some(Value::Object(fields)) = source.get("properties") {
            let fields: Map<String, Value> = fields
                .iter()
                .map(|(name, field)| (name.clone(), Value::Object(self.convert(field))))
                .collect();
            out.insert("properties".into(), Value::Object(fields));
        }
        match source.get("additionalProperties") {
            Some(Value::Object(values)) if !values.is_empty() => {
                let values = self.convert(&Value::Object(values.clone()));
                out.insert("additionalProperties".into(), Value::Object(values));
            }
            Some(Value::Bool(true) | Value::Object(_)) => {
                out.insert("x-kubernetes-preserve-unknown-fields".into(), json!(true));
            }
            _ => {}
        }
    }
}

/// A value of any kind.
fn anything() -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("x-kubernetes-preserve-unknown-fields".into(), json!(true));
    out
}

/// Numbers of Rust in the words of Kubernetes.
fn bounds(source: &Map<String, Value>, out: &mut Map<String, Value>) {
    let format = source.get("format").and_then(Value::as_str);
    match format.unwrap_or_default() {
        "uint8" => limits(out, 0, Some(u8::MAX.into())),
        "uint16" => limits(out, 0, Some(u16::MAX.into())),
        "uint32" => limits(out, 0, Some(u32::MAX.into())),
        "uint64" | "uint" => limits(out, 0, None),
        "int32" => {
            out.insert("format".into(), json!("int32"));
        }
        _ => {}
    }
}

fn limits(out: &mut Map<String, Value>, low: i64, high: Option<i64>) {
    Says::Minimum(low).write(out);
    if let Some(high) = high {
        Says::Maximum(high).write(out);
    }
}

/// An enumeration: its words, and what each of them means.
fn words(source: &Map<String, Value>) -> Map<String, Value> {
    let mut all = Vec::new();
    let mut meanings = Vec::new();
    if let Some(Value::Array(plain)) = source.get("enum") {
        all.extend(plain.iter().filter(|word| !word.is_null()).cloned());
    }
    for way in source
        .get("oneOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let Some(word) = way.get("const").cloned() else {
            all.extend(
                way.get("enum")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .cloned(),
            );
            continue;
        };
        if let (Some(name), Some(meaning)) = (word.as_str(), way.get("description")) {
            let meaning = one_line(meaning);
            meanings.push(format!("{name}: {meaning}"));
        }
        all.push(word);
    }
    let mut out = Map::new();
    out.insert("type".into(), json!("string"));
    out.insert("enum".into(), Value::Array(all));
    if !meanings.is_empty() {
        out.insert(MEANINGS.into(), json!(meanings.join(" ")));
    }
    out
}

/// Puts the meanings of words behind the description of their field.
fn settle(schema: &mut Map<String, Value>) {
    if let Some(meanings) = schema.remove(MEANINGS) {
        let about = schema.get("description").and_then(Value::as_str);
        let text = format!("{} {}", about.unwrap_or_default(), one_line(&meanings));
        schema.insert("description".into(), json!(text.trim()));
    }
    for (_, below) in schema.iter_mut() {
        if let Value::Object(below) = below {
            settle(below);
        }
    }
}

fn one_line(text: &Value) -> String {
    let text = text.as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
