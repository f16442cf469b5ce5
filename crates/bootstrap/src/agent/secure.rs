//! Listeners for workloads of the mesh only: mutual TLS with the workload's own certificate, and any
//! certificate of the mesh lets in (platform.md 3.5).
//!
//! The surprise: Envoy does not start to serve before static listeners have their secrets, so it waits
//! for these no longer than it does by default; until they come, the port is reset.

use crate::SDS_CLUSTER;
use serde_json::{Value, json};

/// Lets nobody in but over TLS.
pub(super) fn close(listener: &mut Value) {
    let inspector = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
    if let Some(listener) = listener.as_object_mut() {
        let inspect = json!([{
            "name": "envoy.filters.listener.tls_inspector",
            "typed_config": {"@type": format!("type.googleapis.com/{inspector}")},
        }]);
        listener.insert("listener_filters".into(), inspect);
    }
    let chain = listener.pointer_mut("/filter_chains/0");
    if let Some(chain) = chain.and_then(Value::as_object_mut) {
        let tls = json!({"transport_protocol": "tls"});
        chain.insert("filter_chain_match".into(), tls);
        chain.insert("transport_socket".into(), socket());
    }
}

fn socket() -> Value {
    let context = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": format!("type.googleapis.com/{context}"),
            "require_client_certificate": true,
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificate_sds_secret_configs": [secret("default")],
                "validation_context_sds_secret_config": secret("ROOTCA"),
            },
        },
    })
}

/// A secret that the agent answers.
fn secret(name: &str) -> Value {
    json!({
        "name": name,
        "sds_config": {
            "resource_api_version": "V3",
            "api_config_source": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": SDS_CLUSTER}}],
            },
        },
    })
}
