//! Headers that proxies add to requests and responses.

use super::ForwardClientCertDetails;
use crate::message::{choice, layered_message, message};

layered_message! {
    /// Headers that proxies add.
    pub struct ProxyHeaders {
        /// What happens to `x-forwarded-client-cert`. Default `APPEND_FORWARD` inbound.
        pub forwarded_client_cert: Option<ForwardClientCertDetails>,
        /// What `x-forwarded-client-cert` says about the client.
        pub set_current_client_cert_details: Option<SetCurrentClientCertDetails>,
        /// `x-request-id`. Default: added.
        pub request_id: Option<HeaderSwitch>,
        /// `server`. Default: `istio-envoy`.
        pub server: Option<ServerHeader>,
        /// `x-envoy-attempt-count`. Default: added.
        pub attempt_count: Option<HeaderSwitch>,
        /// Envoy's `x-envoy-*` response headers. Default: added.
        pub envoy_debug_headers: Option<HeaderSwitch>,
        /// `x-envoy-peer-metadata`, Istio's own. Default: never sent by stock proxies.
        pub metadata_exchange_headers: Option<MetadataExchangeHeaders>,
        /// Whether the case of HTTP/1.1 header names is kept. Default false.
        pub preserve_http1_header_case: Option<bool>,
        /// `x-forwarded-host`. Default: not added.
        pub x_forwarded_host: Option<OptInHeader>,
        /// `x-forwarded-port`. Default: not added.
        pub x_forwarded_port: Option<OptInHeader>,
    }
}

message! {
    /// What `x-forwarded-client-cert` says about the client.
    pub struct SetCurrentClientCertDetails {
        /// The certificate's subject. Default true.
        pub subject: Option<bool>,
        /// The certificate itself, in PEM. Default false.
        pub cert: Option<bool>,
        /// The certificate chain, in PEM. Default false.
        pub chain: Option<bool>,
        /// The DNS names. Default true.
        pub dns: Option<bool>,
        /// The URI names. Default true.
        pub uri: Option<bool>,
    }
}

message! {
    /// A header that is on unless it is disabled.
    pub struct HeaderSwitch {
        /// Whether it is off. Default false.
        pub disabled: Option<bool>,
    }
}

message! {
    /// A header that is off unless it is enabled.
    pub struct OptInHeader {
        /// Whether it is on. Default false.
        pub enabled: Option<bool>,
    }
}

message! {
    /// The `server` header.
    pub struct ServerHeader {
        /// Whether the application's own is kept instead. Default false.
        pub disabled: Option<bool>,
        /// The value. Default `istio-envoy`.
        pub value: Option<String>,
    }
}

message! {
    /// Istio's metadata headers.
    pub struct MetadataExchangeHeaders {
        /// When they are sent. Default `UNDEFINED`.
        pub mode: Option<MetadataExchangeMode>,
    }
}

choice! {
    /// When metadata headers are sent.
    pub enum MetadataExchangeMode {
        /// Always.
        Undefined,
        /// To services of the mesh.
        InMesh,
    }
}
