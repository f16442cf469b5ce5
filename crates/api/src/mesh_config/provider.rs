//! Extension providers: external services for authorization, tracing, metrics and logs.

mod authz;
mod log;
mod trace;

pub use authz::{
    EnvoyExternalAuthorizationGrpcProvider, EnvoyExternalAuthorizationHttpProvider,
    EnvoyExternalAuthorizationRequestBody,
};
pub use log::{
    EnvoyFileAccessLogProvider, EnvoyHttpGrpcV3LogProvider, EnvoyOpenTelemetryLogProvider,
    EnvoyTcpGrpcV3LogProvider, LogFormat,
};
pub use trace::{
    DatadogTracingProvider, DynatraceHttpService, DynatraceSampler, DynatraceSamplerHttp,
    EmptyDetector, GrpcService, HttpHeader, HttpService, LightstepTracingProvider,
    OpenCensusAgentTracingProvider, OpenTelemetryTracingProvider, ResourceDetectors,
    SkyWalkingTracingProvider, StackdriverLogging, StackdriverProvider, TraceContextOption,
    ZipkinTracingProvider,
};

use crate::message::message;

message! {
    /// An external service, by name. One of the other fields is set.
    pub struct ExtensionProvider {
        /// The name that policies refer to. Required, unique.
        pub name: String,
        /// An authorizer that speaks HTTP.
        pub envoy_ext_authz_http: Option<EnvoyExternalAuthorizationHttpProvider>,
        /// An authorizer that speaks gRPC.
        pub envoy_ext_authz_grpc: Option<EnvoyExternalAuthorizationGrpcProvider>,
        /// A tracer: Zipkin.
        pub zipkin: Option<ZipkinTracingProvider>,
        /// Deprecated: a tracer: Lightstep.
        pub lightstep: Option<LightstepTracingProvider>,
        /// A tracer: Datadog.
        pub datadog: Option<DatadogTracingProvider>,
        /// Tracing, metrics and logs: Stackdriver.
        pub stackdriver: Option<StackdriverProvider>,
        /// Deprecated: a tracer: OpenCensus.
        pub opencensus: Option<OpenCensusAgentTracingProvider>,
        /// A tracer: SkyWalking.
        pub skywalking: Option<SkyWalkingTracingProvider>,
        /// A tracer: OpenTelemetry.
        pub opentelemetry: Option<OpenTelemetryTracingProvider>,
        /// Metrics: Prometheus.
        pub prometheus: Option<PrometheusMetricsProvider>,
        /// Access logs: a file.
        pub envoy_file_access_log: Option<EnvoyFileAccessLogProvider>,
        /// Access logs of HTTP: Envoy's log service.
        pub envoy_http_als: Option<EnvoyHttpGrpcV3LogProvider>,
        /// Access logs of TCP: Envoy's log service.
        pub envoy_tcp_als: Option<EnvoyTcpGrpcV3LogProvider>,
        /// Access logs: OpenTelemetry.
        pub envoy_otel_als: Option<EnvoyOpenTelemetryLogProvider>,
        /// Secrets: a discovery service.
        pub sds: Option<SdsProvider>,
    }
}

message! {
    /// Metrics for Prometheus. Nothing to set.
    pub struct PrometheusMetricsProvider {}
}

message! {
    /// A secret discovery service.
    pub struct SdsProvider {
        /// The service, `[NAMESPACE/]HOST`. Required.
        pub service: Option<String>,
        /// Its port. Required.
        pub port: Option<u32>,
        /// The name of the secret.
        pub name: Option<String>,
    }
}
