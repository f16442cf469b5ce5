//! Metadata as an API server takes it: names, labels, annotations, and no unknown field.
//!
//! Follows <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/>.

use super::words::describe;
use meltemi_api::Finding;
use meltemi_types::{Code, FieldPath};
use serde_json::{Map, Value};

/// All annotations together may not be longer.
const MAX_ANNOTATIONS: usize = 256 << 10;

const FIELDS: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Adds what is wrong with the metadata of an object.
pub(super) fn check(object: &Value, found: &mut Vec<Finding>) {
    let at = FieldPath::new("metadata");
    let mut report = |path: &FieldPath, code: Code, message: String, remedy: &str| {
        found.push(Finding::error(code, path, message, remedy));
    };
    let metadata = match object.get("metadata") {
        Some(Value::Object(metadata)) => metadata.clone(),
        Some(Value::Null) | None => Map::new(),
        Some(other) => {
            let message = format!("is {}, not an object", describe(other));
            return report(&at, Code::WrongType, message, "write an object");
        }
    };
    for name in metadata
        .keys()
        .filter(|name| !FIELDS.contains(&name.as_str()))
    {
        let remedy = "remove it, or check its spelling and indentation";
        report(
            &at.field(name),
            Code::UnknownField,
            "unknown field".into(),
            remedy,
        );
    }
    names(&metadata, &at, &mut report);
    pairs(&metadata, &at, &mut report);
}

type Report<'r> = &'r mut dyn FnMut(&FieldPath, Code, String, &str);

fn names(metadata: &Map<String, Value>, at: &FieldPath, report: Report<'_>) {
    let text = |key: &str| metadata.get(key).filter(|value| !value.is_null());
    for (key, right) in [
        ("name", is_subdomain as fn(&str) -> bool),
        ("namespace", is_label),
        ("generateName", |name| {
            is_subdomain(name.trim_end_matches(['-', '.']))
        }),
    ] {
        let path = at.field(key);
        match text(key) {
            None => {}
            Some(Value::String(name)) if right(name) => {}
            Some(Value::String(name)) if name.is_empty() => {}
            Some(Value::String(name)) => report(
                &path,
                Code::InvalidValue,
                format!("{name:?} is not allowed"),
                "use lower case letters, digits and '-' (in names also '.'), with a letter or digit \
                 at both ends, at most 253 characters (63 for a namespace)",
            ),
            Some(other) => {
                let message = format!("is {}, not a string", describe(other));
                report(&path, Code::WrongType, message, "write a string");
            }
        }
    }
    let named = |key| matches!(text(key), Some(Value::String(name)) if !name.is_empty());
    if !named("name") && !named("generateName") {
        let (path, remedy) = (at.field("name"), "set metadata.name");
        report(&path, Code::MissingIdentity, "is missing".into(), remedy);
    }
}

fn pairs(metadata: &Map<String, Value>, at: &FieldPath, report: Report<'_>) {
    for key in ["labels", "annotations"] {
        let at = at.field(key);
        let pairs = match metadata.get(key) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(pairs)) => pairs,
            Some(other) => {
                let message = format!("is {}, not an object", describe(other));
                report(&at, Code::WrongType, message, "write an object of strings");
                continue;
            }
        };
        let mut size = 0;
        for (name, value) in pairs {
            let path = at.field(name);
            let Value::String(value) = value else {
                let message = format!("is {}, not a string", describe(value));
                report(&path, Code::WrongType, message, "put it in quotes");
                continue;
            };
            size += name.len() + value.len();
            if !is_qualified(name) {
                let message = format!("{name:?} is not a name for {key}");
                let remedy =
                    "write NAME or PREFIX/NAME: letters, digits, '-', '_' and '.', at most 63";
                report(&path, Code::InvalidValue, message, remedy);
            }
            if key == "labels" && !is_label_value(value) {
                let message = format!("{value:?} is not a value for a label");
                let remedy = "use at most 63 letters, digits, '-', '_' and '.', with a letter or digit \
                              at both ends";
                report(&path, Code::InvalidValue, message, remedy);
            }
        }
        if key == "annotations" && size > MAX_ANNOTATIONS {
            let message = format!("annotations have {size} bytes");
            report(&at, Code::OutOfRange, message, "use at most 262144 bytes");
        }
    }
}

/// RFC 1123: lower case letters, digits and '-', at most 63, no '-' at the ends.
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 63 && !text.is_empty() && text.bytes().all(inner) && ends_well(text)
}

/// RFC 1123: labels joined by dots, at most 253.
fn is_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !part.is_empty() && part.bytes().all(inner) && ends_well(part)
    };
    text.len() <= 253 && text.split('.').all(part)
}

/// `NAME` or `PREFIX/NAME`.
fn is_qualified(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix.to_lowercase()), name),
        None => (None, text),
    };
    prefix.is_none_or(|prefix| is_subdomain(&prefix)) && !name.is_empty() && is_label_value(name)
}

fn is_label_value(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.is_empty() || (text.len() <= 63 && text.bytes().all(inner) && ends_well(text))
}

fn ends_well(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}
