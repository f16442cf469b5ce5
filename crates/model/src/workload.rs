//! Workloads: the pods and WorkloadEntries that services select and proxies run in.

use crate::endpoint::EndpointAddress;
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
    /// The object's name.
    pub name: ObjectName,
}

/// What a workload is to its platform.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WorkloadKind {
    /// A pod.
    Pod,
    /// A WorkloadEntry: a machine, for example.
    Entry {
        /// Where it is; need not be an IP address.
        address: EndpointAddress,
        /// Its share of the traffic, from 1.
        weight: u32,
    },
}

/// A pod or WorkloadEntry, as far as the mesh cares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Cluster, namespace, name.
    pub key: WorkloadKey,
    /// Pod or entry.
    pub kind: WorkloadKind,
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
    /// `HOST.SUBDOMAIN` of a pod with a subdomain.
    pub dns_name: Option<Arc<str>>,
    /// Container ports by name; of entries, ports by the name of the service port.
    pub ports: Arc<BTreeMap<PortName, Port>>,
    /// True when it is ready (or says nothing about it).
    pub ready: bool,
    /// True when it runs on its node's network.
    pub host_network: bool,
}

/// All workloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadIndex {
    pods: BTreeMap<WorkloadKey, Arc<Workload>>,
    entries: BTreeMap<WorkloadKey, Arc<Workload>>,
    by_ip: BTreeMap<IpAddr, Vec<Arc<Workload>>>,
    by_namespace: BTreeMap<Namespace, Vec<Arc<Workload>>>,
}

impl WorkloadIndex {
    /// An index of these. Host-network pods are not found by address, since they share it; of
    /// several workloads with one address the first by key is, pods before entries.
    #[must_use]
    pub fn new(
        pods: BTreeMap<WorkloadKey, Arc<Workload>>,
        entries: BTreeMap<WorkloadKey, Arc<Workload>>,
    ) -> Self {
        let mut by_ip: BTreeMap<IpAddr, Vec<Arc<Workload>>> = BTreeMap::new();
        let mut by_namespace: BTreeMap<Namespace, Vec<Arc<Workload>>> = BTreeMap::new();
        for workload in pods.values().chain(entries.values()) {
            let own = by_namespace.entry(workload.key.namespace.clone());
            own.or_default().push(workload.clone());
            for ip in workload.ips.iter().filter(|_| !workload.host_network) {
                by_ip.entry(*ip).or_default().push(workload.clone());
            }
        }
        Self {
            pods,
            entries,
            by_ip,
            by_namespace,
        }
    }

    /// The pod of this key.
    #[must_use]
    pub fn by_key(&self, key: &WorkloadKey) -> Option<&Arc<Workload>> {
        self.pods.get(key)
    }

    /// The WorkloadEntry of this key.
    #[must_use]
    pub fn entry(&self, key: &WorkloadKey) -> Option<&Arc<Workload>> {
        self.entries.get(key)
    }

    /// The workload at this address.
    #[must_use]
    pub fn by_ip(&self, ip: &IpAddr) -> Option<&Arc<Workload>> {
        self.by_ip.get(ip)?.first()
    }

    /// The pod at this address in one namespace of one cluster.
    #[must_use]
    pub fn by_ip_in(
        &self,
        cluster: &ClusterId,
        namespace: &Namespace,
        ip: &IpAddr,
    ) -> Option<&Arc<Workload>> {
        let own = |w: &&Arc<Workload>| {
            w.kind == WorkloadKind::Pod
                && w.key.cluster == *cluster
                && w.key.namespace == *namespace
        };
        self.by_ip.get(ip)?.iter().find(own)
    }

    /// The workloads of a namespace in every cluster: pods, then entries, each sorted by key.
    pub fn in_namespace(&self, namespace: &Namespace) -> impl Iterator<Item = &Arc<Workload>> {
        self.by_namespace.get(namespace).into_iter().flatten()
    }

    /// All: pods, then entries, each sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.pods.values().chain(self.entries.values())
    }
}
