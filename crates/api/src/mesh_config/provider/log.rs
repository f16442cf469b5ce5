//! Access log providers.

use crate::message::message;
use std::collections::BTreeMap;

message! {
    /// Access logs in a file.
    pub struct EnvoyFileAccessLogProvider {
        /// The file. Default `/dev/stdout`.
        pub path: Option<String>,
        /// The format. Default: Istio's text.
        pub log_format: Option<LogFormat>,
        /// Whether fields without a value are left out. Default false.
        pub omit_empty_values: Option<bool>,
    }
}

message! {
    /// A format, with Envoy's command operators such as `%RESPONSE_CODE%`.
    pub struct LogFormat {
        /// A line of text, or the body of a record.
        pub text: Option<String>,
        /// A JSON object, or the attributes of a record.
        pub labels: Option<BTreeMap<String, serde_json::Value>>,
    }
}

message! {
    /// Access logs of HTTP for Envoy's log service.
    pub struct EnvoyHttpGrpcV3LogProvider {
        /// The service, `[NAMESPACE/]HOST`. Required.
        pub service: String,
        /// Its port, 1 to 65535. Required.
        pub port: u32,
        /// The log's name. Default `http_envoy_accesslog`.
        pub log_name: Option<String>,
        /// Filter state objects to log.
        pub filter_state_objects_to_log: Vec<String>,
        /// Request headers to log.
        pub additional_request_headers_to_log: Vec<String>,
        /// Response headers to log.
        pub additional_response_headers_to_log: Vec<String>,
        /// Response trailers to log.
        pub additional_response_trailers_to_log: Vec<String>,
    }
}

message! {
    /// Access logs of TCP for Envoy's log service.
    pub struct EnvoyTcpGrpcV3LogProvider {
        /// The service, `[NAMESPACE/]HOST`. Required.
        pub service: String,
        /// Its port, 1 to 65535. Required.
        pub port: u32,
        /// The log's name. Default `tcp_envoy_accesslog`.
        pub log_name: Option<String>,
        /// Filter state objects to log.
        pub filter_state_objects_to_log: Vec<String>,
    }
}

message! {
    /// Access logs for an OpenTelemetry collector.
    pub struct EnvoyOpenTelemetryLogProvider {
        /// The service, `[NAMESPACE/]HOST`. Required.
        pub service: String,
        /// Its port, 1 to 65535. Required.
        pub port: u32,
        /// The log's name. Default `otel_envoy_accesslog`.
        pub log_name: Option<String>,
        /// The format. Default: Istio's text as body.
        pub log_format: Option<LogFormat>,
    }
}
