//! The endpoints of one service: from EndpointSlices, else Endpoints, else (where there is a
//! selector and neither) from pods with an address; and from entries.

mod entry;

use crate::ingest::service::objects;
use crate::settings::Settings;
use crate::world::World;
use k8s_openapi::api::core::v1::{EndpointSubset, ServiceSpec};
use meltemi_api::Resource;
use meltemi_api::kubernetes::{EndpointSlice, SliceEndpoint};
use meltemi_model::endpoint::EndpointWorkload;
use meltemi_model::workload::WorkloadKey;
use meltemi_model::{
    Endpoint, EndpointAddress, Health, Service, ServiceEndpoints, TargetPort, TlsMode, Tunnel,
    Workload, WorkloadIndex,
};
use meltemi_types::{ClusterId, Labels, Locality, Namespace, ObjectRef, Port, PortName};
use std::collections::BTreeMap;
use std::sync::Arc;

const TLS_MODE: &str = "security.istio.io/tlsMode";
const PERSISTENT_SESSION: &str = "istio.io/persistent-session";

/// What the endpoints of one service are made from.
pub(crate) struct Input<'a> {
    pub(crate) service: &'a Service,
    pub(crate) world: &'a World,
    pub(crate) workloads: &'a WorkloadIndex,
    pub(crate) settings: &'a Settings,
}

type ByPort = BTreeMap<PortName, Vec<Endpoint>>;

/// The endpoints of a service; ports that did not change keep their `old` list.
pub(crate) fn of_service(input: &Input<'_>, old: Option<&ServiceEndpoints>) -> ServiceEndpoints {
    let mut found = ByPort::new();
    for object in objects(&input.service.key, input.world, input.settings) {
        of_object(input, object, &mut found);
        entry::selected(input, &object.meta.object.cluster, &mut found);
    }
    entry::of_entries(input, &mut found);
    let ports = found.into_iter().map(|(port, mut endpoints)| {
        endpoints.sort();
        endpoints.dedup();
        let old = old.and_then(|o| o.ports.get(&port));
        let list = match old {
            Some(old) if **old == *endpoints => old.clone(),
            Some(_) | None => Arc::from(endpoints),
        };
        (port, list)
    });
    ServiceEndpoints {
        ports: ports.collect(),
    }
}

fn of_object(input: &Input<'_>, object: &Resource<ServiceSpec>, found: &mut ByPort) {
    let key = &object.meta.object;
    if let Some(slices) = input.world.slices_of.get(key) {
        let slices = slices
            .keys()
            .filter_map(|name| input.world.slices.get(name));
        slices.for_each(|slice| from_slice(input, slice, found));
        return;
    }
    let same = ObjectRef {
        kind: "Endpoints".into(),
        ..ObjectRef::clone(key)
    };
    match input.world.endpoints.get(&same) {
        Some(endpoints) => {
            let subsets = endpoints.spec.subsets.iter().flatten();
            subsets.for_each(|subset| from_subset(input, &key.cluster, subset, found));
        }
        None => from_pods(input, &key.cluster, found),
    }
}

fn from_slice(input: &Input<'_>, slice: &Resource<EndpointSlice>, found: &mut ByPort) {
    if &*slice.spec.address_type == "FQDN" {
        return;
    }
    let cluster = &slice.meta.object.cluster;
    for endpoint in &slice.spec.endpoints {
        let Some(health) = slice_health(input.service, endpoint) else {
            continue;
        };
        for port in &slice.spec.ports {
            let number = port
                .port
                .and_then(|p| u32::try_from(p).ok())
                .and_then(Port::new);
            let (Some(number), Ok(name)) = (number, port.name.parse()) else {
                continue;
            };
            for address in &endpoint.addresses {
                let place = Place {
                    cluster,
                    address,
                    pod: endpoint.pod.as_deref(),
                    zone: endpoint.zone.as_deref(),
                };
                let made = made(input, &place, number, health);
                found
                    .entry(PortName::clone(&name))
                    .or_default()
                    .extend(made);
            }
        }
    }
}

/// Istio's reading of the conditions; `None` leaves the endpoint out.
fn slice_health(service: &Service, endpoint: &SliceEndpoint) -> Option<Health> {
    let ready = endpoint.ready.unwrap_or(true);
    let serving = endpoint.serving.unwrap_or(true);
    let drains = service.labels.value(PERSISTENT_SESSION).is_some();
    match (ready, endpoint.terminating) {
        (true, _) => Some(Health::Healthy),
        (false, Some(true) | None) if drains && serving => Some(Health::Draining),
        // Istio's quirk: a slice that says nothing about terminating counts as terminating.
        (false, Some(true) | None) => None,
        (false, Some(false)) => Some(Health::Unhealthy),
    }
}

