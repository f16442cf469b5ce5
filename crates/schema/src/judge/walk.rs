//! A value against its schema: types, unknown fields, bounds, and groups of fields.

use super::list;
use super::words::{article, choice, describe};
use crate::constraint;
use meltemi_api::Finding;
use meltemi_types::{Code, FieldPath};
use regex::Regex;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

type Schema = Map<String, Value>;

/// How large a value is: in `Length`, `Items` or `Properties`, as the bounds call it.
struct Size {
    what: &'static str,
    count: u64,
}

impl Size {
    fn new(what: &'static str, count: usize) -> Self {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        Self { what, count }
    }
}

/// A walk through an object.
pub(super) struct Walk<'s> {
    pub(super) patterns: &'s BTreeMap<String, Regex>,
    pub(super) found: Vec<Finding>,
}

fn text<'s>(schema: &'s Schema, key: &str) -> Option<&'s str> {
    schema.get(key).and_then(Value::as_str)
}

fn is_set(schema: &Schema, key: &str) -> bool {
    schema.get(key) == Some(&Value::Bool(true))
}

impl Walk<'_> {
    fn report(&mut self, code: Code, path: &FieldPath, words: (String, String)) {
        self.found
            .push(Finding::error(code, path, words.0, words.1));
    }

    /// Looks at a value and everything below it.
    pub(super) fn value(&mut self, schema: &Schema, value: &Value, path: &FieldPath) {
        if value.is_null() && is_set(schema, "nullable") {
            return;
        }
        let kind = text(schema, "type");
        if let Some(kind) = kind
            && !is_of(kind, value)
        {
            let words = (
                format!("is {}, not {}", describe(value), article(kind)),
                format!("write {}", article(kind)),
            );
            return self.report(Code::WrongType, path, words);
        }
        self.allowed(schema, value, path);
        match value {
            Value::Object(fields) => self.object(schema, fields, path),
            Value::Array(items) => self.array(schema, items, path),
            Value::String(text) => self.text(schema, text, path),
            Value::Number(number) => self.number(schema, number.as_f64(), path),
            Value::Null if is_set(schema, "x-kubernetes-int-or-string") => {
                let words = ("is empty".into(), "write a number or a string".into());
                self.report(Code::WrongType, path, words);
            }
            Value::Null | Value::Bool(_) => {}
        }
        self.ways(schema, value, path);
    }

    fn allowed(&mut self, schema: &Schema, value: &Value, path: &FieldPath) {
        let Some(Value::Array(allowed)) = schema.get("enum") else {
            return;
        };
        if !allowed.contains(value) {
            let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
            let words = (
                format!("{} is not an allowed value", describe(value)),
                format!("use {}", choice(&allowed)),
            );
            self.report(Code::UnknownEnumValue, path, words);
        }
    }

    fn object(&mut self, schema: &Schema, fields: &Schema, path: &FieldPath) {
        self.size(schema, Size::new("Properties", fields.len()), path);
        let required = schema.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                let words = ("is missing".into(), format!("set {name}"));
                self.report(Code::Required, &path.field(name), words);
            }
        }
        let known = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let open = is_set(schema, "x-kubernetes-preserve-unknown-fields")
            || others == Some(&Value::Bool(true));
        for (name, value) in fields {
            let below = known.and_then(|known| known.get(name));
            let below = below.or(others).and_then(Value::as_object);
            match below {
                Some(below) => self.value(below, value, &path.field(name)),
                None if open => {}
                None => {
                    let remedy = "remove it, or check its spelling and indentation";
                    let words = ("unknown field".into(), remedy.into());
                    self.report(Code::UnknownField, &path.field(name), words);
                }
            }
        }
    }

    fn array(&mut self, schema: &Schema, items: &[Value], path: &FieldPath) {
        self.size(schema, Size::new("Items", items.len()), path);
        if let Some(below) = schema.get("items").and_then(Value::as_object) {
            for (index, item) in items.iter().enumerate() {
                self.value(below, item, &path.index(index));
            }
        }
        list::check(schema, items, path, &mut self.found);
    }

    fn text(&mut self, schema: &Schema, value: &str, path: &FieldPath) {
        self.size(schema, Size::new("Length", value.chars().count()), path);
        if let Some(pattern) = text(schema, "pattern")
            && let Some(regex) = self.patterns.get(pattern)
            && !regex.is_match(value)
        {
            let words = (
                format!("{value:?} does not match {pattern}"),
                "correct the value".into(),
            );
            self.report(Code::InvalidValue, path, words);
        }
        let right = match text(schema, "format") {
            Some("byte") => is_base64(value),
            Some("date-time") => is_time(value),
            Some(_) | None => true,
        };
        if !right {
            let format = text(schema, "format").unwrap_or_default();
            let words = (
                format!("{value:?} is not of the format {format}"),
                "correct the value".into(),
            );
            self.report(Code::InvalidValue, path, words);
        }
    }

    fn number(&mut self, schema: &Schema, value: Option<f64>, path: &FieldPath) {
        let Some(value) = value else {
            return;
        };
        let (mut low, mut high) = (
            schema.get("minimum").and_then(Value::as_f64),
            schema.get("maximum").and_then(Value::as_f64),
        );
        if text(schema, "format") == Some("int32") {
            low = low.or(Some(i32::MIN.into()));
            high = high.or(Some(i32::MAX.into()));
        }
        let below = low.is_some_and(|low| value < low);
        let above = high.is_some_and(|high| value > high);
        if below || above {
            let words = (format!("{value} is out of range"), range(low, high));
            self.report(Code::OutOfRange, path, words);
        }
    }

    fn size(&mut self, schema: &Schema, of: Size, path: &FieldPath) {
        let Size { what, count } = of;
        let limit = |key: String| schema.get(&key).and_then(Value::as_u64);
        let (low, high) = (limit(format!("min{what}")), limit(format!("max{what}")));
        let below = low.is_some_and(|low| count < low);
        if below || high.is_some_and(|high| count > high) {
            let unit = match what {
                "Length" => "characters",
                "Items" => "elements",
                _ => "entries",
            };
            let words = (format!("has {count} {unit}"), range(low, high));
            let code = if below && count == 0 {
                Code::Required
            } else {
                Code::OutOfRange
            };
            self.report(code, path, words);
        }
    }

    /// `oneOf`, `anyOf`, `allOf` and `not`.
    fn ways(&mut self, schema: &Schema, value: &Value, path: &FieldPath) {
        let list = |key: &str| schema.get(key).and_then(Value::as_array);
        for part in list("allOf")
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
        {
            self.ways(part, value, path);
            self.object_demands(part, value, path);
        }
        if let Some(ways) = list("oneOf")
            && ways.iter().filter(|way| self.holds(way, value)).count() != 1
        {
            let words = match constraint::group(ways) {
                Some(fields) => (
                    format!("more than one of {} is set", fields.join(", ")),
                    "keep one of them".into(),
                ),
                None => (
                    "fits not exactly one of the forms".into(),
                    "keep one form".into(),
                ),
            };
            self.report(Code::Conflict, path, words);
        }
        if let Some(ways) = list("anyOf")
            && !ways.iter().any(|way| self.holds(way, value))
        {
            let words = ("fits none of the forms".into(), "use one of them".into());
            self.report(Code::InvalidValue, path, words);
        }
        if let Some(not) = schema.get("not")
            && self.holds(not, value)
        {
            let words = ("has a form that is excluded".into(), "change it".into());
            self.report(Code::Conflict, path, words);
        }
    }

    fn object_demands(&mut self, part: &Schema, value: &Value, path: &FieldPath) {
        let required = part.get("required").and_then(Value::as_array);
        for name in required.into_iter().flatten().filter_map(Value::as_str) {
            if value.get(name).is_none() {
                let words = ("is missing".into(), format!("set {name}"));
                self.report(Code::Required, &path.field(name), words);
            }
        }
    }

    /// True when a form fits, whatever other fields there are.
    fn holds(&self, schema: &Value, value: &Value) -> bool {
        let Value::Object(schema) = schema else {
            return true;
        };
        let mut inner = Walk {
            patterns: self.patterns,
            found: Vec::new(),
        };
        inner.value(schema, value, &FieldPath::root());
        inner
            .found
            .iter()
            .all(|finding| finding.code == Code::UnknownField)
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => true,
    }
}

