//! Header names and values.
//!
//! Envoy reads the values of headers to add as format strings: a lone `%` makes it refuse the
//! whole route table.

use super::{Finding, Findings};
use meltemi_types::{Code, FieldPath};
use std::collections::BTreeMap;

/// True for a token of RFC 9110.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn wrong(at: &FieldPath, message: String, remedy: &str, out: &mut Findings) {
    out.push(Finding::error(Code::InvalidHeader, at, message, remedy));
}

/// The name of a header.
pub(crate) fn name(at: &FieldPath, text: &str, out: &mut Findings) {
    if text.is_empty() {
        wrong(at, "a header has no name".into(), "name the header", out);
    } else if !is_token(text) {
        wrong(
            at,
            format!("{text:?} is not a header name"),
            "use letters, digits and '-'",
            out,
        );
    }
}

/// The name of a header to match: pseudo headers are there too.
pub(crate) fn matched_name(at: &FieldPath, text: &str, out: &mut Findings) {
    name(at, text.strip_prefix(':').unwrap_or(text), out);
}

/// Headers to set or add. The host may be changed, other pseudo headers may not.
pub(crate) fn to_write(at: &FieldPath, headers: &BTreeMap<String, String>, out: &mut Findings) {
    for (key, text) in headers {
        let at = at.field(key);
        if key.starts_with(':') && key != ":authority" {
            wrong(
                &at,
                format!("{key:?} cannot be changed"),
                "of the pseudo headers only :authority can be changed",
                out,
            );
        } else if key != ":authority" {
            name(&at, key, out);
        }
        value(&at, text, out);
    }
}

/// Names of headers to remove.
pub(crate) fn to_remove(at: &FieldPath, names: &[String], out: &mut Findings) {
    for (index, key) in names.iter().enumerate() {
        let at = at.index(index);
        if key.starts_with(':') || key.eq_ignore_ascii_case("host") {
            wrong(
                &at,
                format!("{key:?} cannot be removed"),
                "remove it from the list",
                out,
            );
        } else {
            name(&at, key, out);
        }
    }
}

/// The value of a header to set or add.
pub(crate) fn value(at: &FieldPath, text: &str, out: &mut Findings) {
    if text.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
        wrong(
            at,
            format!("{text:?} holds control characters"),
            "remove them",
            out,
        );
    }
    const REMEDY: &str = "write %% for a percent sign, or %COMMAND% for one of Envoy's variables";
    match format(text) {
        Ok(Percents::Read) => {}
        Ok(Percents::Plain) => out.push(Finding::warning(
            Code::InvalidHeader,
            at,
            format!("{text:?} has a '%' that starts no variable; it is sent as it stands"),
            REMEDY,
        )),
        Err(problem) => wrong(
            at,
            format!("{text:?} is not a format that Envoy reads: {problem}"),
            REMEDY,
            out,
        ),
    }
}

/// What percent signs mean in a text.
#[derive(Debug, PartialEq, Eq)]
enum Percents {
    /// What Envoy's grammar says.
    Read,
    /// Themselves, like in `100%`: nothing in the text looks like a variable.
    Plain,
}

/// Envoy's grammar of format strings: `%%`, `%COMMAND%`, `%COMMAND(args)%`, `%COMMAND(args):9%`.
fn format(text: &str) -> Result<Percents, String> {
    let (mut rest, mut alone, mut commands) = (text, false, false);
    while let Some((_, after)) = rest.split_once('%') {
        if let Some(after) = after.strip_prefix('%') {
            rest = after;
        } else if after.starts_with(|c: char| c.is_ascii_alphanumeric() || "_(%".contains(c)) {
            commands = true;
            rest = command(after)?;
        } else {
            alone = true;
            rest = after;
        }
    }
    match (alone, commands) {
        (true, true) => Err("a '%' stands alone".into()),
        (true, false) => Ok(Percents::Plain),
        (false, _) => Ok(Percents::Read),
    }
}

/// One command after its first `%`: what follows its last one.
fn command(text: &str) -> Result<&str, String> {
    let end = text
        .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .unwrap_or(text.len());
    let (word, mut rest) = text.split_at_checked(end).unwrap_or((text, ""));
    if word.is_empty() {
        return Err("a '%' stands alone".into());
    }
    if let Some(inside) = rest.strip_prefix('(') {
        // The arguments end at `)%` or `):`: they may hold parentheses themselves.
        let close = inside
            .match_indices(')')
            .map(|(index, _)| inside.get(index + 1..).unwrap_or_default())
            .find(|after| after.starts_with('%') || after.starts_with(':'));
        rest = close.ok_or_else(|| format!("'%{word}(' is not closed by ')%'"))?;
    }
    if let Some(length) = rest.strip_prefix(':') {
        let digits = length.trim_start_matches(|c: char| c.is_ascii_digit());
        if digits.len() == length.len() {
            return Err(format!("'%{word}' has ':' without a length"));
        }
        rest = digits;
    }
    rest.strip_prefix('%')
        .ok_or_else(|| format!("'%{word}' is not closed by '%'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_as_envoy_reads_them() {
        for text in [
            "",
            "plain",
            "100%%",
            "prefix %HOSTNAME% suffix",
            "%DYNAMIC_METADATA(com.test.my_filter)%",
            "%REQ(X-A?Y-B):10%",
            "%START_TIME(%Y/%m/%dT%H:%M:%S%z)%",
            "%A%%B%",
        ] {
            assert_eq!(format(text), Ok(Percents::Read), "{text}");
        }
        for text in ["100%", "%", "a % b", "50%, 20%"] {
            assert_eq!(format(text), Ok(Percents::Plain), "{text}");
        }
        for text in [
            "abcd%oijasodifj",
            "%START_TIME%%",
            "%REQ(X-A",
            "%REQ(X-A)",
            "%REQ(X):%",
            "%PROTOCOL% 100%",
        ] {
            assert!(format(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_tokens() {
        assert!(is_token("x-a_b.c") && !is_token("a b") && !is_token(":path") && !is_token("é"));
    }
}
