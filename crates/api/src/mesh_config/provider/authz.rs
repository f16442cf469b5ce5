//! External authorizers.

use crate::duration::Duration;
use crate::message::message;
use std::collections::BTreeMap;

message! {
    /// How request bodies are shown to the authorizer.
    pub struct EnvoyExternalAuthorizationRequestBody {
        /// The most bytes kept. Required.
        pub max_request_bytes: Option<u32>,
        /// Whether larger bodies are shown in part instead of answered with 413. Default false.
        pub allow_partial_message: Option<bool>,
        /// Whether the body is sent as bytes instead of text (gRPC only). Default false.
        pub pack_as_bytes: Option<bool>,
    }
}

message! {
    /// An authorizer that speaks HTTP. Names of headers may be exact, `abc*` or `*abc`.
    pub struct EnvoyExternalAuthorizationHttpProvider {
        /// The service, `[NAMESPACE/]HOST`. Required.
        pub service: String,
        /// Its port, 1 to 65535. Required.
        pub port: u32,
        /// How long an answer may take. Default 600s.
        pub timeout: Option<Duration>,
        /// Put in front of the path asked for. Default: nothing.
        pub path_prefix: Option<String>,
        /// Whether requests pass when the authorizer fails. Default false.
        pub fail_open: Option<bool>,
        /// Whether the route is chosen anew after the answer. Default false.
        pub clear_route_cache: Option<bool>,
        /// The status of requests when the authorizer fails. Default 403.
        pub status_on_error: Option<String>,
        /// Deprecated: use `includeRequestHeadersInCheck`.
        pub include_headers_in_check: Vec<String>,
        /// Request headers shown to the authorizer.
        pub include_request_headers_in_check: Vec<String>,
        /// Fixed headers sent to the authorizer.
        pub include_additional_headers_in_check: BTreeMap<String, String>,
        /// Shows the request body to the authorizer. Default: not shown.
        pub include_request_body_in_check: Option<EnvoyExternalAuthorizationRequestBody>,
        /// Headers of its answer that go to the destination.
        pub headers_to_upstream_on_allow: Vec<String>,
        /// Headers of a refusal that go to the client. Default: all.
        pub headers_to_downstream_on_deny: Vec<String>,
        /// Headers of a permission that go to the client.
        pub headers_to_downstream_on_allow: Vec<String>,
    }
}

message! {
    /// An authorizer that speaks gRPC.
    pub struct EnvoyExternalAuthorizationGrpcProvider {
        /// The service, `[NAMESPACE/]HOST`. Required.
        pub service: String,
        /// Its port, 1 to 65535. Required.
        pub port: u32,
        /// How long an answer may take. Default 600s.
        pub timeout: Option<Duration>,
        /// Whether requests pass when the authorizer fails. Default false.
        pub fail_open: Option<bool>,
        /// Whether the route is chosen anew after the answer. Default false.
        pub clear_route_cache: Option<bool>,
        /// The status of requests when the authorizer fails. Default 403.
        pub status_on_error: Option<String>,
        /// Shows the request body to the authorizer. Default: not shown.
        pub include_request_body_in_check: Option<EnvoyExternalAuthorizationRequestBody>,
    }
}
