//! Gateway: what a proxy at the edge of the mesh listens on, and for which hosts.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/gateway/>. Where the traffic
//! goes is not said here: VirtualServices name the gateway in `gateways`.

mod check;

use super::server_tls::ServerTlsSettings;
use crate::message::message;
use std::collections::BTreeMap;

message! {
    /// Listeners of the proxies that the selector selects.
    pub struct Gateway {
        /// What the proxies listen on. At least one.
        pub servers: Vec<Server>,
        /// Labels of the proxies meant, all of them, in any namespace (in the gateway's own, when
        /// gateways are scoped to their namespace). Empty selects every gateway proxy.
        pub selector: BTreeMap<String, String>,
    }
}

message! {
    /// A port, and the hosts that are served on it.
    pub struct Server {
        /// The port clients call, and what is spoken there. Required.
        pub port: Option<ServerPort>,
        /// The IP address or Unix socket (`unix:///PATH`) to bind. Default: every address of the
        /// proxy.
        pub bind: Option<String>,
        /// The hosts served: `HOST` or `NAMESPACE/HOST`. The host is a name, one with a leading
        /// `*.`, or `*`; the namespace (a name, `.` for the gateway's own, `*` for all, the
        /// default) is where VirtualServices for it may live. At least one.
        pub hosts: Vec<String>,
        /// TLS termination, or the redirect to it. Required for HTTPS and TLS.
        pub tls: Option<ServerTlsSettings>,
        /// Without effect.
        pub default_endpoint: Option<String>,
        /// A name of the server, unique in the gateway. Default: none.
        pub name: Option<String>,
    }
}

message! {
    /// A port of a gateway.
    pub struct ServerPort {
        /// The port number, 1 to 65535. Required.
        pub number: u32,
        /// What is spoken: `HTTP`, `HTTPS`, `HTTP2`, `GRPC`, `GRPC-WEB`, `TLS`, `TCP`, `MONGO`,
        /// `REDIS` or `MYSQL`. Required.
        pub protocol: String,
        /// A name, unique in the gateway. Required.
        pub name: String,
        /// Without effect on gateways.
        pub target_port: Option<u32>,
    }
}
