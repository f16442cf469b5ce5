//! The pod's labels and annotations, as the downward API writes them to files: `key="value"` a
//! line, the value quoted as Go quotes.

use std::collections::BTreeMap;
use std::path::Path;

/// Where they are, relative to the working directory.
const DIRECTORY: &str = "./etc/istio/pod";

/// What the pod is told about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pod {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Pod {
    /// Reads both files; a missing one is an empty one.
    pub(crate) fn read(read: &dyn Fn(&Path) -> Option<String>) -> Self {
        let file = |name: &str| {
            let text = read(&Path::new(DIRECTORY).join(name));
            text.map(|text| parse(&text)).unwrap_or_default()
        };
        Self {
            labels: file("labels"),
            annotations: file("annotations"),
        }
    }
}

/// Lines that are none are passed over.
fn parse(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        let value = value.strip_prefix('"')?.strip_suffix('"')?;
        Some((key.to_owned(), unquoted(value)))
    });
    lines.collect()
}

/// Undoes Go's quoting; an escape that is none stays as it is.
fn unquoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let (letter, length) = escaped(escape);
        match letter {
            Some(letter) => out.push(letter),
            None => out.push_str(escape.get(..length).unwrap_or(escape)),
        }
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// The letter that an escape stands for, and how long the escape is.
fn escaped(escape: &str) -> (Option<char>, usize) {
    let hex = |digits: usize| {
        let code = escape.get(2..2 + digits);
        let code = code.and_then(|code| u32::from_str_radix(code, 16).ok());
        (code.and_then(char::from_u32), 2 + digits)
    };
    let found = match escape.chars().nth(1) {
        Some('n') => (Some('\n'), 2),
        Some('t') => (Some('\t'), 2),
        Some('r') => (Some('\r'), 2),
        Some('a') => (Some('\u{7}'), 2),
        Some('b') => (Some('\u{8}'), 2),
        Some('f') => (Some('\u{c}'), 2),
        Some('v') => (Some('\u{b}'), 2),
        Some(letter @ ('"' | '\\' | '\'')) => (Some(letter), 2),
        Some('x') => hex(2),
        Some('u') => hex(4),
        Some('U') => hex(8),
        Some(_) | None => (None, 1),
    };
    match found {
        (None, _) => (None, 1),
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_values_are_read() {
        let text = "app=\"a\"\nproxy.istio.io/config=\"{\\\"a\\\": 1}\\nb: \\u00fc\"\nbroken\n";
        let found = parse(text);
        assert_eq!(found["app"], "a");
        assert_eq!(found["proxy.istio.io/config"], "{\"a\": 1}\nb: ü");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(unquoted(r"a\q\x4"), r"a\q\x4");
        assert_eq!(unquoted(r"\\n"), r"\n");
    }
}
