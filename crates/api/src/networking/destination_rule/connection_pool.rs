//! Limits on connections and requests towards a host.

use crate::duration::Duration;
use crate::message::{choice, message};

message! {
    /// Limits on connections and requests.
    pub struct ConnectionPoolSettings {
        /// For every protocol.
        pub tcp: Option<TcpSettings>,
        /// For HTTP.
        pub http: Option<HttpSettings>,
    }
}

message! {
    /// Limits on TCP connections.
    pub struct TcpSettings {
        /// Connections at once. Default 2^32-1.
        pub max_connections: Option<i64>,
        /// How long connecting may take; at least 1ms. Default: mesh config's, 10s.
        pub connect_timeout: Option<Duration>,
        /// Keep-alive probes on idle connections. Default: mesh config's.
        pub tcp_keepalive: Option<TcpKeepalive>,
        /// How long a connection may live; at least 1ms. Default: no limit.
        pub max_connection_duration: Option<Duration>,
        /// How long a connection may be idle; 0s is no limit. Default 1h.
        pub idle_timeout: Option<Duration>,
    }
}

message! {
    /// TCP keep-alive probes.
    pub struct TcpKeepalive {
        /// Unanswered probes before the connection is given up. Default: the kernel's, 9.
        pub probes: Option<u32>,
        /// Idle time before the first probe. Default: the kernel's, 7200s.
        pub time: Option<Duration>,
        /// Time between probes. Default: the kernel's, 75s.
        pub interval: Option<Duration>,
    }
}

message! {
    /// Limits on HTTP requests.
    pub struct HttpSettings {
        /// Requests that wait for a connection. Default 2^32-1.
        pub http1_max_pending_requests: Option<i64>,
        /// Requests at once, over HTTP/1.1 too. Default 2^32-1.
        pub http2_max_requests: Option<i64>,
        /// Requests on one connection; 1 turns keep-alive off. Default 0, no limit.
        pub max_requests_per_connection: Option<i64>,
        /// Retries at once, to all endpoints together. Default 2^32-1.
        pub max_retries: Option<i64>,
        /// How long a connection may be without requests; at least 1ms. Default 1h.
        pub idle_timeout: Option<Duration>,
        /// Whether HTTP/1.1 becomes HTTP/2 on the way to the host. Default: mesh config's.
        pub h2_upgrade_policy: Option<H2UpgradePolicy>,
        /// Whether the client's protocol is kept. Default false.
        pub use_client_protocol: Option<bool>,
        /// Streams at once on an HTTP/2 connection. Default 2^31-1.
        pub max_concurrent_streams: Option<i64>,
        /// HTTP/2 pings on idle connections. Default: none are sent.
        pub http2_keep_alive: Option<Http2KeepAlive>,
    }
}

message! {
    /// HTTP/2 pings.
    pub struct Http2KeepAlive {
        /// Time between pings; at least 1ms. Required for pings to be sent.
        pub interval: Option<Duration>,
        /// How long an answer may take; at least 1ms.
        pub timeout: Option<Duration>,
    }
}

choice! {
    /// Whether HTTP/1.1 becomes HTTP/2 on the way to the host.
    pub enum H2UpgradePolicy {
        /// As mesh config says.
        Default,
        /// Never.
        DoNotUpgrade,
        /// Always.
        Upgrade,
    }
}
