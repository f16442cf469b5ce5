//! Workloads: the pods that services select and proxies run in.

use meltemi_types::{
    ClusterId, Labels, Locality, Namespace, NetworkId, ObjectName, Port, PortName, ServiceAccount,
};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A workload by cluster, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadKey {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its namespace.
    pub namespace: Namespace,
    /// The pod's name.
    pub name: ObjectName,
}

/// A pod, as far as the mesh cares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Cluster, namespace, name.
    pub key: WorkloadKey,
    /// The name of what owns it (the Deployment, say), for telemetry.
    pub workload_name: Arc<str>,
    /// Its addresses, both families.
    pub ips: Arc<[IpAddr]>,
    /// Its labels.
    pub labels: Labels,
    /// Its service account.
    pub account: Option<ServiceAccount>,
    /// Where it runs.
    pub locality: Locality,
    /// Its network.
    pub network: Option<NetworkId>,
    /// The node it runs on.
    pub node: Option<Arc<str>>,
    /// Container ports by name.
    pub ports: BTreeMap<PortName, Port>,
    /// True when the pod is ready (or says nothing about it).
    pub ready: bool,
    /// True when it runs on its node's network.
    pub host_network: bool,
}

/// All workloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadIndex {
    by_key: BTreeMap<WorkloadKey, Arc<Workload>>,
    by_ip: BTreeMap<IpAddr, Vec<Arc<Workload>>>,
}

impl WorkloadIndex {
    /// An index of these. Host-network pods are not found by address, since they share it; of
    /// several pods with one address the first by key is.
    #[must_use]
    pub fn new(by_key: BTreeMap<WorkloadKey, Arc<Workload>>) -> Self {
        let mut by_ip: BTreeMap<IpAddr, Vec<Arc<Workload>>> = BTreeMap::new();
        for workload in by_key.values().filter(|w| !w.host_network) {
            for ip in workload.ips.iter() {
                by_ip.entry(*ip).or_default().push(workload.clone());
            }
        }
        Self { by_key, by_ip }
    }

    /// The workload of this key.
    #[must_use]
    pub fn by_key(&self, key: &WorkloadKey) -> Option<&Arc<Workload>> {
        self.by_key.get(key)
    }

    /// The workload at this address.
    #[must_use]
    pub fn by_ip(&self, ip: &IpAddr) -> Option<&Arc<Workload>> {
        self.by_ip.get(ip)?.first()
    }

    /// The workload at this address in one namespace of one cluster.
    #[must_use]
    pub fn by_ip_in(
        &self,
        cluster: &ClusterId,
        namespace: &Namespace,
        ip: &IpAddr,
    ) -> Option<&Arc<Workload>> {
        let own = |w: &&Arc<Workload>| w.key.cluster == *cluster && w.key.namespace == *namespace;
        self.by_ip.get(ip)?.iter().find(own)
    }

    /// All, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.by_key.values()
    }
}
