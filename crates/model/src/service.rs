//! Services: what can be called, by host and port.

use crate::order::Age;
use crate::proxy::DnsCapture;
use crate::visibility::ExportTo;
use ipnet::IpNet;
use meltemi_types::{
    ClusterId, HostPattern, IpFamilies, Labels, Namespace, Origin, Port, PortName, Protocol,
    Selector, ServiceAccount,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// A service by host and namespace. Kubernetes hosts are `name.namespace.svc.domain`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// The host; wildcards come from ServiceEntries only.
    pub host: HostPattern,
    /// The namespace of the object that declares it.
    pub namespace: Namespace,
}

/// How the addresses behind a service are found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// Envoy is told the endpoints (ClusterIP services, STATIC entries).
    Endpoints,
    /// Envoy resolves names and uses all addresses.
    Dns,
    /// Envoy resolves one name and uses one address at a time.
    DnsRoundRobin,
    /// The connection's own destination is kept (headless services, NONE entries).
    Passthrough,
    /// The name in each request is resolved (wildcard DNS entries).
    DynamicDns,
    /// Another name for this host (ExternalName).
    Alias(HostPattern),
}

/// What a service port maps to at the workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetPort {
    /// The number that clients call: a ServiceEntry names no other.
    Same,
    /// This number.
    Number(Port),
    /// The container port of this name.
    Named(PortName),
}

impl TargetPort {
    /// The number, where no workload has to be asked for it.
    #[must_use]
    pub fn number(&self, called: Port) -> Option<Port> {
        match self {
            Self::Same => Some(called),
            Self::Number(number) => Some(*number),
            Self::Named(_) => None,
        }
    }
}

/// One port of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePort {
    /// The number clients call.
    pub number: Port,
    /// Its name; endpoints are joined by it. May be empty.
    pub name: PortName,
    /// What is spoken there; `Auto` when nobody said.
    pub protocol: Protocol,
    /// Where it goes at the workload.
    pub target: TargetPort,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// Host and namespace.
    pub key: ServiceKey,
    /// The name of the object that declares it (short name for Kubernetes services).
    pub name: Arc<str>,
    /// The object.
    pub origin: Origin,
    /// For "the oldest wins".
    pub age: Age,
    /// Its virtual addresses, by cluster; none for headless services. Both families may occur.
    pub addresses: BTreeMap<ClusterId, Arc<[IpAddr]>>,
    /// Addresses that are ranges (ServiceEntries).
    pub cidrs: Arc<[IpNet]>,
    /// Addresses made up for a service that has none; for proxies that capture DNS.
    pub allocated: Arc<[IpAddr]>,
    /// Ports, by number.
    pub ports: Arc<[ServicePort]>,
    /// How endpoints are found.
    pub resolution: Resolution,
    /// True for services outside of the mesh (`MESH_EXTERNAL`).
    pub external: bool,
    /// True for Kubernetes Services, false for ServiceEntries.
    pub kubernetes: bool,
    /// Who may see it.
    pub export_to: ExportTo,
    /// Which workloads are behind it, when it has a selector.
    pub selector: Option<Selector>,
    /// The Service's own labels.
    pub labels: Labels,
    /// Extra service accounts that may answer for it.
    pub accounts: BTreeSet<ServiceAccount>,
    /// Names of which a server's certificate must carry one (ServiceEntries).
    pub subject_alt_names: BTreeSet<Arc<str>>,
    /// Only endpoints on the caller's node (`internalTrafficPolicy: Local`).
    pub node_local: bool,
    /// Pods that are not ready have names too (`publishNotReadyAddresses`).
    pub publish_not_ready: bool,
    /// `trafficDistribution`, as written.
    pub traffic_distribution: Option<Arc<str>>,
}

impl Service {
    /// The port of this number.
    #[must_use]
    pub fn port(&self, number: Port) -> Option<&ServicePort> {
        self.ports.iter().find(|p| p.number == number)
    }

    /// The addresses a proxy of `cluster` with these IP families uses; other clusters' addresses
    /// only when the service has none in the proxy's own, and allocated ones only when it has
    /// none at all and the proxy answers the questions for its name.
    pub fn vips(
        &self,
        cluster: &ClusterId,
        families: IpFamilies,
        dns: DnsCapture,
    ) -> impl Iterator<Item = IpAddr> {
        let own = self
            .addresses
            .get(cluster)
            .or_else(|| self.addresses.values().next());
        let declared = own.is_some() || !self.cidrs.is_empty();
        let allocated = (dns == DnsCapture::On && !declared).then_some(&self.allocated);
        own.into_iter()
            .chain(allocated)
            .flat_map(|a| a.iter().copied())
            .filter(move |a| families.allows(a) && !a.is_unspecified())
    }

    /// True for Kubernetes headless services and entries without resolution.
    #[must_use]
    pub fn is_passthrough(&self) -> bool {
        self.resolution == Resolution::Passthrough
    }
}

/// All services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceIndex {
    by_key: BTreeMap<ServiceKey, Arc<Service>>,
}

impl ServiceIndex {
    /// An index of these services.
    #[must_use]
    pub fn new(by_key: BTreeMap<ServiceKey, Arc<Service>>) -> Self {
        Self { by_key }
    }

    /// The service of this key.
    #[must_use]
    pub fn by_key(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        self.by_key.get(key)
    }

    /// Services of this host in any namespace, sorted by namespace.
    pub fn by_host<'a>(&'a self, host: &HostPattern) -> impl Iterator<Item = &'a Arc<Service>> {
        let host = host.clone();
        let first = ServiceKey {
            host: host.clone(),
            namespace: smallest_namespace(),
        };
        self.by_key
            .range(first..)
            .map(|(_, s)| s)
            .take_while(move |s| s.key.host == host)
    }

    /// All services, sorted by host, then namespace.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.by_key.values()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

/// No valid namespace sorts before `0`: labels start with a digit or a letter.
#[expect(
    clippy::expect_used,
    reason = "a literal that the type accepts; covered by a test"
)]
fn smallest_namespace() -> Namespace {
    "0".parse().expect("a valid literal")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_smallest_namespace_is_one() {
        assert_eq!(super::smallest_namespace().as_str(), "0");
    }
}