fn range<N: std::fmt::Display>(low: Option<N>, high: Option<N>) -> String {
    match (low, high) {
        (Some(low), Some(high)) => format!("use {low} to {high}"),
        (Some(low), None) => format!("use {low} or more"),
        (None, Some(high)) => format!("use {high} or less"),
        (None, None) => "correct the value".into(),
    }
}

/// Standard base64 with its padding; line breaks are left out, as Go does.
fn is_base64(text: &str) -> bool {
    let text: Vec<u8> = text
        .bytes()
        .filter(|byte| !matches!(byte, b'\r' | b'\n'))
        .collect();
    let data = text.iter().take_while(|byte| **byte != b'=').count();
    let padding = text.len() - data;
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    text.len().is_multiple_of(4)
        && padding <= 2
        && text.iter().take(data).all(letter)
        && text.iter().skip(data).all(|byte| *byte == b'=')
}

/// RFC 3339, as far as its shape goes.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = b"0000-00-00T00:00:00";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't'),
        other => byte == other,
    };
    let Some((stem, zone)) = bytes.split_at_checked(shape.len()) else {
        return false;
    };
    let ends = zone.ends_with(b"Z") || zone.ends_with(b"z") || zone.len() >= 6;
    stem.iter().zip(shape).all(fits) && ends
}
