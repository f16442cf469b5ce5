//! VirtualService.

use super::shared::DURATION;
use crate::constraint::{Row, Says::*};

pub(super) const RULES: &[Row] = &[
    ("StringMatch", AtMostOne(&["exact", "prefix", "regex"])),
    ("CorsPolicy.allowCredentials", Nullable),
    ("CorsPolicy.maxAge", DURATION),
    ("HttpDirectResponse", Required(&["status"])),
    ("HttpBody", AtMostOne(&["string", "bytes"])),
    ("HttpBody.bytes", Format("byte")),
    (
        "Abort",
        AtMostOne(&["httpStatus", "grpcStatus", "http2Error"]),
    ),
    ("Delay", AtMostOne(&["fixedDelay", "exponentialDelay"])),
    ("Delay.fixedDelay", DURATION),
    ("Delay.exponentialDelay", DURATION),
    ("Abort.httpStatus", Format("int32")),
    ("Delay.percent", Format("int32")),
    ("HttpRetry.attempts", Format("int32")),
    ("HttpRouteDestination.weight", Format("int32")),
    ("RouteDestination.weight", Format("int32")),
    ("Destination", Required(&["host"])),
    ("HttpMirrorPolicy", Required(&["destination"])),
    ("HttpRouteDestination", Required(&["destination"])),
    ("RouteDestination", Required(&["destination"])),
    ("HttpRoute", Alias("mirrorPercent", "mirror_percent")),
    ("HttpRoute.mirrorPercent", Nullable),
    ("HttpRoute.timeout", DURATION),
    ("HttpRedirect", AtMostOne(&["port", "derivePort"])),
    ("HttpRetry.backoff", DURATION),
    ("HttpRetry.perTryTimeout", DURATION),
    ("HttpRetry.retryIgnorePreviousHosts", Nullable),
    ("HttpRetry.retryRemoteLocalities", Nullable),
    ("TlsRoute", Required(&["match"])),
    ("TlsMatchAttributes", Required(&["sniHosts"])),
];
