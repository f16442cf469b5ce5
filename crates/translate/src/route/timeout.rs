//! How long a request may take. Istio turns Envoy's 15 seconds off where nothing is said.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRoute>
//! (`timeout`). gRPC's own deadline is limited to the same time.

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

/// Sets both timeouts of a route.
pub(super) fn apply(action: &mut RouteAction, timeout: Option<Duration>) {
    let timeout = timeout.map_or_else(wire::zero, duration);
    action.timeout = Some(timeout);
    action.max_stream_duration = Some(MaxStreamDuration {
        grpc_timeout_header_max: Some(timeout),
        ..MaxStreamDuration::default()
    });
}
