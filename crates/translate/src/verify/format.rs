//! Which format strings there are, walked: log lines, bodies, records of OpenTelemetry.

use super::report::Report;
use crate::format::{Operators, problem};
use meltemi_proto::envoy::config::core::v3::SubstitutionFormatString;
use meltemi_proto::envoy::config::core::v3::data_source::Specifier;
use meltemi_proto::envoy::config::core::v3::substitution_format_string::Format;
use meltemi_proto::envoy::extensions::access_loggers::open_telemetry::v3::OpenTelemetryAccessLogConfig;
use meltemi_proto::google::protobuf::{Struct, value::Kind};
use meltemi_proto::opentelemetry::proto::common::v1::{KeyValueList, any_value};

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
