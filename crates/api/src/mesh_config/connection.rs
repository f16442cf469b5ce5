//! Limits and timeouts of a proxy's own connections.

use crate::duration::Duration;
use crate::message::{choice, message};

message! {
    /// Limits and timeouts of a proxy's own connections.
    pub struct ConnectionSettings {
        /// Defaults to start from. Default `SIDECAR`: Envoy's own.
        pub profile: Option<ConnectionProfile>,
        /// Bytes buffered for a client's connection. Envoy's default is 1 MiB.
        pub listener_per_connection_buffer_limit_bytes: Option<i64>,
        /// Bytes buffered for a connection to a destination. Envoy's default is 1 MiB.
        pub cluster_per_connection_buffer_limit_bytes: Option<i64>,
        /// How long a client's HTTP connection may be without requests.
        pub http_idle_timeout: Option<Duration>,
        /// How long a client's HTTP connection may live.
        pub http_max_connection_duration: Option<Duration>,
        /// How long a stream may live.
        pub http_max_stream_duration: Option<Duration>,
        /// How long a stream may be idle.
        pub http_stream_idle_timeout: Option<Duration>,
        /// How long receiving a request may take.
        pub http_request_timeout: Option<Duration>,
        /// How long receiving the headers of a request may take.
        pub http_request_headers_timeout: Option<Duration>,
        /// How long connections are drained before they are closed.
        pub http_drain_timeout: Option<Duration>,
        /// Streams at once on a client's HTTP/2 connection.
        pub http_max_concurrent_streams: Option<i64>,
        /// HTTP/2 flow control window of a stream, in bytes; at least 65535.
        pub http2_initial_stream_window_size: Option<i64>,
        /// HTTP/2 flow control window of a connection, in bytes; at least 65535.
        pub http2_initial_connection_window_size: Option<i64>,
        /// What happens to headers with an underscore in their name.
        pub http_headers_with_underscores_action: Option<HeadersWithUnderscoresAction>,
        /// Whether slashes in a row in a path become one.
        pub http_merge_slashes: Option<bool>,
        /// What happens to paths with `%2F` or `%5C`.
        pub http_path_with_escaped_slashes_action: Option<PathWithEscapedSlashesAction>,
        /// Connections of all clients together.
        pub global_downstream_connection_limit: Option<i64>,
    }
}

choice! {
    /// A set of defaults.
    pub enum ConnectionProfile {
        /// Envoy's own, for proxies inside the mesh.
        Sidecar,
        /// What Envoy recommends at the edge, for gateways.
        Edge,
    }
}

choice! {
    /// What happens to headers with an underscore in their name.
    pub enum HeadersWithUnderscoresAction {
        /// Nothing is set.
        HeadersWithUnderscoresUnspecified,
        /// They are allowed.
        #[serde(alias = "ALLOW")]
        HeadersWithUnderscoresAllow,
        /// The request is refused.
        #[serde(alias = "REJECT_REQUEST")]
        HeadersWithUnderscoresRejectRequest,
        /// The header is dropped.
        #[serde(alias = "DROP_HEADER")]
        HeadersWithUnderscoresDropHeader,
    }
}

choice! {
    /// What happens to paths with escaped slashes.
    pub enum PathWithEscapedSlashesAction {
        /// Nothing is set.
        PathWithEscapedSlashesUnspecified,
        /// They are kept as they are.
        KeepUnchanged,
        /// The request is refused.
        RejectRequest,
        /// The client is redirected to the unescaped path.
        UnescapeAndRedirect,
        /// The unescaped path is forwarded.
        UnescapeAndForward,
    }
}
