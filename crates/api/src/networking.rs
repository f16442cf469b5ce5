//! The kinds of `networking.istio.io`: how traffic is routed, and what happens on the way.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/>. Each module's main type
//! is the `spec` of its kind.

pub mod destination_rule;
pub mod gateway;
pub mod server_tls;
pub mod service_entry;
pub mod sidecar;
pub mod virtual_service;
pub mod workload_entry;
pub mod workload_group;
