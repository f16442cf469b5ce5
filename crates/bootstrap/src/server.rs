//! Where the control plane is and how to speak to it: ADS, its cluster, the admin interface.
//!
//! Over TLS it is Google's gRPC client that speaks, not Envoy's: it alone reads the token of the
//! proxy's pod from a file for each stream, so that a rotated token needs no restart.
//!
//! The retry is shorter than Envoy's own (30 s at most): after a restart of the control plane a
//! proxy is back within seconds, and the jitter is Envoy's.

use crate::XDS_CLUSTER;
use serde_json::{Map, Value, json};

/// Where the control plane listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XdsServer {
    /// Plaintext gRPC on an IP address.
    Tcp {
        /// An IP address.
        address: String,
        /// A port.
        port: u16,
    },
    /// The path of a Unix socket.
    Uds(String),
    /// gRPC over TLS, with a token.
    Secure(SecureServer),
}

/// A control plane that proves who it is, and wants to know who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecureServer {
    /// Where it listens, `HOST:PORT`.
    pub target: String,
    /// The name that its certificate must have, `istiod.istio-system.svc`.
    pub name: String,
    /// The file with the root certificates (PEM).
    pub roots: String,
    /// The file with the projected token, of audience `istio-ca`.
    pub token: String,
}

impl SecureServer {
    /// The `google_grpc` service. Limits and waits are those of the other form: messages of any
    /// size (4 MiB is the library's limit), a reconnect after 10 s at most (2 minutes there).
    fn service(&self) -> Value {
        let Self {
            target,
            name,
            roots,
            token,
        } = self;
        let int = |value: i64| json!({"int_value": value});
        let token = json!({
            "@type": "type.googleapis.com/\
                      envoy.config.grpc_credential.v3.FileBasedMetadataConfig",
            "secret_data": {"filename": token},
            "header_key": "authorization",
            "header_prefix": "Bearer ",
        });
        json!({"google_grpc": {
            "target_uri": target,
            "stat_prefix": XDS_CLUSTER,
            "channel_credentials": {"ssl_credentials": {"root_certs": {"filename": roots}}},
            "call_credentials": [{"from_plugin": {"name": TOKEN_FILE, "typed_config": token}}],
            "credentials_factory_name": TOKEN_FILE,
            "channel_args": {"args": {
                "grpc.ssl_target_name_override": {"string_value": name},
                "grpc.default_authority": {"string_value": name},
                "grpc.max_receive_message_length": int(-1),
                "grpc.keepalive_time_ms": int(30_000),
                "grpc.keepalive_timeout_ms": int(10_000),
                "grpc.initial_reconnect_backoff_ms": int(500),
                "grpc.max_reconnect_backoff_ms": int(10_000),
            }},
        }})
    }
}

/// Envoy's name for credentials that are read from a file and sent in a header.
const TOKEN_FILE: &str = "envoy.grpc_credentials.file_based_metadata";

impl XdsServer {
    /// The service that ADS goes to.
    fn service(&self) -> Value {
        match self {
            Self::Tcp { .. } | Self::Uds(_) => {
                let retry = json!({
                    "retry_back_off": {"base_interval": "0.5s", "max_interval": "10s"},
                });
                json!({"envoy_grpc": {"cluster_name": XDS_CLUSTER, "retry_policy": retry}})
            }
            Self::Secure(server) => server.service(),
        }
    }

    /// The cluster that ADS goes through; none where it is not Envoy that speaks.
    pub(crate) fn cluster(&self) -> Option<Value> {
        let address = match self {
            Self::Tcp { address, port } => {
                json!({"socket_address": {"address": address, "port_value": port}})
            }
            Self::Uds(path) => json!({"pipe": {"path": path}}),
            Self::Secure(_) => return None,
        };
        let mut cluster = Map::new();
        cluster.insert("name".into(), json!(XDS_CLUSTER));
        cluster.insert("type".into(), json!("STATIC"));
        cluster.insert("connect_timeout".into(), json!("1s"));
        cluster.insert("circuit_breakers".into(), thresholds());
        cluster.insert("load_assignment".into(), assignment(address));
        cluster.insert("typed_extension_protocol_options".into(), http2());
        if let Self::Tcp { .. } = self {
            let keepalive = json!({"tcp_keepalive": {"keepalive_time": 300}});
            cluster.insert("upstream_connection_options".into(), keepalive);
        }
        Some(Value::Object(cluster))
    }
}

fn assignment(address: Value) -> Value {
    let endpoint = json!({"endpoint": {"address": address}});
    json!({"cluster_name": XDS_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]})
}

/// No limit may ever stand between a proxy and its control plane.
fn thresholds() -> Value {
    let per = |priority: &str| {
        json!({
            "priority": priority,
            "max_connections": 100_000,
            "max_pending_requests": 100_000,
            "max_requests": 100_000,
        })
    };
    json!({"thresholds": [per("DEFAULT"), per("HIGH")]})
}

/// HTTP/2 with a ping, so that a dead peer is noticed on an idle stream.
fn http2() -> Value {
    let ping = json!({"connection_keepalive": {"interval": "30s", "timeout": "10s"}});
    json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": ping},
    }})
}

/// Which of the two ADS protocols to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum XdsProtocol {
    /// Incremental: only what changed.
    #[default]
    Delta,
    /// State of the world: each answer names everything of its type.
    Sotw,
}

impl XdsProtocol {
    /// LDS and CDS over one ADS stream, waited for without a limit.
    pub(crate) fn dynamic(self, server: &XdsServer) -> Value {
        let api_type = match self {
            Self::Delta => "DELTA_GRPC",
            Self::Sotw => "GRPC",
        };
        let config = json!({
            "ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3",
        });
        let service = server.service();
        json!({
            "ads_config": {
                "api_type": api_type,
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [service],
            },
            "cds_config": config,
            "lds_config": config,
        })
    }
}

/// Where the admin interface listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminAddress {
    /// An IP address, in practice a loopback one: admin has no authentication.
    pub address: String,
    /// A port; 0 lets the system choose, and `--admin-address-path` tells which.
    pub port: u16,
}

impl AdminAddress {
    pub(crate) fn to_json(&self) -> Value {
        let socket = json!({"address": self.address, "port_value": self.port});
        json!({"address": {"socket_address": socket}})
    }
}
