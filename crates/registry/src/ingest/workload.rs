//! Workloads: pods that have an address and are not finished, and WorkloadEntries.
//!
//! Of pods, locality: the pod's label `istio-locality`, else region and zone of its node. Network: the
//! pod's label `topology.istio.io/network`, else its namespace's.

use crate::world::World;
use k8s_openapi::api::core::v1::Node;
use meltemi_api::Resource;
use meltemi_api::kubernetes::Pod;
use meltemi_model::workload::{Workload, WorkloadIndex, WorkloadKey, WorkloadKind};
use meltemi_types::{ClusterId, Labels, Locality, NetworkId, ObjectRef};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const NETWORK: &str = "topology.istio.io/network";

/// All workloads.
pub(crate) fn index(world: &World) -> WorkloadIndex {
    let keyed = |workload: Workload| (workload.key.clone(), Arc::new(workload));
    let nodes = localities(world);
    let pods = world.pods.values();
    let pods = pods.filter_map(|pod| workload(world, pod, &nodes));
    let entries = world
        .workload_entries
        .values()
        .map(|w| super::entry::workload(w));
    WorkloadIndex::new(pods.map(keyed).collect(), entries.map(keyed).collect())
}

fn workload(world: &World, pod: &Resource<Pod>, nodes: &Localities<'_>) -> Option<Workload> {
    let Pod {
        node,
        account,
        host_network,
        hostname: _,  // in the DNS name
        subdomain: _, // in the DNS name
        ports,
        ips,
        finished,
        ready,
    } = &pod.spec;
    let object = &pod.meta.object;
    (!finished && !ips.is_empty()).then(|| Workload {
        key: WorkloadKey {
            cluster: object.cluster.clone(),
            namespace: super::namespace(&pod.meta),
            name: object.name.clone(),
        },
        kind: WorkloadKind::Pod,
        workload_name: owner_name(pod),
        ips: ips.clone(),
        labels: pod.meta.labels.clone(),
        account: account.clone(),
        locality: locality(nodes, pod),
        network: network(world, pod),
        node: node.clone(),
        dns_name: dns_name(pod),
        ports: ports.clone(),
        ready: *ready,
        host_network: *host_network,
    })
}

/// The Deployment's name: the pod's without the ReplicaSet's hash and its own suffix.
fn owner_name(pod: &Resource<Pod>) -> Arc<str> {
    let name = pod.meta.object.name.as_str();
    let hash = pod.meta.labels.value("pod-template-hash");
    let owner = hash.and_then(|hash| {
        let (front, _) = name.rsplit_once('-')?;
        front.strip_suffix(hash)?.strip_suffix('-')
    });
    owner.unwrap_or(name).into()
}

/// The host name, by default the pod's own, before the subdomain.
fn dns_name(pod: &Resource<Pod>) -> Option<Arc<str>> {
    let subdomain = pod.spec.subdomain.as_deref()?;
    let host = pod.spec.hostname.as_deref();
    let host = host.unwrap_or(pod.meta.object.name.as_str());
    Some(format!("{host}.{subdomain}").into())
}

/// The locality that a label says; `.` separates where there is no `/`.
pub(crate) fn labelled_locality(labels: &Labels) -> Option<Locality> {
    let label = labels.value("istio-locality")?;
    let text = match label.contains('/') {
        true => label.to_owned(),
        false => label.replace('.', "/"),
    };
    Some(Locality::parse(&text))
}

/// Where each node is, by cluster and name.
type Localities<'a> = BTreeMap<(&'a ClusterId, &'a str), Locality>;

/// One locality for all pods of a node, so that they share its texts.
fn localities(world: &World) -> Localities<'_> {
    let located = |node: &'_ Arc<Resource<Node>>| {
        let label = |key| Arc::from(node.meta.labels.value(key).unwrap_or_default());
        Locality {
            region: label("topology.kubernetes.io/region"),
            zone: label("topology.kubernetes.io/zone"),
            subzone: label("topology.istio.io/subzone"),
        }
    };
    let nodes = world.nodes.iter();
    nodes
        .map(|(key, node)| ((&key.cluster, key.name.as_str()), located(node)))
        .collect()
}

fn locality(nodes: &Localities<'_>, pod: &Resource<Pod>) -> Locality {
    if let Some(label) = labelled_locality(&pod.meta.labels) {
        return label;
    }
    let node = pod.spec.node.as_deref();
    node.and_then(|node| nodes.get(&(&pod.meta.object.cluster, node)))
        .cloned()
        .unwrap_or_default()
}

fn network(world: &World, pod: &Resource<Pod>) -> Option<NetworkId> {
    let own = pod.meta.labels.value(NETWORK);
    let namespace = super::namespace(&pod.meta);
    let key = cluster_object(&pod.meta.object.cluster, "Namespace", namespace.as_str());
    let wide = key.and_then(|key| world.namespaces.get(&key)?.meta.labels.value(NETWORK));
    own.or(wide).and_then(|n| n.parse().ok())
}

fn cluster_object(cluster: &ClusterId, kind: &str, name: &str) -> Option<ObjectRef> {
    let name = name.parse().ok()?;
    Some(ObjectRef {
        cluster: cluster.clone(),
        kind: kind.into(),
        namespace: None,
        name,
    })
}
