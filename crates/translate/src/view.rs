//! What a generator's `plan` may read: one class, its scope, and the shared parts of the snapshot.

use crate::class::ClassKey;
use meltemi_model::policy::Client;
use meltemi_model::{
    Attachment, GatewayRule, Imported, Mesh, NamespacePeers, NetworkIndex, Ports, RouteTable,
    Scope, Service, ServiceEndpoints, Snapshot, TrafficRule,
};
use meltemi_types::{HostPattern, ObjectRef, Port};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A snapshot narrowed to what one class of proxies may see.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The class.
    pub key: &'a ClassKey,
    /// Services and routes in scope.
    pub scope: &'a Scope,
    /// Services in scope by host, of all egress listeners.
    pub by_host: BTreeMap<HostPattern, Arc<Service>>,
    /// The same with the ports that can be reached, oldest first.
    pub imports: Vec<Imported>,
    /// The hosts of which some ports only can be reached.
    narrowed: BTreeMap<HostPattern, Ports>,
    snapshot: &'a Snapshot,
}

impl<'a> View<'a> {
    /// Narrows `snapshot` to `key`, for which `scope` was resolved.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, key: &'a ClassKey, scope: &'a Scope) -> Self {
        let imports = scope.imports();
        let services = imports.iter().map(|i| i.service.clone());
        let narrowed = imports.iter().filter(|i| i.ports != Ports::All);
        let narrowed = narrowed.map(|i| (i.service.key.host.clone(), i.ports.clone()));
        let narrowed = narrowed.collect();
        let by_host = services.map(|s| (s.key.host.clone(), s)).collect();
        Self {
            key,
            scope,
            by_host,
            imports,
            narrowed,
            snapshot,
        }
    }

    /// False for a port that no egress listener of the Sidecar imports with its service.
    #[must_use]
    pub fn reaches(&self, host: &HostPattern, port: Port) -> bool {
        let ports = self.narrowed.get(host);
        ports.is_none_or(|ports| ports.contains(port))
    }

    /// Mesh configuration.
    #[must_use]
    pub fn mesh(&self) -> &'a Arc<Mesh> {
        &self.snapshot.mesh
    }

    /// The traffic rule (merged DestinationRules) that this class uses for a service.
    #[must_use]
    pub fn rule(&self, service: &Service) -> Option<&'a Arc<TrafficRule>> {
        self.rule_for(&service.key.host, &service.key.namespace)
    }

    /// The traffic rule for a host declared in `namespace`.
    #[must_use]
    pub fn rule_for(
        &self,
        host: &HostPattern,
        namespace: &meltemi_types::Namespace,
    ) -> Option<&'a Arc<TrafficRule>> {
        let client = Client {
            namespace: &self.key.namespace,
            labels: &self.key.labels,
            root: &self.snapshot.mesh.root_namespace,
        };
        self.snapshot.policies.select(client, host, namespace)
    }

    /// The endpoints of a service port.
    #[must_use]
    pub fn endpoints(
        &self,
        service: &Service,
        port: &meltemi_types::PortName,
    ) -> Arc<[meltemi_model::Endpoint]> {
        self.snapshot.endpoints.of(&service.key, port)
    }

    /// The endpoints of all ports of a service.
    #[must_use]
    pub fn all_endpoints(&self, service: &Service) -> Option<&'a Arc<ServiceEndpoints>> {
        self.snapshot.endpoints.service(&service.key)
    }

    /// Which mTLS modes hold for the workloads behind a service.
    #[must_use]
    pub fn peers(&self, service: &Service) -> NamespacePeers {
        let root = &self.snapshot.mesh.root_namespace;
        let namespace = &service.key.namespace;
        self.snapshot.security.of_namespace(root, namespace)
    }

    /// The gateway of an object.
    #[must_use]
    pub fn gateway(&self, object: &ObjectRef) -> Option<&'a GatewayRule> {
        self.snapshot.gateways.by_ref(object).map(|rule| &**rule)
    }

    /// The route tables attached to a gateway that this class sees, most important first.
    #[must_use]
    pub fn gateway_tables(&self, gateway: &Attachment) -> Vec<Arc<RouteTable>> {
        self.snapshot.tables_at(gateway, &self.key.namespace)
    }

    /// Gateways into other networks.
    #[must_use]
    pub fn networks(&self) -> &'a Arc<NetworkIndex> {
        &self.snapshot.networks
    }

    /// What the name of a service resolves to: its virtual addresses, and those that an entry
    /// declares whatever their family, for they lead to the proxy in any case.
    #[must_use]
    pub fn named(&self, service: &Service) -> Vec<std::net::IpAddr> {
        let families = match service.kubernetes {
            true => self.key.families,
            false => meltemi_types::IpFamilies::Dual,
        };
        let declared = service.addresses.contains_key(&self.key.cluster);
        match declared {
            true => service
                .vips(&self.key.cluster, families, self.key.dns)
                .collect(),
            false => self.vips(service),
        }
    }

    /// The virtual addresses of a service for this class.
    #[must_use]
    pub fn vips(&self, service: &Service) -> Vec<std::net::IpAddr> {
        service
            .vips(&self.key.cluster, self.key.families, self.key.dns)
            .collect()
    }
}
