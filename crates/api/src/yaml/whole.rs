//! Documents together with what they hold, for those who judge more than the types do.

use super::positions::positions;
use super::scalar::Scalar;
use super::tree::{Node, Value as Tree};
use super::{Document, Source, document, split, text};
use crate::meta::Positions;
use serde_json::{Map, Number, Value};

/// A document and what it holds.
#[derive(Clone, Debug)]
pub struct Whole {
    /// The document.
    pub document: Document,
    /// Which document of its text it is, from 1. The items of a list share it.
    pub number: usize,
    /// What it holds; `None` when it does not parse.
    pub content: Option<Content>,
}

/// What a document holds.
#[derive(Clone, Debug)]
pub struct Content {
    /// The object, as an API server gets it.
    pub value: Value,
    /// Where each field stands.
    pub positions: Positions,
}

/// Reads all documents of a text as [`super::read`] does, and keeps what they hold.
#[must_use]
pub fn read_whole(bytes: &[u8], source: &Source) -> Vec<Whole> {
    let text = match text(bytes, source) {
        Ok(text) => text,
        Err(document) => {
            return vec![Whole {
                document: *document,
                number: 1,
                content: None,
            }];
        }
    };
    let mut all = Vec::new();
    let mut last = 0;
    for part in split::split(text) {
        let before = last;
        document::each(part, source, &mut |document, ordinal, root| {
            last = before + ordinal;
            all.push(Whole {
                document,
                number: last,
                content: root.map(content),
            });
        });
    }
    all
}

fn content(root: &Node) -> Content {
    Content {
        value: value(root),
        positions: positions(root, usize::MAX),
    }
}

/// A node as JSON. Numbers that JSON does not have become texts.
fn value(node: &Node) -> Value {
    match &node.value {
        Tree::Scalar(scalar, text) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Bool(value) => Value::Bool(*value),
            Scalar::Unsigned(value) => Value::from(*value),
            Scalar::Signed(value) => Value::from(*value),
            Scalar::Float(value) => Number::from_f64(*value)
                .map_or_else(|| Value::String(text.text.to_string()), Value::Number),
            Scalar::Text => Value::String(text.text.to_string()),
        },
        Tree::List(items) => Value::Array(items.iter().map(|item| value(item)).collect()),
        Tree::Map(entries) => {
            let mut fields = Map::new();
            for entry in entries {
                fields.insert(entry.key.to_string(), value(&entry.node));
            }
            Value::Object(fields)
        }
    }
}
