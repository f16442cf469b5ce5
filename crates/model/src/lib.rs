//! What the mesh is at one instant: an immutable [`Snapshot`].
//!
//! The model owns joins, scope and targeting; the leaves of a policy stay as the user wrote them
//! (`meltemi_api` types). Nothing here does I/O, reads a clock or logs. Each part of the snapshot is
//! its own `Arc`, replaced only when it changed, so that unchanged parts stay pointer-equal.
#![deny(missing_docs)]

pub mod credential;
pub mod endpoint;
pub mod gateway;
pub mod mesh;
pub mod network;
pub mod order;
pub mod patch;
pub mod policy;
pub mod proxy;
pub mod route;
pub mod scope;
pub mod security;
pub mod service;
pub mod target;
pub mod visibility;
pub mod workload;

use meltemi_api::Resource;
use meltemi_api::networking::proxy_config::ProxyConfig;
use meltemi_types::{Diagnostic, ProxyKind};
use std::sync::Arc;

pub use credential::{CredentialName, Store};
pub use endpoint::{
    Endpoint, EndpointAddress, EndpointIndex, Health, ServiceEndpoints, TlsMode, Tunnel,
};
pub use gateway::{GatewayIndex, GatewayRule, GatewayServer};
pub use mesh::Mesh;
pub use network::{NetworkGateway, NetworkIndex};
pub use order::Age;
pub use patch::Patch;
pub use policy::{PolicyIndex, TrafficRule};
pub use proxy::{Capabilities, DnsCapture, Interception, Proxy};
pub use route::{Attachment, Backend, BackendTarget, RouteIndex, RouteTable};
pub use scope::{Egress, Imported, Ports, Scope, SidecarIndex, SidecarRule};
pub use security::{Certificates, NamespacePeers, SecurityIndex, WorkloadSecurity};
pub use service::{Resolution, Service, ServiceIndex, ServiceKey, ServicePort, TargetPort};
pub use target::ServiceTarget;
pub use visibility::ExportTo;
pub use workload::{Workload, WorkloadIndex, WorkloadKind};

/// The whole mesh at one instant. Plain data, shared by `Arc`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Mesh configuration with the defaults filled in.
    pub mesh: Arc<Mesh>,
    /// Services by host and namespace.
    pub services: Arc<ServiceIndex>,
    /// Endpoints by service.
    pub endpoints: Arc<EndpointIndex>,
    /// Workloads (pods and WorkloadEntries) by name and address.
    pub workloads: Arc<WorkloadIndex>,
    /// Gateways into networks that are not flat with others.
    pub networks: Arc<NetworkIndex>,
    /// Route tables: VirtualServices lowered.
    pub routes: Arc<RouteIndex>,
    /// Traffic policies: DestinationRules merged.
    pub policies: Arc<PolicyIndex>,
    /// Sidecar resources.
    pub sidecars: Arc<SidecarIndex>,
    /// Gateways, those of Ingresses among them.
    pub gateways: Arc<GatewayIndex>,
    /// Authentication and authorization policies.
    pub security: Arc<SecurityIndex>,
    /// ProxyConfigs as users wrote them; injection alone looks at them.
    pub proxy_configs: Arc<Vec<Arc<Resource<ProxyConfig>>>>,
    /// What is wrong with the objects and between them, sorted.
    pub diagnostics: Arc<[Diagnostic]>,
}

impl Snapshot {
    /// The label keys of a proxy that may change its outbound configuration; all others are
    /// dropped from the class key, so that workloads that differ in nothing else share a class.
    #[must_use]
    pub fn is_deciding_label(&self, key: &str) -> bool {
        let mesh = self.mesh.config.locality_lb_setting.as_ref();
        self.routes.source_label_keys.contains(key)
            || self.policies.selector_keys.contains(key)
            || mesh.is_some_and(|setting| setting.failover_priority.iter().any(|l| l == key))
    }

    /// True when this kind of proxy is served at all today.
    #[must_use]
    pub fn serves(&self, kind: ProxyKind) -> bool {
        matches!(kind, ProxyKind::Sidecar | ProxyKind::Router)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_plain_shareable_data() {
        fn plain<T: Send + Sync + Eq + 'static>() {}
        plain::<Snapshot>();
    }
}
