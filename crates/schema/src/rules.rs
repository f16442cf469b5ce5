//! What each kind demands beyond its types, as data: one file for each kind, and what several
//! kinds share. Follows <https://istio.io/latest/docs/reference/config/>; the acceptance is that of
//! Istio's own definitions, the words are ours.
//!
//! Rules name Rust types, which the schemas are made of. A test holds that each rule finds its
//! type and field in at least one kind.

mod authorization_policy;
mod destination_rule;
mod envoy_filter;
mod extensions;
mod gateway;
mod peer_authentication;
mod proxy_config;
mod request_authentication;
mod service_entry;
mod shared;
mod sidecar;
mod telemetry;
mod virtual_service;
mod workload_group;

use crate::constraint::Row;
use meltemi_api::Kind;

/// The rules of a kind; none for kinds that are not ours.
pub(crate) fn of(kind: Kind) -> &'static [&'static [Row]] {
    use shared::{POOL, SELECTOR, SERVER_TLS, TARGETS, WORKLOAD, WORKLOAD_SELECTOR};
    match kind {
        Kind::VirtualService => &[virtual_service::RULES],
        Kind::DestinationRule => &[destination_rule::RULES, POOL, SELECTOR],
        Kind::Sidecar => &[sidecar::RULES, POOL, SERVER_TLS, WORKLOAD_SELECTOR],
        Kind::Gateway => &[gateway::RULES, SERVER_TLS],
        Kind::ServiceEntry => &[service_entry::RULES, WORKLOAD, WORKLOAD_SELECTOR],
        Kind::WorkloadEntry => &[WORKLOAD, shared::WORKLOAD_ADDRESS],
        Kind::WorkloadGroup => &[workload_group::RULES, WORKLOAD],
        Kind::EnvoyFilter => &[envoy_filter::RULES, TARGETS, WORKLOAD_SELECTOR],
        Kind::ProxyConfig => &[proxy_config::RULES, SELECTOR],
        Kind::PeerAuthentication => &[peer_authentication::RULES, SELECTOR],
        Kind::RequestAuthentication => &[request_authentication::RULES, SELECTOR, TARGETS],
        Kind::AuthorizationPolicy => &[authorization_policy::RULES, SELECTOR, TARGETS],
        Kind::Telemetry => &[telemetry::RULES, SELECTOR, TARGETS],
        Kind::WasmPlugin => &[
            extensions::WASM_PLUGIN,
            extensions::SHARED,
            SELECTOR,
            TARGETS,
        ],
        Kind::TrafficExtension => &[
            extensions::TRAFFIC_EXTENSION,
            extensions::SHARED,
            SELECTOR,
            TARGETS,
        ],
        Kind::Service
        | Kind::EndpointSlice
        | Kind::Endpoints
        | Kind::Pod
        | Kind::Namespace
        | Kind::Node
        | Kind::Ingress
        | Kind::IngressClass
        | Kind::MeshConfig
        | Kind::Secret
        | Kind::ConfigMap => &[],
    }
}
