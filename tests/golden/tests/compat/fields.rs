//! The fields of the mesh kinds: those that the definitions have, and those that an object sets.

use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A field of a kind, whatever the index or key: `http[].match[].headers{}.exact`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Field {
    pub(crate) kind: String,
    pub(crate) path: String,
}

/// A step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To the entry of this name.
    Key(String),
    /// To an element of a list.
    Index(usize),
}

/// The steps from `spec` to a value.
pub(crate) type Place = Vec<Step>;

impl Field {
    /// The field of a kind at this path.
    pub(crate) fn new(kind: &str, path: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            path: path.to_owned(),
        }
    }
}

/// The kind of an object of one of Istio's groups.
pub(crate) fn mesh_kind(object: &Value) -> Option<String> {
    let version = object.get("apiVersion")?.as_str()?;
    let group = version.split_once('/')?.0;
    group.ends_with(".istio.io").then_some(())?;
    Some(object.get("kind")?.as_str()?.to_owned())
}

/// The places of all fields that an object sets, each with its field, the outer ones first. Keys
/// of maps are no fields: their definition tells them apart.
pub(crate) fn places(object: &Value, definition: &Definition) -> Vec<(Field, Place)> {
    let mut all = Vec::new();
    if let Some(spec) = object.get("spec") {
        let here = Here::default();
        definition.below((spec, &definition.spec), &here, &mut all);
    }
    all
}

/// Where one is inside an object, as written and as defined.
#[derive(Clone, Default)]
struct Here {
    place: Place,
    path: String,
}

impl Here {
    fn field(&self, name: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        self.step(Step::Key(name.to_owned()), &format!("{dot}{name}"))
    }

    fn step(&self, step: Step, path: &str) -> Self {
        let mut place = self.place.clone();
        place.push(step);
        Self {
            place,
            path: format!("{}{path}", self.path),
        }
    }
}

impl Definition {
    fn below(&self, (value, schema): (&Value, &Value), here: &Here, out: &mut Vec<(Field, Place)>) {
        match value {
            Value::Object(entries) => {
                for (name, value) in entries {
                    if let Some(field) = schema.get("properties").and_then(|all| all.get(name)) {
                        let inner = here.field(name);
                        out.push((Field::new(&self.kind, &inner.path), inner.place.clone()));
                        self.below((value, field), &inner, out);
                    } else if let Some(entry) = schema.get("additionalProperties") {
                        let inner = here.step(Step::Key(name.clone()), "{}");
                        self.below((value, entry), &inner, out);
                    }
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    let inner = here.step(Step::Index(index), "[]");
                    if let Some(schema) = schema.get("items") {
                        self.below((value, schema), &inner, out);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// Takes a field out of an object's spec.
pub(crate) fn remove(object: &mut Value, place: &[Step]) {
    let Some((Step::Key(name), above)) = place.split_last() else {
        return;
    };
    let mut value = object.get_mut("spec");
    for step in above {
        value = match step {
            Step::Key(name) => value.and_then(|value| value.get_mut(name)),
            Step::Index(index) => value.and_then(|value| value.get_mut(index)),
        };
    }
    if let Some(fields) = value.and_then(Value::as_object_mut) {
        fields.remove(name);
    }
}

/// What a kind's definition says of `spec`.
pub(crate) struct Definition {
    kind: String,
    spec: Value,
}

impl Definition {
    /// The definitions of a folder, by kind.
    pub(crate) fn all(crds: &Path) -> Result<BTreeMap<String, Self>> {
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(crds).context("crds/")? {
            let text = std::fs::read_to_string(entry?.path())?;
            let object: Value = serde_yaml::from_str(&text)?;
            let kind = object.pointer("/spec/names/kind").and_then(Value::as_str);
            let kind = kind.context("a definition names its kind")?.to_owned();
            let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
            let spec = object.pointer(spec).context("a definition has a spec")?;
            let spec = spec.clone();
            all.insert(kind.clone(), Self { kind, spec });
        }
        Ok(all)
    }

    /// Every field.
    pub(crate) fn fields(&self) -> BTreeSet<Field> {
        let mut all = BTreeSet::new();
        self.collect(&self.spec, "", &mut all);
        all
    }

    fn collect(&self, schema: &Value, path: &str, out: &mut BTreeSet<Field>) {
        let dot = if path.is_empty() { "" } else { "." };
        let fields = schema.get("properties").and_then(Value::as_object);
        for (name, field) in fields.into_iter().flatten() {
            let path = format!("{path}{dot}{name}");
            out.insert(Field::new(&self.kind, &path));
            self.collect(field, &path, out);
        }
        for (key, sign) in [("items", "[]"), ("additionalProperties", "{}")] {
            if let Some(inner) = schema.get(key) {
                self.collect(inner, &format!("{path}{sign}"), out);
            }
        }
    }
}
