//! What a generator's `plan` may read: one class, its scope, and the shared parts of the snapshot.

use crate::class::ClassKey;
use meltemi_model::policy::Client;
use meltemi_model::{Mesh, Scope, Service, Snapshot, TrafficRule};
use meltemi_types::HostPattern;
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
    snapshot: &'a Snapshot,
}

impl<'a> View<'a> {
    /// Narrows `snapshot` to `key`, for which `scope` was resolved.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, key: &'a ClassKey, scope: &'a Scope) -> Self {
        let services = scope.services().into_iter();
        let by_host = services.map(|s| (s.key.host.clone(), s)).collect();
        Self {
            key,
            scope,
            by_host,
            snapshot,
        }
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

    /// The virtual addresses of a service for this class.
    #[must_use]
    pub fn vips(&self, service: &Service) -> Vec<std::net::IpAddr> {
        service
            .vips(&self.key.cluster, self.key.families, self.key.dns)
            .collect()
    }
}
