//! Format strings: header values, access logs, names of spans. `%NAME%`, `%NAME(arguments)%` and
//! `%NAME(arguments):length%` are operators, `%%` is a percent sign, any other `%` is refused.

use super::operator::{self, Takes};
use super::report::Report;
use meltemi_proto::envoy::config::core::v3::SubstitutionFormatString;
use meltemi_proto::envoy::config::core::v3::data_source::Specifier;
use meltemi_proto::envoy::config::core::v3::substitution_format_string::Format;
use meltemi_proto::envoy::extensions::access_loggers::open_telemetry::v3::OpenTelemetryAccessLogConfig;
use meltemi_proto::google::protobuf::{Struct, value::Kind};
use meltemi_proto::opentelemetry::proto::common::v1::{KeyValueList, any_value};

/// Which operators there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Operators {
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
pub(super) fn problem(format: &str, operators: Operators) -> Option<String> {
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
    let digits = text.strip_prefix(':')?;
    let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
    (rest.len() < digits.len()).then_some(())?;
    Some((true, rest.strip_prefix('%')?))
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

/// A format of a log line or a body.
#[expect(deprecated, reason = "Envoy still reads text_format")]
pub(super) fn substitution(
    string: &SubstitutionFormatString,
    operators: Operators,
    report: &mut Report,
) {
    match &string.format {
        Some(Format::TextFormat(text)) => report.at("text_format", |report| {
            report.add_some(problem(text, operators));
        }),
        Some(Format::TextFormatSource(source)) => {
            if let Some(Specifier::InlineString(text)) = &source.specifier {
                report.at("text_format_source.inline_string", |report| {
                    report.add_some(problem(text, operators));
                });
            }
        }
        Some(Format::JsonFormat(json)) => report.at("json_format", |report| {
            structure(json, operators, report);
        }),
        None => {}
    }
}

fn structure(json: &Struct, operators: Operators, report: &mut Report) {
    for (key, value) in &json.fields {
        report.at(&format!("[{key:?}]"), |report| {
            kind(value.kind.as_ref(), operators, report);
        });
    }
}

fn kind(kind_of: Option<&Kind>, operators: Operators, report: &mut Report) {
    match kind_of {
        Some(Kind::StringValue(text)) => report.add_some(problem(text, operators)),
        Some(Kind::StructValue(json)) => structure(json, operators, report),
        Some(Kind::ListValue(list)) => report.each("", &list.values, |report, value| {
            kind(value.kind.as_ref(), operators, report);
        }),
        Some(Kind::NullValue(_) | Kind::NumberValue(_) | Kind::BoolValue(_)) | None => {}
    }
}

/// The body and the attributes of OpenTelemetry log records.
pub(super) fn open_telemetry(
    log: &OpenTelemetryAccessLogConfig,
    operators: Operators,
    report: &mut Report,
) {
    if let Some(body) = &log.body {
        report.at("body", |report| {
            any_value(body.value.as_ref(), operators, report)
        });
    }
    if let Some(attributes) = &log.attributes {
        report.at("attributes", |report| {
            key_values(attributes, operators, report)
        });
    }
}

fn any_value(value: Option<&any_value::Value>, operators: Operators, report: &mut Report) {
    use any_value::Value;
    match value {
        Some(Value::StringValue(text)) => report.add_some(problem(text, operators)),
        Some(Value::KvlistValue(list)) => key_values(list, operators, report),
        Some(Value::ArrayValue(array)) => report.each("values", &array.values, |report, item| {
            any_value(item.value.as_ref(), operators, report);
        }),
        Some(
            Value::BoolValue(_)
            | Value::IntValue(_)
            | Value::DoubleValue(_)
            | Value::BytesValue(_)
            | Value::StringValueStrindex(_),
        )
        | None => {}
    }
}

fn key_values(list: &KeyValueList, operators: Operators, report: &mut Report) {
    report.each("values", &list.values, |report, pair| {
        let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
        report.at("value", |report| any_value(value, operators, report));
    });
}
