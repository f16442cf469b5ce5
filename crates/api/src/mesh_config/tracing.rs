//! Tracing as proxies are started with. The Telemetry kind and extension providers replace it.

use crate::message::{choice, message};
use crate::networking::destination_rule::ClientTlsSettings;
use crate::percent::Decimal;
use std::collections::BTreeMap;

message! {
    /// Where spans go, how many there are and what is in them. At most one tracer is set.
    pub struct Tracing {
        /// Sends spans to Zipkin.
        pub zipkin: Option<ZipkinTracing>,
        /// Deprecated: sends spans to Lightstep.
        pub lightstep: Option<LightstepTracing>,
        /// Sends spans to Datadog.
        pub datadog: Option<DatadogTracing>,
        /// Sends spans to Stackdriver.
        pub stackdriver: Option<StackdriverTracing>,
        /// Deprecated: sends spans to an OpenCensus agent.
        pub open_census_agent: Option<OpenCensusTracing>,
        /// Further tags of every span, by name.
        pub custom_tags: BTreeMap<String, CustomTag>,
        /// The longest path put into a span, in characters. Default 256.
        pub max_path_tag_length: Option<u32>,
        /// The share of requests traced, in percent. Default 1.
        pub sampling: Option<Decimal>,
        /// TLS towards the tracer.
        pub tls_settings: Option<ClientTlsSettings>,
        /// Whether spans carry the tags that describe the mesh. Default true.
        pub enable_istio_tags: Option<bool>,
    }
}

message! {
    /// Zipkin.
    pub struct ZipkinTracing {
        /// Its address, `HOST:PORT`.
        pub address: Option<String>,
    }
}

message! {
    /// Lightstep.
    pub struct LightstepTracing {
        /// The address of the satellites, `HOST:PORT`.
        pub address: Option<String>,
        /// The access token.
        pub access_token: Option<String>,
    }
}

message! {
    /// Datadog.
    pub struct DatadogTracing {
        /// The agent's address, `HOST:PORT`.
        pub address: Option<String>,
    }
}

message! {
    /// Stackdriver.
    pub struct StackdriverTracing {
        /// Whether spans are printed too. Default false.
        pub debug: Option<bool>,
        /// Attributes in a span. Default 200.
        pub max_number_of_attributes: Option<i64>,
        /// Annotations in a span. Default 200.
        pub max_number_of_annotations: Option<i64>,
        /// Message events in a span. Default 200.
        pub max_number_of_message_events: Option<i64>,
    }
}

message! {
    /// An OpenCensus agent.
    pub struct OpenCensusTracing {
        /// Its gRPC address.
        pub address: Option<String>,
        /// The headers that carry the trace. Default: W3C's.
        pub context: Vec<TraceContext>,
    }
}

choice! {
    /// Headers that carry a trace.
    pub enum TraceContext {
        /// Nothing is said.
        Unspecified,
        /// `traceparent`.
        W3cTraceContext,
        /// `grpc-trace-bin`.
        GrpcBin,
        /// `x-cloud-trace-context`.
        CloudTraceContext,
        /// `x-b3-traceid` and its kin.
        B3,
    }
}

message! {
    /// Where the value of a tag comes from. One field is set.
    pub struct CustomTag {
        /// A fixed value.
        pub literal: Option<CustomTagLiteral>,
        /// An environment variable of the proxy.
        pub environment: Option<CustomTagEnvironment>,
        /// A header of the request.
        pub header: Option<CustomTagHeader>,
        /// A format of Envoy's access logs.
        pub formatter: Option<CustomTagFormatter>,
    }
}

message! {
    /// A fixed value.
    pub struct CustomTagLiteral {
        /// The value.
        pub value: Option<String>,
    }
}

message! {
    /// An environment variable.
    pub struct CustomTagEnvironment {
        /// Its name.
        pub name: Option<String>,
        /// The value when it is not set. Default: no tag.
        pub default_value: Option<String>,
    }
}

message! {
    /// A header.
    pub struct CustomTagHeader {
        /// Its name.
        pub name: Option<String>,
        /// The value when it is not there. Default: no tag.
        pub default_value: Option<String>,
    }
}

message! {
    /// A format string.
    pub struct CustomTagFormatter {
        /// The format, for example `%REQ(:path)%`.
        pub value: Option<String>,
    }
}
