//! Endpoints: the addresses behind a service port, with all that load balancing may ask.

use crate::service::ServiceKey;
use meltemi_types::{
    ClusterId, Labels, Locality, Namespace, NetworkId, Port, PortName, ServiceAccount,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Where an endpoint listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointAddress {
    /// An IP address of either family.
    Ip(IpAddr),
    /// A DNS name (ServiceEntries with DNS resolution).
    Name(Arc<str>),
    /// A Unix domain socket.
    Pipe(Arc<str>),
    /// Not known; reached only through the gateway of its network.
    Remote,
}

/// Whether an endpoint gets traffic. Terminating endpoints are not in the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Ready.
    #[default]
    Healthy,
    /// Not ready.
    Unhealthy,
    /// Finishing: only for sessions that stick to it.
    Draining,
}

/// How to speak to an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsMode {
    /// Plaintext.
    #[default]
    Disabled,
    /// Mesh mTLS.
    Istio,
}

/// How to reach an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tunnel {
    /// Directly.
    #[default]
    None,
    /// Through HBONE.
    Hbone,
}

/// The workload facts that all ports of an endpoint share.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointWorkload {
    /// The workload's name, for telemetry.
    pub name: Arc<str>,
    /// Its namespace.
    pub namespace: Option<Namespace>,
    /// Its labels: subsets select by them.
    pub labels: Labels,
    /// Its service account: its identity.
    pub account: Option<ServiceAccount>,
    /// Its node, for node-local traffic policies.
    pub node: Option<Arc<str>>,
    /// `HOST.SUBDOMAIN` of a pod with a subdomain: its name below a headless service's domain.
    pub dns_name: Option<Arc<str>>,
}

/// One address of one service port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Where it listens.
    pub address: EndpointAddress,
    /// The target port; `None` only for Unix sockets.
    pub port: Option<Port>,
    /// Ready or not.
    pub health: Health,
    /// Share of traffic among its locality, from 1.
    pub weight: u32,
    /// Where it runs.
    pub locality: Locality,
    /// Its network; `None` is the mesh's flat one.
    pub network: Option<NetworkId>,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Plaintext or mTLS.
    pub tls: TlsMode,
    /// Direct or tunnelled.
    pub tunnel: Tunnel,
    /// The workload behind it.
    pub workload: Arc<EndpointWorkload>,
}

/// The endpoints of one service, by port name. Each port's list is shared, so that a change of
/// one port leaves the others pointer-equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceEndpoints {
    /// Sorted by address within a port.
    pub ports: BTreeMap<PortName, Arc<[Endpoint]>>,
}

impl ServiceEndpoints {
    /// The service accounts behind any port, with their namespaces.
    #[must_use]
    pub fn accounts(&self) -> BTreeSet<(&Namespace, &ServiceAccount)> {
        let all = self.ports.values().flat_map(|list| list.iter());
        all.filter_map(|endpoint| {
            let workload = &endpoint.workload;
            Some((workload.namespace.as_ref()?, workload.account.as_ref()?))
        })
        .collect()
    }
}

/// All endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointIndex {
    by_service: BTreeMap<ServiceKey, Arc<ServiceEndpoints>>,
}

impl EndpointIndex {
    /// An index of these.
    #[must_use]
    pub fn new(by_service: BTreeMap<ServiceKey, Arc<ServiceEndpoints>>) -> Self {
        Self { by_service }
    }

    /// The endpoints of a service port; empty when there are none.
    #[must_use]
    pub fn of(&self, service: &ServiceKey, port: &PortName) -> Arc<[Endpoint]> {
        let all = self.by_service.get(service).and_then(|s| s.ports.get(port));
        all.cloned().unwrap_or_else(|| Arc::from([]))
    }

    /// All endpoints of a service.
    #[must_use]
    pub fn service(&self, service: &ServiceKey) -> Option<&Arc<ServiceEndpoints>> {
        self.by_service.get(service)
    }

    /// All, sorted by service.
    pub fn iter(&self) -> impl Iterator<Item = (&ServiceKey, &Arc<ServiceEndpoints>)> {
        self.by_service.iter()
    }
}
