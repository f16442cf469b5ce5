//! Tracing providers.

use crate::duration::Duration;
use crate::mesh_config::TraceContext;
use crate::message::{choice, message};
use std::collections::BTreeMap;

message! {
    /// Zipkin.
    pub struct ZipkinTracingProvider {
        /// The service, `[NAMESPACE/]HOST`. Required.
        pub service: String,
        /// Its port, 1 to 65535. Required.
        pub port: u32,
        /// The longest path put into a span, in characters.
        pub max_tag_length: Option<u32>,
        /// Whether trace ids have 64 bits instead of 128. Default false.
        #[serde(rename = "enable64bitTraceId")]
        pub enable_64bit_trace_id: Option<bool>,
        /// The path of the collector. Default `/api/v2/spans`.
        pub path: Option<String>,
        /// How long a report may take.
        pub timeout: Option<Duration>,
        /// Headers sent with reports.
        pub headers: Vec<HttpHeader>,
        /// The headers that carry the trace. Default `USE_B3`.
        pub trace_context_option: Option<TraceContextOption>,
    }
}

choice! {
    /// Headers that carry a Zipkin trace.
    pub enum TraceContextOption {
        /// B3 headers.
        UseB3,
        /// B3 headers, and W3C's besides.
        UseB3WithW3cPropagation,
    }
}

message! {
    /// Lightstep.
    pub struct LightstepTracingProvider {
        /// The service, `[NAMESPACE/]HOST`. Required.
        pub service: String,
        /// Its port, 1 to 65535. Required.
        pub port: u32,
        /// The access token.
        pub access_token: Option<String>,
        /// The longest path put into a span, in characters.
        pub max_tag_length: Option<u32>,
    }
}

message! {
    /// Datadog.
    pub struct DatadogTracingProvider {
        /// The service, `[NAMESPACE/]HOST`. Required.
        pub service: String,
        /// Its port, 1 to 65535. Required.
        pub port: u32,
        /// The longest path put into a span, in characters.
        pub max_tag_length: Option<u32>,
    }
}

message! {
    /// SkyWalking.
    pub struct SkyWalkingTracingProvider {
        /// The service, `[NAMESPACE/]HOST`. Required.
        pub service: String,
        /// Its port, 1 to 65535. Required.
        pub port: u32,
        /// The access token.
        pub access_token: Option<String>,
    }
}

message! {
    /// Stackdriver.
    pub struct StackdriverProvider {
        /// Deprecated: whether spans are printed too. Default false.
        pub debug: Option<bool>,
        /// Deprecated: attributes in a span. Default 200.
        pub max_number_of_attributes: Option<i64>,
        /// Deprecated: annotations in a span. Default 200.
        pub max_number_of_annotations: Option<i64>,
        /// Deprecated: message events in a span. Default 200.
        pub max_number_of_message_events: Option<i64>,
        /// The longest path put into a span, in characters.
        pub max_tag_length: Option<u32>,
        /// Logs.
        pub logging: Option<StackdriverLogging>,
    }
}

message! {
    /// Logs for Stackdriver.
    pub struct StackdriverLogging {
        /// Fields of a record, as expressions by name.
        pub labels: BTreeMap<String, String>,
    }
}

message! {
    /// OpenCensus.
    pub struct OpenCensusAgentTracingProvider {
        /// The service, `[NAMESPACE/]HOST`. Required.
        pub service: String,
        /// Its port, 1 to 65535. Required.
        pub port: u32,
        /// The headers that carry the trace. Default: W3C's.
        pub context: Vec<TraceContext>,
        /// The longest path put into a span, in characters.
        pub max_tag_length: Option<u32>,
    }
}

message! {
    /// OpenTelemetry. Spans go by gRPC unless `http` is set.
    pub struct OpenTelemetryTracingProvider {
        /// The service, `[NAMESPACE/]HOST`. Required.
        pub service: String,
        /// Its port, 1 to 65535. Required.
        pub port: u32,
        /// The longest path put into a span, in characters.
        pub max_tag_length: Option<u32>,
        /// Sends spans by HTTP.
        pub http: Option<HttpService>,
        /// How spans are sent by gRPC. Excludes `http`.
        pub grpc: Option<GrpcService>,
        /// Where resource attributes come from.
        pub resource_detectors: Option<ResourceDetectors>,
        /// Lets Dynatrace choose what is traced.
        pub dynatrace_sampler: Option<DynatraceSampler>,
    }
}

message! {
    /// Reports by HTTP.
    pub struct HttpService {
        /// The path. Required.
        pub path: Option<String>,
        /// How long a report may take. Default 3s.
        pub timeout: Option<Duration>,
        /// Headers sent with reports.
        pub headers: Vec<HttpHeader>,
    }
}

message! {
    /// Reports by gRPC.
    pub struct GrpcService {
        /// How long a report may take. Default: no limit.
        pub timeout: Option<Duration>,
        /// Metadata sent with reports.
        pub initial_metadata: Vec<HttpHeader>,
    }
}

message! {
    /// A header. One of `value` and `envName` is set.
    pub struct HttpHeader {
        /// Its name. Required.
        pub name: String,
        /// Its value.
        pub value: Option<String>,
        /// The proxy's environment variable that holds the value.
        pub env_name: Option<String>,
    }
}

message! {
    /// Where resource attributes come from.
    pub struct ResourceDetectors {
        /// The environment variable `OTEL_RESOURCE_ATTRIBUTES`.
        pub environment: Option<EmptyDetector>,
        /// Dynatrace's enrichment files.
        pub dynatrace: Option<EmptyDetector>,
    }
}

message! {
    /// A detector. Nothing to set.
    pub struct EmptyDetector {}
}

message! {
    /// Lets Dynatrace choose what is traced.
    pub struct DynatraceSampler {
        /// The Dynatrace tenant. Required.
        pub tenant: Option<String>,
        /// The Dynatrace cluster's number. Required.
        pub cluster_id: Option<i64>,
        /// Traces a minute while Dynatrace says nothing. Default 1000.
        pub root_spans_per_minute: Option<u32>,
        /// Where Dynatrace is asked. Default: the provider's service.
        pub http_service: Option<DynatraceSamplerHttp>,
    }
}

message! {
    /// Where Dynatrace is asked.
    pub struct DynatraceSamplerHttp {
        /// The service, `[NAMESPACE/]HOST`. Required.
        pub service: String,
        /// Its port, 1 to 65535. Required.
        pub port: u32,
        /// How it is asked. Required.
        pub http: Option<DynatraceHttpService>,
    }
}

message! {
    /// How Dynatrace is asked.
    pub struct DynatraceHttpService {
        /// The path. Required.
        pub path: Option<String>,
        /// How long an answer may take. Default 3s.
        pub timeout: Option<Duration>,
        /// Headers to send, the token among them.
        pub headers: Vec<HttpHeader>,
    }
}
