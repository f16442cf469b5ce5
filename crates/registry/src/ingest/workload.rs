//! Workloads: pods that have an address and are not finished, and WorkloadEntries.
//!
//! Of pods, locality: the pod's label `istio-locality`, else region and zone of its node. Network: the
//! pod's label `topology.istio.io/network`, else its namespace's.

use crate::world::World;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use meltemi_api::Resource;
use meltemi_model::workload::{Workload, WorkloadIndex, WorkloadKey, WorkloadKind};
use meltemi_types::{ClusterId, Labels, Locality, NetworkId, ObjectRef, Port, PortName};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) const NETWORK: &str = "topology.istio.io/network";

/// All workloads.
pub(crate) fn index(world: &World) -> WorkloadIndex {
    let keyed = |workload: Workload| (workload.key.clone(), Arc::new(workload));
    let pods = world.pods.values().filter_map(|pod| workload(world, pod));
    let entries = world
        .workload_entries
        .values()
        .map(|w| super::entry::workload(w));
    WorkloadIndex::new(pods.map(keyed).collect(), entries.map(keyed).collect())
}

fn workload(world: &World, pod: &Resource<Pod>) -> Option<Workload> {
    let spec = pod.spec.spec.as_ref();
    let status = pod.spec.status.as_ref()?;
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let ips = addresses(status);
    let object = &pod.meta.object;
    (!ips.is_empty()).then(|| Workload {
        key: WorkloadKey {
            cluster: object.cluster.clone(),
            namespace: super::namespace(&pod.meta),
            name: object.name.clone(),
        },
        kind: WorkloadKind::Pod,
        workload_name: owner_name(pod),
        ips: ips.into(),
        labels: pod.meta.labels.clone(),
        account: spec.and_then(|s| s.service_account_name.as_deref()?.parse().ok()),
        locality: locality(world, pod),
        network: network(world, pod),
        node: spec.and_then(|s| s.node_name.as_deref().map(Arc::from)),
        dns_name: dns_name(pod),
        ports: container_ports(pod),
        ready: is_ready(status),
        host_network: spec.and_then(|s| s.host_network).unwrap_or(false),
    })
}

fn addresses(status: &PodStatus) -> Vec<IpAddr> {
    let list = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
    let mut ips: Vec<IpAddr> = status
        .pod_ip
        .as_deref()
        .into_iter()
        .chain(list)
        .filter_map(|ip| ip.parse().ok())
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    ips.retain(|ip| seen.insert(*ip));
    ips
}

/// A pod that says nothing about readiness is ready: directories rarely have conditions.
fn is_ready(status: &PodStatus) -> bool {
    let mut conditions = status.conditions.iter().flatten();
    conditions
        .find(|c| c.type_ == "Ready")
        .is_none_or(|c| c.status == "True")
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
    let spec = pod.spec.spec.as_ref()?;
    let subdomain = spec.subdomain.as_deref().filter(|text| !text.is_empty())?;
    let host = spec.hostname.as_deref().filter(|text| !text.is_empty());
    let host = host.unwrap_or(pod.meta.object.name.as_str());
    Some(format!("{host}.{subdomain}").into())
}

fn container_ports(pod: &Resource<Pod>) -> BTreeMap<PortName, Port> {
    let containers = pod.spec.spec.iter().flat_map(|s| s.containers.iter());
    let ports = containers.flat_map(|c| c.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = u32::try_from(port.container_port)
                .ok()
                .and_then(Port::new)?;
            Some((port.name.as_deref()?.parse().ok()?, number))
        })
        .collect()
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

fn locality(world: &World, pod: &Resource<Pod>) -> Locality {
    if let Some(label) = labelled_locality(&pod.meta.labels) {
        return label;
    }
    let node = pod.spec.spec.as_ref().and_then(|s| s.node_name.as_deref());
    node.and_then(|node| cluster_object(&pod.meta.object.cluster, "Node", node))
        .and_then(|key| world.nodes.get(&key))
        .map(|node| {
            let label = |key| Arc::from(node.meta.labels.value(key).unwrap_or_default());
            Locality {
                region: label("topology.kubernetes.io/region"),
                zone: label("topology.kubernetes.io/zone"),
                subzone: label("topology.istio.io/subzone"),
            }
        })
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
