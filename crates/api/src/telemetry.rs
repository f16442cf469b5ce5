//! Telemetry: tracing, metrics and access logs of workloads.
//!
//! Follows <https://istio.io/latest/docs/reference/config/telemetry/>. The providers named are
//! those of mesh config.

mod check;

use crate::duration::Duration;
use crate::message::{choice, message};
use crate::percent::Decimal;
use crate::selector::{PolicyTargetReference, WorkloadSelector};
use std::collections::BTreeMap;

message! {
    /// What workloads report about their traffic.
    pub struct Telemetry {
        /// The workloads meant. Default: the namespace, or the mesh in the root namespace.
        pub selector: Option<WorkloadSelector>,
        /// Deprecated: the target. Use `targetRefs`.
        pub target_ref: Option<PolicyTargetReference>,
        /// The Gateways or Services that this is attached to. Excludes `selector`.
        pub target_refs: Vec<PolicyTargetReference>,
        /// How traffic is traced; the first entry counts.
        pub tracing: Vec<Tracing>,
        /// Which metrics are reported.
        pub metrics: Vec<Metrics>,
        /// What is written to access logs.
        pub access_logging: Vec<AccessLogging>,
    }
}

message! {
    /// Which traffic is traced, and where the spans go.
    pub struct Tracing {
        /// The traffic meant. Default: all.
        pub r#match: Option<TracingSelector>,
        /// Where spans go; one at most. Default: as inherited.
        pub providers: Vec<ProviderRef>,
        /// The share of requests that is traced when nobody has decided yet, 0 to 100.
        pub random_sampling_percentage: Option<Decimal>,
        /// Whether no spans are reported. Default false.
        pub disable_span_reporting: Option<bool>,
        /// Whether trace headers are left as they are. Default false.
        pub disable_context_propagation: Option<bool>,
        /// Tags to add to spans, by name.
        pub custom_tags: BTreeMap<String, CustomTag>,
        /// Whether the request id decides about sampling. Default true.
        pub use_request_id_for_trace_sampling: Option<bool>,
        /// Whether Istio's own tags are added. Default true.
        pub enable_istio_tags: Option<bool>,
    }
}

message! {
    /// Traffic that is traced.
    pub struct TracingSelector {
        /// The side of the workload.
        pub mode: Option<WorkloadMode>,
    }
}

choice! {
    /// The side of a workload in its traffic.
    pub enum WorkloadMode {
        /// Both.
        ClientAndServer,
        /// Traffic that it sends; all traffic of a gateway.
        Client,
        /// Traffic that it receives.
        Server,
    }
}

message! {
    /// A provider of mesh config, by name.
    pub struct ProviderRef {
        /// The provider's name. Required.
        pub name: String,
    }
}

message! {
    /// A tag. At most one field is set.
    pub struct CustomTag {
        /// A fixed value.
        pub literal: Option<LiteralTag>,
        /// The value of an environment variable of the proxy.
        pub environment: Option<EnvironmentTag>,
        /// The value of a request header.
        pub header: Option<HeaderTag>,
        /// A value in the proxy's format language.
        pub formatter: Option<FormatterTag>,
    }
}

message! {
    /// A fixed value.
    pub struct LiteralTag {
        /// The value. Required.
        pub value: String,
    }
}

message! {
    /// The value of an environment variable.
    pub struct EnvironmentTag {
        /// The variable. Required.
        pub name: String,
        /// The value when it is not set. Default: no tag.
        pub default_value: Option<String>,
    }
}

message! {
    /// The value of a request header.
    pub struct HeaderTag {
        /// The header. Required.
        pub name: String,
        /// The value when the header is missing. Default: no tag.
        pub default_value: Option<String>,
    }
}

message! {
    /// A value in the proxy's format language.
    pub struct FormatterTag {
        /// The text, with operators such as `%REQ(x-user)%`. Required.
        pub value: String,
    }
}

message! {
    /// Where metrics go, and what is different in them.
    pub struct Metrics {
        /// Where metrics go. Default: as inherited.
        pub providers: Vec<ProviderRef>,
        /// Changes to single metrics, applied in order.
        pub overrides: Vec<MetricsOverrides>,
        /// How often metrics are reported, at least 1ms. Default: as the provider does.
        pub reporting_interval: Option<Duration>,
    }
}

message! {
    /// Changes to metrics.
    pub struct MetricsOverrides {
        /// The metrics meant. Default: all.
        pub r#match: Option<MetricSelector>,
        /// Whether they are not reported. Default false.
        pub disabled: Option<bool>,
        /// Changes to their tags, by name.
        pub tag_overrides: BTreeMap<String, TagOverride>,
    }
}

message! {
    /// Metrics, by name and side. At most one of `metric` and `customMetric` is set.
    pub struct MetricSelector {
        /// One of Istio's metrics.
        pub metric: Option<IstioMetric>,
        /// A metric of somebody else's.
        pub custom_metric: Option<String>,
        /// The side of the workload.
        pub mode: Option<WorkloadMode>,
    }
}

choice! {
    /// Istio's metrics.
    pub enum IstioMetric {
        /// All of them.
        AllMetrics,
        /// Requests.
        RequestCount,
        /// How long requests take.
        RequestDuration,
        /// The size of requests.
        RequestSize,
        /// The size of responses.
        ResponseSize,
        /// TCP connections opened.
        TcpOpenedConnections,
        /// TCP connections closed.
        TcpClosedConnections,
        /// Bytes sent over TCP.
        TcpSentBytes,
        /// Bytes received over TCP.
        TcpReceivedBytes,
        /// gRPC messages of requests.
        GrpcRequestMessages,
        /// gRPC messages of responses.
        GrpcResponseMessages,
    }
}

message! {
    /// A change to a tag of a metric.
    pub struct TagOverride {
        /// What is done. Default `UPSERT`.
        pub operation: Option<TagOperation>,
        /// The value, a CEL expression; for `UPSERT`.
        pub value: Option<String>,
    }
}

choice! {
    /// What is done to a tag.
    pub enum TagOperation {
        /// It is set, added when it is not there.
        Upsert,
        /// It is taken away.
        Remove,
    }
}

message! {
    /// Which traffic is logged, and where to.
    pub struct AccessLogging {
        /// The traffic meant. Default: all.
        pub r#match: Option<LogSelector>,
        /// Where logs go. Default: as inherited.
        pub providers: Vec<ProviderRef>,
        /// Whether nothing is logged. Default false.
        pub disabled: Option<bool>,
        /// What is logged. Default: everything.
        pub filter: Option<LogFilter>,
    }
}

message! {
    /// Traffic that is logged.
    pub struct LogSelector {
        /// The side of the workload.
        pub mode: Option<WorkloadMode>,
    }
}

message! {
    /// What is logged.
    pub struct LogFilter {
        /// A CEL expression over the attributes of a request that must be true.
        pub expression: Option<String>,
    }
}
