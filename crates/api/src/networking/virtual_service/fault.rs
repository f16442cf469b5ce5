//! Injected faults: delays and aborts.

use crate::duration::Duration;
use crate::message::message;
use crate::percent::Percent;

message! {
    /// Faults injected into requests by the client's proxy.
    pub struct HttpFaultInjection {
        /// Requests that wait before they are forwarded.
        pub delay: Option<Delay>,
        /// Requests that are answered with an error instead of being forwarded.
        pub abort: Option<Abort>,
    }
}

message! {
    /// Delays a share of the requests. Without a percentage, all of them.
    pub struct Delay {
        /// Deprecated: the share in whole percent, 0 to 100. Use `percentage`.
        pub percent: Option<i64>,
        /// How long requests wait; at least 1ms.
        pub fixed_delay: Option<Duration>,
        /// Reserved by Istio, without effect.
        pub exponential_delay: Option<Duration>,
        /// The share of requests. Default: all of them.
        pub percentage: Option<Percent>,
    }
}

message! {
    /// Aborts a share of the requests. One of the codes must be set.
    pub struct Abort {
        /// The HTTP status to answer with, 200 to 599.
        pub http_status: Option<i64>,
        /// The gRPC status to answer with, by name, for example `UNAVAILABLE`.
        pub grpc_status: Option<String>,
        /// Reserved by Istio, refused.
        pub http2_error: Option<String>,
        /// The share of requests. Default: all of them.
        pub percentage: Option<Percent>,
    }
}
