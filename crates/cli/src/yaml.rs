//! YAML that means the same to every reader.
//!
//! Envoy reads YAML 1.1, where `y`, `on` and `0777` are no texts; readers of 1.2 disagree. So a
//! text is written plain only when no reader can take it for anything else.

use serde_json::{Map, Value};
use std::net::Ipv4Addr;

/// Words that are booleans, nothing or numbers to some reader, in any case.
const WORDS: [&str; 12] = [
    "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity",
];

/// How a value is laid out. Empty mappings and sequences fit on a line as scalars do.
enum Layout<'a> {
    Mapping(&'a Map<String, Value>),
    Sequence(&'a [Value]),
    Line(String),
}

impl<'a> Layout<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::Object(fields) if !fields.is_empty() => Self::Mapping(fields),
            Value::Array(items) if !items.is_empty() => Self::Sequence(items),
            Value::String(value) => Self::Line(text(value)),
            // JSON's spelling of these is YAML's.
            Value::Object(_)
            | Value::Array(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_) => Self::Line(value.to_string()),
        }
    }
}

/// The value as a document.
pub(crate) fn write(value: &Value) -> String {
    let mut out = String::new();
    match Layout::of(value) {
        Layout::Mapping(fields) => mapping(&mut out, fields, 0),
        Layout::Sequence(items) => sequence(&mut out, items, 0),
        Layout::Line(line) => end(&mut out, &line),
    }
    out
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn end(out: &mut String, line: &str) {
    out.push_str(line);
    out.push('\n');
}

/// Lines of fields; the first one is not indented, because what comes before it is.
fn mapping(out: &mut String, fields: &Map<String, Value>, depth: usize) {
    for (index, (key, value)) in fields.iter().enumerate() {
        if index > 0 {
            indent(out, depth);
        }
        out.push_str(&text(key));
        out.push(':');
        match Layout::of(value) {
            Layout::Mapping(inner) => {
                out.push('\n');
                indent(out, depth + 1);
                mapping(out, inner, depth + 1);
            }
            Layout::Sequence(items) => {
                out.push('\n');
                indent(out, depth);
                sequence(out, items, depth);
            }
            Layout::Line(line) => {
                out.push(' ');
                end(out, &line);
            }
        }
    }
}

/// Lines of elements; the first one is not indented.
fn sequence(out: &mut String, items: &[Value], depth: usize) {
    for (index, value) in items.iter().enumerate() {
        if index > 0 {
            indent(out, depth);
        }
        out.push_str("- ");
        match Layout::of(value) {
            Layout::Mapping(inner) => mapping(out, inner, depth + 1),
            Layout::Sequence(items) => sequence(out, items, depth + 1),
            Layout::Line(line) => end(out, &line),
        }
    }
}

fn text(value: &str) -> String {
    match is_plain(value) {
        true => value.to_owned(),
        false => quoted(value),
    }
}

fn is_plain(value: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || "_./|~*+=-[];".contains(c);
    let starts = value.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_');
    let word = WORDS.iter().any(|word| value.eq_ignore_ascii_case(word));
    (starts && !word && value.chars().all(safe)) || is_seconds(value) || is_address(value)
}

/// `10s`, `0.250s`: durations are everywhere in what Envoy reads.
fn is_seconds(value: &str) -> bool {
    value.strip_suffix('s').is_some_and(|number| {
        number.starts_with(|c: char| c.is_ascii_digit())
            && number.chars().all(|c| c.is_ascii_digit() || c == '.')
    })
}

fn is_address(value: &str) -> bool {
    value.parse::<Ipv4Addr>().is_ok()
}

/// JSON's quoting is also YAML's, but for characters that YAML wants escaped.
fn quoted(value: &str) -> String {
    let json = Value::from(value).to_string();
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_reads_back_as_it_was() {
        let value = json!({
            "@type": "type.googleapis.com/a.B",
            "empty": {"list": [], "map": {}, "text": ""},
            "lists": [[1, [2, {"a": [], "b": [null]}]], {"x": {"y": 1.5}}, "z"],
            "texts": ["a: b", "a #b", "- a", "línea\nzwei", "\u{7f}\u{2028}\u{feff}", "'", "\"", "\\"],
            "names": ["outbound|80||a.b", "*", "::1", "127.0.0.1", "10s", "0.25s", "1.", "0x1F"],
            "numbers": [0, -1, 0.9, 1e300, u64::MAX],
            "flags": [true, false, null],
        });
        let text = write(&value);
        let back: Value = serde_yaml::from_str(&text).unwrap();
        assert_eq!(back, value, "{text}");
        assert_eq!(write(&json!([])), "[]\n");
    }

    #[test]
    fn what_some_reader_takes_for_something_else_is_quoted() {
        for word in [
            "y",
            "N",
            "yes",
            "Off",
            "ON",
            "null",
            "~",
            "0777",
            "1_000",
            "1e3",
            "1:30",
            ".inf",
            "=",
            "2001-01-01",
            "NaN",
            "",
        ] {
            assert_eq!(
                write(&json!({ word: word })),
                format!("\"{word}\": \"{word}\"\n")
            );
        }
    }

    #[test]
    fn what_is_clear_is_plain() {
        let value = json!({"a": [{"b": "outbound|80||x.y", "c": "1.5s"}, "10.0.0.1"]});
        let text = "a:\n- b: outbound|80||x.y\n  c: 1.5s\n- 10.0.0.1\n";
        assert_eq!(write(&value), text);
    }
}
