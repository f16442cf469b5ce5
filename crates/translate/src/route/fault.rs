//! Injected faults: delays and aborts, switched on for single routes.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPFaultInjection>.

use super::{percent, timeout};
use meltemi_api::networking::virtual_service::{Abort, Delay, HttpFaultInjection};
use meltemi_api::percent::Percent;
use meltemi_proto::any;
use meltemi_proto::envoy::extensions::filters::common::fault::v3::{
    FaultDelay, fault_delay::FaultDelaySecifier,
};
use meltemi_proto::envoy::extensions::filters::http::fault::v3::{
    FaultAbort, HttpFault, fault_abort::ErrorType,
};
use meltemi_proto::google::protobuf::Any;

/// The name of the filter.
const FILTER: &str = "envoy.filters.http.fault";

/// gRPC's status names, by number.
const GRPC: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The route's part of the fault filter; `None` when nothing is to be injected.
pub(super) fn per_route(fault: &HttpFaultInjection) -> Option<(String, Any)> {
    let HttpFaultInjection { delay, abort } = fault;
    let delay = delay.as_ref().and_then(delayed);
    let abort = abort.as_ref().and_then(aborted);
    (delay.is_some() || abort.is_some()).then(|| {
        let fault = HttpFault {
            delay,
            abort,
            ..HttpFault::default()
        };
        (FILTER.to_owned(), any::pack(&fault))
    })
}

fn share(percentage: Option<Percent>) -> u32 {
    percentage.map_or(percent::ALL, Percent::parts_per_million)
}

fn delayed(delay: &Delay) -> Option<FaultDelay> {
    let Delay {
        percent: whole,
        fixed_delay,
        exponential_delay: _, // without effect, as the API says
        percentage,
    } = delay;
    let share = match (percentage, whole) {
        (None, Some(whole)) => percent::hundredths(u32::try_from(*whole).unwrap_or(0)),
        (Some(_), _) | (None, None) => percent::millionths(share(*percentage)),
    };
    Some(FaultDelay {
        percentage: Some(share),
        fault_delay_secifier: Some(FaultDelaySecifier::FixedDelay(timeout::positive(
            *fixed_delay,
        )?)),
    })
}

fn aborted(abort: &Abort) -> Option<FaultAbort> {
    let Abort {
        http_status,
        grpc_status,
        http2_error: _, // without effect, as the API says
        percentage,
    } = abort;
    let http = http_status.and_then(|status| u32::try_from(status).ok());
    let http = http.filter(|status| (200..600).contains(status));
    let grpc = grpc_status.as_deref().and_then(grpc_code);
    Some(FaultAbort {
        percentage: Some(percent::millionths(share(*percentage))),
        error_type: Some(match (grpc, http) {
            (Some(code), _) => ErrorType::GrpcStatus(code),
            (None, status) => ErrorType::HttpStatus(status?),
        }),
        ..FaultAbort::default()
    })
}

/// The number of a gRPC status by name (or number).
fn grpc_code(name: &str) -> Option<u32> {
    let by_name = GRPC
        .iter()
        .position(|known| name.eq_ignore_ascii_case(known));
    let number = by_name.or_else(|| name.parse().ok().filter(|n| *n < GRPC.len()))?;
    u32::try_from(number).ok()
}