fn from_subset(
    input: &Input<'_>,
    cluster: &ClusterId,
    subset: &EndpointSubset,
    found: &mut ByPort,
) {
    let ready = subset
        .addresses
        .iter()
        .flatten()
        .map(|a| (a, Health::Healthy));
    let waiting = subset
        .not_ready_addresses
        .iter()
        .flatten()
        .map(|a| (a, Health::Unhealthy));
    for (address, health) in ready.chain(waiting) {
        let pod = address.target_ref.as_ref().and_then(|r| r.name.as_deref());
        for port in subset.ports.iter().flatten() {
            let number = u32::try_from(port.port).ok().and_then(Port::new);
            let name = port.name.as_deref().unwrap_or_default().parse();
            let (Some(number), Ok(name)) = (number, name) else {
                continue;
            };
            let place = Place {
                cluster,
                address: &address.ip,
                pod,
                zone: None,
            };
            found
                .entry(PortName::clone(&name))
                .or_default()
                .extend(made(input, &place, number, health));
        }
    }
}

fn from_pods(input: &Input<'_>, cluster: &ClusterId, found: &mut ByPort) {
    let Some(selector) = &input.service.selector else {
        return;
    };
    let namespace = &input.service.key.namespace;
    for (pod, _) in input.world.pods_in(cluster, namespace) {
        let key = workload_key(cluster, namespace, pod);
        let Some(workload) = input.workloads.by_key(&key) else {
            continue;
        };
        if !selector.matches(&workload.labels) {
            continue;
        }
        let health = if workload.ready {
            Health::Healthy
        } else {
            Health::Unhealthy
        };
        for port in input.service.ports.iter() {
            let number = match &port.target {
                TargetPort::Same => Some(port.number),
                TargetPort::Number(number) => Some(*number),
                TargetPort::Named(name) => workload.ports.get(name).copied(),
            };
            let Some(number) = number else { continue };
            let endpoints = workload.ips.iter().map(|ip| {
                endpoint(
                    cluster,
                    EndpointAddress::Ip(*ip),
                    number,
                    health,
                    Some(workload),
                )
            });
            found
                .entry(port.name.clone())
                .or_default()
                .extend(endpoints);
        }
    }
}

fn workload_key(cluster: &ClusterId, namespace: &Namespace, pod: &ObjectRef) -> WorkloadKey {
    WorkloadKey {
        cluster: cluster.clone(),
        namespace: namespace.clone(),
        name: pod.name.clone(),
    }
}

/// Where an address was found.
struct Place<'a> {
    cluster: &'a ClusterId,
    address: &'a str,
    pod: Option<&'a str>,
    zone: Option<&'a str>,
}

fn made(input: &Input<'_>, place: &Place<'_>, port: Port, health: Health) -> Option<Endpoint> {
    let ip = place.address.parse().ok()?;
    let by_name = place.pod.and_then(|pod| {
        let key = WorkloadKey {
            cluster: place.cluster.clone(),
            namespace: input.service.key.namespace.clone(),
            name: pod.parse().ok()?,
        };
        input.workloads.by_key(&key)
    });
    // As Istio has it, pods of other namespaces are not behind a slice that names none.
    let namespace = &input.service.key.namespace;
    let by_address = || input.workloads.by_ip_in(place.cluster, namespace, &ip);
    let workload = by_name.or_else(by_address);
    let address = EndpointAddress::Ip(ip);
    let mut endpoint = endpoint(place.cluster, address, port, health, workload);
    if endpoint.locality.is_empty()
        && let Some(zone) = place.zone
    {
        endpoint.locality = Locality {
            zone: zone.into(),
            ..Locality::default()
        };
    }
    Some(endpoint)
}

#[expect(
    clippy::too_many_arguments,
    reason = "five facts that make one endpoint"
)]
fn endpoint(
    cluster: &ClusterId,
    address: EndpointAddress,
    port: Port,
    health: Health,
    workload: Option<&Arc<Workload>>,
) -> Endpoint {
    Endpoint {
        address,
        port: Some(port),
        health,
        weight: 1,
        locality: workload.map(|w| w.locality.clone()).unwrap_or_default(),
        network: workload.and_then(|w| w.network.clone()),
        cluster: cluster.clone(),
        tls: workload
            .and_then(|w| tls_mode(&w.labels))
            .unwrap_or_default(),
        tunnel: Tunnel::None,
        workload: Arc::new(workload.map(|w| facts(w)).unwrap_or_default()),
    }
}

/// What the labels of a workload say about TLS, if anything.
fn tls_mode(labels: &Labels) -> Option<TlsMode> {
    Some(match labels.value(TLS_MODE)? {
        "istio" => TlsMode::Istio,
        _ => TlsMode::Disabled,
    })
}

fn facts(workload: &Workload) -> EndpointWorkload {
    EndpointWorkload {
        name: workload.workload_name.clone(),
        namespace: Some(workload.key.namespace.clone()),
        labels: workload.labels.clone(),
        account: workload.account.clone(),
        node: workload.node.clone(),
        dns_name: workload.dns_name.clone(),
    }
}
