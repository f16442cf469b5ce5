//! Format strings: header values, access logs, names of spans. `%NAME%`, `%NAME(arguments)%` and
//! `%NAME(arguments):length%` are operators, `%%` is a percent sign; any other `%` makes Envoy refuse
//! the whole resource.
//!
//! Follows Envoy's "Access logging: command operators" of 1.40. In values of users, what reads as an
//! operator is left alone, every other percent sign is doubled.

mod operator;

use operator::Takes;

/// Which operators there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operators {
    /// Those that every Envoy has.
    BuiltIn,
    /// Also those of formatters that are configured beside the format.
    Extended,
}

/// One operator as written.
struct Operator<'f> {
    name: &'f str,
    /// Between the parentheses; `None` without any.
    arguments: Option<&'f str>,
    has_length: bool,
    rest: &'f str,
}

/// What is wrong with a format.
pub(crate) fn problem(format: &str, operators: Operators) -> Option<String> {
    let mut rest = format;
    while let Some((_, after)) = rest.split_once('%') {
        if let Some(literal) = after.strip_prefix('%') {
            rest = literal;
            continue;
        }
        let Some(operator) = parse(after) else {
            return Some(format!(
                "must be a format without a lone percent sign (write %% for one), not {format:?}"
            ));
        };
        if let Some(wrong) = wrong_operator(&operator, operators) {
            return Some(format!("must be a valid format, not {format:?}: {wrong}"));
        }
        rest = operator.rest;
    }
    None
}

/// Reads an operator after its first percent sign.
fn parse(text: &str) -> Option<Operator<'_>> {
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let after = text.trim_start_matches(is_name);
    let name = text.strip_suffix(after).filter(|name| !name.is_empty())?;
    let Some(inner) = after.strip_prefix('(') else {
        let (has_length, rest) = end(after)?;
        return Some(Operator {
            name,
            arguments: None,
            has_length,
            rest,
        });
    };
    // The arguments reach to the first parenthesis after which an operator can end.
    inner.match_indices(')').find_map(|(index, _)| {
        let (arguments, after) = inner.split_at_checked(index)?;
        let (has_length, rest) = end(after.strip_prefix(')')?)?;
        Some(Operator {
            name,
            arguments: Some(arguments),
            has_length,
            rest,
        })
    })
}

/// `%` or `:length%`.
fn end(text: &str) -> Option<(bool, &str)> {
    if let Some(rest) = text.strip_prefix('%') {
        return Some((false, rest));
    }
    let (digits, rest) = text.strip_prefix(':')?.split_once('%')?;
    let is_length = digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u64>().is_ok();
    is_length.then_some((true, rest))
}

fn wrong_operator(operator: &Operator<'_>, operators: Operators) -> Option<String> {
    let name = operator.name;
    let arguments = operator.arguments.unwrap_or_default();
    let Some(takes) = operator::takes(name) else {
        let unknown = operators == Operators::BuiltIn;
        return unknown.then(|| format!("there is no operator {name}"));
    };
    match takes {
        Takes::Nothing if !arguments.is_empty() || operator.has_length => {
            Some(format!("{name} takes no arguments and no length"))
        }
        Takes::Some | Takes::Header | Takes::Expression if arguments.is_empty() => {
            Some(format!("{name} needs arguments in parentheses"))
        }
        Takes::OneOf(allowed) if !arguments.is_empty() && !allowed.contains(&arguments) => {
            Some(format!("{name} takes one of {}", allowed.join(", ")))
        }
        Takes::Header => wrong_header(name, arguments),
        Takes::Expression => (!is_balanced(arguments))
            .then(|| format!("{arguments:?} is no expression: its brackets do not match")),
        Takes::Nothing | Takes::Some | Takes::OneOf(_) | Takes::Anything => None,
    }
}

/// `name` or `name?alternative`.
fn wrong_header(operator: &str, arguments: &str) -> Option<String> {
    let names = arguments.split('?');
    if names.clone().count() > 2 {
        return Some(format!("{operator} takes one alternative header only"));
    }
    names
        .map(|name| name.strip_prefix(':').unwrap_or(name))
        .find(|name| {
            name.chars()
                .any(|c| c.is_whitespace() || c == ':' || c.is_control())
        })
        .map(|name| format!("{name:?} is no header name"))
}

fn is_balanced(expression: &str) -> bool {
    let mut open = Vec::new();
    let mut quote = None;
    let mut chars = expression.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => drop(chars.next()),
            (Some(end), c) if end == c => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '(') => open.push(')'),
            (None, '[') => open.push(']'),
            (None, '{') => open.push('}'),
            (None, ')' | ']' | '}') if open.pop() != Some(c) => return false,
            _ => {}
        }
    }
    open.is_empty() && quote.is_none()
}

/// A value in which every percent sign is escaped or part of an operator that every Envoy has.
pub(crate) fn literal(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let next = match after.strip_prefix('%') {
            Some(next) => Some(next),
            None => kept(after),
        };
        let length = next.map_or(0, |next| after.len() - next.len());
        let (kept, next) = after.split_at_checked(length).unwrap_or((after, ""));
        out.push('%');
        out.push_str(if length > 0 { kept } else { "%" });
        rest = next;
    }
    out.push_str(rest);
    out
}

/// What is behind the operator that `text` (behind a percent sign) starts with; `None` when there
/// is none that Envoy takes.
fn kept(text: &str) -> Option<&str> {
    let operator = parse(text)?;
    let right = wrong_operator(&operator, Operators::BuiltIn).is_none();
    right.then_some(operator.rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_percent_signs_are_doubled_and_operators_kept() {
        for (value, expected) in [
            ("plain", "plain"),
            ("100%", "100%%"),
            ("100%%", "100%%"),
            ("%", "%%"),
            ("50% off", "50%% off"),
            ("%PROTOCOL%", "%PROTOCOL%"),
            ("%REQ(x-id)%", "%REQ(x-id)%"),
            ("a %REQ(:path):10% b%", "a %REQ(:path):10% b%%"),
            ("%START_TIME%", "%START_TIME%"),
            ("%START_TIME(%s)%", "%START_TIME(%s)%"),
            ("%REQ%", "%%REQ%%"),
            ("%REQ()%", "%%REQ()%%"),
            ("%NONSENSE%", "%%NONSENSE%%"),
            ("%PROTOCOL(x)%", "%%PROTOCOL(x)%%"),
            ("%20%20", "%%20%%20"),
            (
                "%REQ(a):99999999999999999999%",
                "%%REQ(a):99999999999999999999%%",
            ),
            (
                "%COALESCE({\"operators\":[]})%",
                "%COALESCE({\"operators\":[]})%",
            ),
            ("%GRPC_STATUS(NUMBER)%", "%GRPC_STATUS(NUMBER)%"),
            ("%GRPC_STATUS(WORD)%", "%%GRPC_STATUS(WORD)%%"),
        ] {
            assert_eq!(literal(value), expected, "{value}");
            assert_eq!(literal(expected), expected, "{expected}");
            assert_eq!(problem(expected, Operators::BuiltIn), None, "{expected}");
        }
    }
}
