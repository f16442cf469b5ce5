//! Access logs: to a file, in Istio's format or the user's.
//!
//! Follows <https://istio.io/latest/docs/tasks/observability/logs/access-log/>. The surprise: the
//! listener's own log is for connections that no filter chain took (`NR`) only.

use crate::format::literal;
use meltemi_api::mesh_config::{AccessLogEncoding, MeshConfig};
use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::accesslog::v3 as envoy;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::extensions::access_loggers::file::v3 as file;
use meltemi_proto::google::protobuf as wkt;
use serde_json::Value;

/// Istio's line of text.
const TEXT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% ",
    "%CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" ",
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% ",
    "\"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" ",
    "\"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% ",
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ",
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n",
);

/// Istio's JSON object.
const JSON: &[(&str, &str)] = &[
    ("authority", "%REQ(:AUTHORITY)%"),
    ("bytes_received", "%BYTES_RECEIVED%"),
    ("bytes_sent", "%BYTES_SENT%"),
    (
        "connection_termination_details",
        "%CONNECTION_TERMINATION_DETAILS%",
    ),
    ("downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"),
    ("downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"),
    ("duration", "%DURATION%"),
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("request_id", "%REQ(X-REQUEST-ID)%"),
    ("requested_server_name", "%REQUESTED_SERVER_NAME%"),
    ("response_code", "%RESPONSE_CODE%"),
    ("response_code_details", "%RESPONSE_CODE_DETAILS%"),
    ("response_flags", "%RESPONSE_FLAGS%"),
    ("route_name", "%ROUTE_NAME%"),
    ("start_time", "%START_TIME%"),
    ("upstream_cluster", "%UPSTREAM_CLUSTER_RAW%"),
    ("upstream_host", "%UPSTREAM_HOST%"),
    ("upstream_local_address", "%UPSTREAM_LOCAL_ADDRESS%"),
    (
        "upstream_service_time",
        "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    ),
    (
        "upstream_transport_failure_reason",
        "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    ),
    ("user_agent", "%REQ(USER-AGENT)%"),
    ("x_forwarded_for", "%REQ(X-FORWARDED-FOR)%"),
];

/// The logs of requests and TCP connections.
pub(crate) fn requests(mesh: &MeshConfig) -> Vec<envoy::AccessLog> {
    let path = mesh.access_log_path();
    path.map(|path| to_file(mesh, path)).into_iter().collect()
}

/// The log of connections that no filter chain took.
pub(crate) fn refused(mesh: &MeshConfig) -> Vec<envoy::AccessLog> {
    use envoy::access_log_filter::FilterSpecifier;
    if mesh.disable_envoy_listener_log == Some(true) {
        return Vec::new();
    }
    let flags = envoy::ResponseFlagFilter {
        flags: vec!["NR".into()],
    };
    let mut logs = requests(mesh);
    for log in &mut logs {
        log.filter = Some(envoy::AccessLogFilter {
            filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(flags.clone())),
        });
    }
    logs
}

fn to_file(mesh: &MeshConfig, path: &str) -> envoy::AccessLog {
    let log = file::FileAccessLog {
        path: path.into(),
        access_log_format: Some(file::file_access_log::AccessLogFormat::LogFormat(
            core::SubstitutionFormatString {
                format: Some(format(mesh)),
                ..core::SubstitutionFormatString::default()
            },
        )),
    };
    envoy::AccessLog {
        name: "envoy.access_loggers.file".into(),
        filter: None,
        config_type: Some(envoy::access_log::ConfigType::TypedConfig(pack(&log))),
    }
}

/// The user's format, unless it is none. What Envoy would not understand in it is printed as it
/// stands, since Envoy would refuse every listener.
fn format(mesh: &MeshConfig) -> core::substitution_format_string::Format {
    use core::substitution_format_string::Format;
    let custom = mesh.access_log_format.as_deref().filter(|f| !f.is_empty());
    match mesh.access_log_encoding.unwrap_or_default() {
        AccessLogEncoding::Text => {
            let mut text = literal(custom.unwrap_or(TEXT));
            if !text.ends_with('\n') {
                text.push('\n');
            }
            Format::TextFormatSource(core::DataSource {
                specifier: Some(core::data_source::Specifier::InlineString(text)),
                ..core::DataSource::default()
            })
        }
        AccessLogEncoding::Json => {
            let fields = custom.and_then(|f| serde_json::from_str::<Value>(f).ok());
            let fields = match fields {
                Some(Value::Object(fields)) => fields
                    .iter()
                    .map(|(key, value)| (key.clone(), json(value)))
                    .collect(),
                _ => JSON.iter().copied().collect(),
            };
            Format::JsonFormat(fields)
        }
    }
}

/// The same value as a message.
fn json(value: &Value) -> wkt::Value {
    let kind = match value {
        Value::Null => wkt::value::Kind::NullValue(0),
        Value::Bool(value) => wkt::value::Kind::BoolValue(*value),
        Value::Number(value) => wkt::value::Kind::NumberValue(value.as_f64().unwrap_or_default()),
        Value::String(value) => wkt::value::Kind::StringValue(literal(value)),
        Value::Array(values) => wkt::value::Kind::ListValue(wkt::ListValue {
            values: values.iter().map(json).collect(),
        }),
        Value::Object(fields) => wkt::value::Kind::StructValue(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), json(value)))
                .collect(),
        ),
    };
    wkt::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::core::substitution_format_string::Format;
    use super::*;

    #[test]
    fn logs_are_off_until_a_file_is_named() {
        assert!(requests(&MeshConfig::defaults()).is_empty());
        let mesh = MeshConfig {
            access_log_file: Some("/dev/stdout".into()),
            ..MeshConfig::defaults()
        };
        assert_eq!(requests(&mesh).len(), 1);
        assert!(refused(&mesh).iter().all(|log| log.filter.is_some()));
        let quiet = MeshConfig {
            disable_envoy_listener_log: Some(true),
            ..mesh
        };
        assert!(refused(&quiet).is_empty());
    }

    #[test]
    fn a_custom_format_gets_its_newline_and_broken_json_falls_back() {
        let mut mesh = MeshConfig {
            access_log_format: Some("%PROTOCOL%".into()),
            ..MeshConfig::defaults()
        };
        let Format::TextFormatSource(source) = format(&mesh) else {
            panic!("text")
        };
        let text = core::data_source::Specifier::InlineString("%PROTOCOL%\n".into());
        assert_eq!(source.specifier, Some(text));
        mesh.access_log_encoding = Some(AccessLogEncoding::Json);
        assert_eq!(literal(TEXT), TEXT);
        assert!(JSON.iter().all(|(_, format)| literal(format) == *format));
        let Format::JsonFormat(fields) = format(&mesh) else {
            panic!("json")
        };
        assert_eq!(fields.fields.len(), JSON.len());
        mesh.access_log_format = Some(r#"{"p": "%PROTOCOL%"}"#.into());
        let Format::JsonFormat(fields) = format(&mesh) else {
            panic!("json")
        };
        assert_eq!(fields.fields.keys().collect::<Vec<_>>(), ["p"]);
    }
}
