//! How long a request may take. Istio turns Envoy's 15 seconds off where nothing is said.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRoute>
//! (`timeout`). The surprise: next to `max_stream_duration`, whatever is in it, Envoy ignores
//! `timeout`. So a route with a time of its own says only that: gRPC calls get it too, and their own
//! deadline, where it is shorter, is kept by the client. A route without one leaves gRPC its deadline.

use crate::wire;
use meltemi_api::duration::Duration;
use meltemi_proto::envoy::config::route::v3::{RouteAction, route_action::MaxStreamDuration};
use meltemi_proto::google::protobuf as wkt;

/// A duration that is not negative: Envoy refuses those.
pub(super) fn duration(value: Duration) -> wkt::Duration {
    wire::duration(value.max(Duration::ZERO))
}

/// A duration above zero; `None` for anything else.
pub(super) fn positive(value: Option<Duration>) -> Option<wkt::Duration> {
    value.filter(|v| *v > Duration::ZERO).map(wire::duration)
}

/// Sets the timeout of a route.
pub(super) fn apply(action: &mut RouteAction, timeout: Option<Duration>) {
    let timeout = positive(timeout);
    action.timeout = Some(timeout.unwrap_or_else(wire::zero));
    action.max_stream_duration = timeout.is_none().then(|| MaxStreamDuration {
        grpc_timeout_header_max: Some(wire::zero()),
        ..MaxStreamDuration::default()
    });
}
