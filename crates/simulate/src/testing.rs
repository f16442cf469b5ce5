//! Resources from JSON, for tests.

use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::pool;
use meltemi_proto::resource::Encoded;
use meltemi_types::TypeUrl;
use prost::Message;
use serde_json::{Value, json};

/// The message of this name.
pub(crate) fn message<T: Message + Default>(name: &str, value: &Value) -> T {
    let message = pool::message_from_json(name, value).unwrap();
    T::decode(message.encode_to_vec().as_slice()).unwrap()
}

/// A listener.
pub(crate) fn listener(value: Value) -> Listener {
    message("envoy.config.listener.v3.Listener", &value)
}

/// A resource as a proxy gets it.
pub(crate) fn encoded(type_url: TypeUrl, value: &Value) -> Encoded {
    let kind = type_url.rsplit('/').next().unwrap();
    let message = pool::message_from_json(kind, value).unwrap();
    let name = value.get("name").or_else(|| value.get("cluster_name"));
    Encoded::new(
        name.unwrap().as_str().unwrap(),
        type_url,
        message.encode_to_vec(),
    )
}

/// A listener filter that recognises TLS.
pub(crate) fn tls_inspector() -> Value {
    let kind = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
    json!({"name": "tls", "typed_config": {"@type": format!("type.googleapis.com/{kind}")}})
}

/// A listener filter that recognises HTTP.
pub(crate) fn http_inspector() -> Value {
    let kind = "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector";
    json!({"name": "http", "typed_config": {"@type": format!("type.googleapis.com/{kind}")}})
}

/// A transport socket that ends TLS.
pub(crate) fn tls(secret: &str, required: bool) -> Value {
    let kind = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
    json!({"name": "tls", "typed_config": {
        "@type": format!("type.googleapis.com/{kind}"),
        "require_client_certificate": required,
        "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": secret}]},
    }})
}

/// A filter that proxies bytes.
pub(crate) fn tcp_proxy(cluster: &str) -> Value {
    let kind = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    json!({"name": "tcp", "typed_config": {
        "@type": format!("type.googleapis.com/{kind}"), "stat_prefix": "x", "cluster": cluster,
    }})
}

/// A filter that reads HTTP, with routes by name.
pub(crate) fn http_by_name(routes: &str) -> Value {
    let kind = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({"name": "http", "typed_config": {
        "@type": format!("type.googleapis.com/{kind}"), "stat_prefix": "x",
        "rds": {"route_config_name": routes, "config_source": {"ads": {}}},
    }})
}
