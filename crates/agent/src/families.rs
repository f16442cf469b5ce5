//! The metrics of identity, of the conversation with the control plane and of DNS (platform.md 3.10,
//! 3.11, 3.14), with Istio's names.

use meltemi_runtime::metrics::{Family, Shape};

/// Streams to the control plane that could not be opened.
pub(crate) const FAILURES: &str = "istio_agent_istiod_connection_failures";
/// Streams to the control plane that ended.
pub(crate) const TERMINATIONS: &str = "istio_agent_istiod_connection_terminations";
/// Streams of Envoy that ended.
pub(crate) const ENVOY_ENDS: &str = "istio_agent_envoy_connection_terminations";
/// Requests of Envoy.
pub(crate) const REQUESTS: &str = "istio_agent_xds_proxy_requests";
/// Responses of the control plane.
pub(crate) const RESPONSES: &str = "istio_agent_xds_proxy_responses";
/// Signing requests.
pub(crate) const ASKED: &str = "istio_agent_num_outgoing_requests";
/// Signing requests that failed.
pub(crate) const REFUSED: &str = "istio_agent_num_failed_outgoing_requests";
/// Seconds until the certificate ends.
pub(crate) const ENDS: &str = "istio_agent_cert_expiry_seconds";
/// DNS questions.
pub(crate) const DNS_REQUESTS: &str = "istio_agent_dns_requests_total";
/// DNS questions that were forwarded.
pub(crate) const DNS_FORWARDED: &str = "istio_agent_dns_upstream_requests_total";
/// DNS questions that were forwarded and got no answer.
pub(crate) const DNS_FAILED: &str = "istio_agent_dns_upstream_failures_total";
/// How long forwarded DNS questions took.
pub(crate) const DNS_TOOK: &str = "istio_agent_dns_upstream_request_duration_seconds";

/// What the program must announce to the recorder.
pub const FAMILIES: [Family; 12] = [
    counter(
        FAILURES,
        "Streams to the control plane that could not be opened.",
    ),
    counter(TERMINATIONS, "Streams to the control plane that ended."),
    counter(ENVOY_ENDS, "Streams of Envoy that ended."),
    counter(REQUESTS, "Requests of Envoy."),
    counter(RESPONSES, "Responses of the control plane."),
    counter(ASKED, "Signing requests."),
    counter(REFUSED, "Signing requests that failed."),
    Family {
        name: ENDS,
        help: "Seconds until the certificate ends; below zero when it has.",
        shape: Shape::Gauge,
    },
    counter(DNS_REQUESTS, "DNS questions."),
    counter(DNS_FORWARDED, "DNS questions that were forwarded."),
    counter(
        DNS_FAILED,
        "DNS questions that were forwarded and got no answer.",
    ),
    Family {
        name: DNS_TOOK,
        help: "How long DNS questions took that were forwarded, in seconds.",
        shape: Shape::Histogram(&[0.001, 0.005, 0.01, 0.1, 1.0, 5.0]),
    },
];

const fn counter(name: &'static str, help: &'static str) -> Family {
    let shape = Shape::Counter;
    Family { name, help, shape }
}
