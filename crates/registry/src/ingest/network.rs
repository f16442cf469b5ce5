//! Gateways between networks: Services with the label `topology.istio.io/network`.
//!
//! Their address is what a load balancer gave them, or `externalIPs`; for node ports, the external
//! addresses of the nodes that an annotation selects. Load balancers with a DNS name only are left
//! out: nobody resolves it here.

use super::workload::NETWORK;
use crate::world::World;
use k8s_openapi::api::core::v1::ServiceSpec;
use meltemi_api::Resource;
use meltemi_model::network::{NetworkGateway, NetworkIndex};
use meltemi_types::{NetworkId, Port};
use std::collections::BTreeMap;
use std::net::IpAddr;

const PORT: &str = "networking.istio.io/gatewayPort";
const NODES: &str = "traffic.istio.io/nodeSelector";
/// Where gateways between networks listen unless they say otherwise.
const DEFAULT_PORT: u32 = 15443;

/// All gateways.
pub(crate) fn index(world: &World) -> NetworkIndex {
    let mut found: BTreeMap<NetworkId, Vec<NetworkGateway>> = BTreeMap::new();
    for service in world.services.values() {
        let network = service.meta.labels.value(NETWORK);
        if let Some(network) = network.and_then(|n| n.parse().ok()) {
            let own: &mut Vec<_> = found.entry(network).or_default();
            own.extend(gateways(world, service));
        }
    }
    NetworkIndex::new(found)
}

fn gateways(world: &World, service: &Resource<ServiceSpec>) -> Vec<NetworkGateway> {
    let label = service.meta.labels.value(PORT);
    let number = label.map_or(Some(DEFAULT_PORT), |text| text.parse().ok());
    let by_nodes = service.meta.annotation(NODES);
    let (addresses, port) = match by_nodes {
        Some(selector) => (nodes(world, service, selector), node_port(service, number)),
        None => (balanced(service), number.and_then(Port::new)),
    };
    let Some(port) = port else { return Vec::new() };
    let gateway = |address| NetworkGateway {
        cluster: service.meta.object.cluster.clone(),
        address,
        port,
    };
    addresses.into_iter().map(gateway).collect()
}

/// What load balancers gave it, and its `externalIPs`.
fn balanced(service: &Resource<ServiceSpec>) -> Vec<IpAddr> {
    let status = service.status.iter();
    let given = status.flat_map(|s| s.load_balancer.iter().flat_map(|lb| &lb.ingress));
    let given = given.filter_map(|ingress| ingress.ip.as_deref());
    let written = service.spec.external_ips.iter().flatten();
    let all = given.chain(written.map(String::as_str));
    all.filter_map(|text| text.parse().ok()).collect()
}

/// The external addresses of the nodes that carry the labels of a JSON object.
fn nodes(world: &World, service: &Resource<ServiceSpec>, selector: &str) -> Vec<IpAddr> {
    let Ok(labels) = serde_json::from_str::<BTreeMap<String, String>>(selector) else {
        return Vec::new();
    };
    let cluster = &service.meta.object.cluster;
    let chosen = world.nodes.values().filter(|node| {
        let carries = |(key, value): (&String, &String)| node.meta.labels.value(key) == Some(value);
        node.meta.object.cluster == *cluster && labels.iter().all(carries)
    });
    let addresses = chosen.flat_map(|node| {
        let status = node.spec.status.iter();
        status.flat_map(|s| s.addresses.iter().flatten())
    });
    addresses
        .filter(|address| address.type_ == "ExternalIP")
        .filter_map(|address| address.address.parse().ok())
        .collect()
}

fn node_port(service: &Resource<ServiceSpec>, number: Option<u32>) -> Option<Port> {
    let wanted = i32::try_from(number?).ok()?;
    let ports = service.spec.ports.iter().flatten();
    let node = ports.into_iter().find(|p| p.port == wanted)?.node_port?;
    Port::new(u32::try_from(node).ok()?)
}
