//! JSON that was parsed already, judged by the same code as a document of a file.

use super::document::Draft;
use super::header::Header;
use super::scalar::Scalar;
use super::tree::{Entry, Mark, Node, Text, Value};
use super::{Document, Source};
use crate::kinds::Kind;
use serde_json::Value as Json;
use std::sync::Arc;

/// There are no lines in what an API server stores.
const NOWHERE: Mark = Mark { line: 1, column: 1 };

/// What comes of an object of this kind. Lists of an API server leave apiVersion and kind out.
pub(crate) fn document(kind: Kind, json: &Json, source: &Source) -> Document {
    let root = node(json);
    Draft {
        header: Header::of(&root),
        root: &root,
        source,
        problems: Vec::new(),
    }
    .watched(kind)
}

fn node(json: &Json) -> Node {
    let scalar = |scalar, text: &str| {
        let text = Text {
            text: text.into(),
            lines: None,
        };
        Value::Scalar(scalar, text)
    };
    let value = match json {
        Json::Null => scalar(Scalar::Null, "null"),
        Json::Bool(value) => scalar(Scalar::Bool(*value), &value.to_string()),
        Json::Number(number) => scalar(meaning(number), &number.to_string()),
        Json::String(text) => scalar(Scalar::Text, text),
        Json::Array(items) => Value::List(items.iter().map(|item| Arc::new(node(item))).collect()),
        Json::Object(fields) => Value::Map(
            fields
                .iter()
                .map(|(key, value)| Entry {
                    key: key.as_str().into(),
                    at: NOWHERE,
                    node: Arc::new(node(value)),
                })
                .collect(),
        ),
    };
    Node::new(value, NOWHERE)
}

fn meaning(number: &serde_json::Number) -> Scalar {
    match (number.as_u64(), number.as_i64()) {
        (Some(value), _) => Scalar::Unsigned(value),
        (None, Some(value)) => Scalar::Signed(value),
        (None, None) => Scalar::Float(number.as_f64().unwrap_or(f64::NAN)),
    }
}
