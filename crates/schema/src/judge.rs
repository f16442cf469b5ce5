//! What an API server would say of an object: types, unknown fields, bounds, keys of lists, CEL
//! rules and metadata. Follows the structural schemas and the strict field validation of
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/>.
//!
//! The surprise: null for a field that cannot be null is as good as no field, but null in a list
//! is a mistake.

mod cel;
mod list;
mod metadata;
mod prune;
mod walk;
mod words;

use kube_cel::CompiledSchema;
use meltemi_api::Finding;
use meltemi_types::FieldPath;
use regex::Regex;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A schema, ready to judge objects.
pub struct Judge {
    schema: Map<String, Value>,
    patterns: BTreeMap<String, Regex>,
    rules: CompiledSchema,
}

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadSchema {
    /// It is no object.
    #[error("the schema is not an object")]
    NotAnObject,
    /// A pattern does not compile.
    #[error("the pattern {pattern:?} does not compile")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        #[source]
        cause: Box<regex::Error>,
    },
    /// A CEL rule does not compile.
    #[error("a CEL rule does not compile: {0}")]
    Rule(String),
}

impl Judge {
    /// A judge by the `openAPIV3Schema` of a version of a definition.
    ///
    /// # Errors
    /// A pattern or a CEL rule of the schema does not compile.
    pub fn new(schema: &Value) -> Result<Self, BadSchema> {
        let rules = kube_cel::compile_schema(schema);
        if let Some(error) = cel::broken(&rules) {
            return Err(BadSchema::Rule(error));
        }
        let mut patterns = BTreeMap::new();
        collect(schema, &mut patterns)?;
        let mut schema = schema.as_object().cloned().ok_or(BadSchema::NotAnObject)?;
        imply(&mut schema);
        Ok(Self {
            schema,
            patterns,
            rules,
        })
    }

    /// What is wrong with an object, by field.
    #[must_use]
    pub fn judge(&self, object: &Value) -> Vec<Finding> {
        let mut found = Vec::new();
        metadata::check(object, &mut found);
        let object = prune::prune(&self.schema, object);
        let mut walk = walk::Walk {
            patterns: &self.patterns,
            found,
        };
        walk.value(&self.schema, &object, &FieldPath::root());
        let mut found = walk.found;
        // As at an API server: rules can rely on the types of what they look at.
        if found.is_empty() {
            cel::evaluate(&self.rules, &object, &mut found);
        }
        found.sort();
        found.dedup();
        found
    }
}

/// What every object has.
fn imply(schema: &mut Map<String, Value>) {
    let text = json!({ "type": "string" });
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        fields.insert("apiVersion".into(), text.clone());
        fields.insert("kind".into(), text);
        fields.insert(
            "metadata".into(),
            json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true }),
        );
    }
}

/// All patterns of a schema, compiled once.
fn collect(schema: &Value, into: &mut BTreeMap<String, Regex>) -> Result<(), BadSchema> {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(pattern) if key == "pattern" => {
                        let compiled = Regex::new(pattern).map_err(|cause| BadSchema::Pattern {
                            pattern: pattern.to_owned(),
                            cause: Box::new(cause),
                        })?;
                        into.insert(pattern.to_owned(), compiled);
                    }
                    Some(_) | None => collect(value, into)?,
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                collect(item, into)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}
