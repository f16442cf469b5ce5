//! YAML in the user's order of keys: read as a tree that remembers it, and written so that what was
//! there stays where it was and what is new comes after it.

use crate::yaml;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// A value that remembers the order of its keys.
#[derive(Debug)]
pub(super) enum Ordered {
    Scalar(Value),
    List(Vec<Ordered>),
    Map(Vec<(String, Ordered)>),
}

impl Ordered {
    /// The value without the order.
    pub(super) fn value(&self) -> Value {
        match self {
            Self::Scalar(value) => value.clone(),
            Self::List(items) => Value::Array(items.iter().map(Self::value).collect()),
            Self::Map(fields) => {
                let fields = fields
                    .iter()
                    .map(|(key, value)| (key.clone(), value.value()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    fn field(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(fields) => fields
                .iter()
                .find(|(k, _)| k == key)
                .map(|(_, value)| value),
            Self::Scalar(_) | Self::List(_) => None,
        }
    }

    /// The element that an element of a list was: the one of its name, or of its path.
    fn element(&self, index: usize, value: &Value) -> Option<&Self> {
        let Self::List(items) = self else {
            return None;
        };
        for key in ["mountPath", "name", "containerPort"] {
            if let Some(wanted) = value.get(key) {
                let is_it = |item: &&Self| matches!(item.field(key), Some(Self::Scalar(found)) if found == wanted);
                return items.iter().find(is_it);
            }
        }
        // A workload in a List.
        items.get(index)
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Ordered;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Ordered, E> {
        let number = Number::from_f64(value).map(Value::Number);
        Ok(Ordered::Scalar(number.unwrap_or(Value::Null)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Ordered, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Ordered::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Ordered, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = access.next_entry()? {
            fields.push(field);
        }
        Ok(Ordered::Map(fields))
    }
}

/// A text that is being written.
pub(super) struct Text(String);

impl Text {
    /// A value as a document, in the order of what it was before.
    pub(super) fn write(value: &Value, before: Option<&Ordered>) -> String {
        let mut text = Self(String::new());
        text.value(value, before, 0);
        text.0
    }

    fn indent(&mut self, depth: usize) {
        self.0.extend(std::iter::repeat_n("  ", depth));
    }

    /// A map or list, of which the first line is not indented; a scalar as a line.
    fn value(&mut self, value: &Value, before: Option<&Ordered>, depth: usize) {
        match value {
            Value::Object(fields) if !fields.is_empty() => self.map(fields, before, depth),
            Value::Array(items) if !items.is_empty() => self.list(items, before, depth),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => self.0.push_str(&yaml::write(value)),
        }
    }

    fn map(&mut self, fields: &Map<String, Value>, before: Option<&Ordered>, depth: usize) {
        let mut keys: Vec<&String> = fields.keys().collect();
        if let Some(Ordered::Map(known)) = before {
            let place = |key: &str| known.iter().position(|(k, _)| k == key);
            keys.sort_by_key(|key| place(key).unwrap_or(usize::MAX));
        }
        for (index, key) in keys.into_iter().enumerate() {
            if index > 0 {
                self.indent(depth);
            }
            self.0
                .push_str(yaml::write(&Value::from(key.as_str())).trim_end());
            self.0.push(':');
            let before = before.and_then(|before| before.field(key));
            let value = fields.get(key).unwrap_or(&Value::Null);
            match value {
                Value::Object(inner) if !inner.is_empty() => {
                    self.0.push('\n');
                    self.indent(depth + 1);
                    self.value(value, before, depth + 1);
                }
                Value::Array(items) if !items.is_empty() => {
                    self.0.push('\n');
                    self.indent(depth);
                    self.value(value, before, depth);
                }
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_) => {
                    self.0.push(' ');
                    self.value(value, before, depth);
                }
            }
        }
    }

    fn list(&mut self, items: &[Value], before: Option<&Ordered>, depth: usize) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.indent(depth);
            }
            self.0.push_str("- ");
            let before = before.and_then(|before| before.element(index, item));
            self.value(item, before, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_there_keeps_its_place() {
        let text =
            r#"{"z": 1, "list": [{"name": "b", "image": "i", "args": []}], "a": {"y": 1, "x": 2}}"#;
        let before: Ordered = serde_json::from_str(text).unwrap();
        let mut after = before.value();
        after["list"] =
            json!([{"name": "a"}, {"name": "b", "args": [], "env": [{}], "image": "i"}]);
        after["a"]["b"] = json!([[1], {}]);
        let expected = "z: 1\nlist:\n- name: a\n- name: b\n  image: i\n  args: []\n  env:\n  - {}\n\
                        a:\n  \"y\": 1\n  x: 2\n  b:\n  - - 1\n  - {}\n";
        let written = Text::write(&after, Some(&before));
        assert_eq!(written, expected);
        let back: Value = serde_yaml::from_str(&written).unwrap();
        assert_eq!(back, after);
    }
}
