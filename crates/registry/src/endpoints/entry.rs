//! Endpoints that are no pods behind a Kubernetes Service: those that ServiceEntries list or
//! select, and WorkloadEntries that Kubernetes Services select.
//!
//! The port of an endpoint: its own number for the name of the service port, else the service's
//! target port. A DNS entry without endpoints has one: its host.

use super::{ByPort, Input, facts, tls_mode};
use crate::ingest::entry as read;
use crate::ingest::namespace;
use meltemi_api::Resource;
use meltemi_api::networking::service_entry::{Resolution, ServiceEntry, ServicePort};
use meltemi_api::networking::workload_entry::WorkloadEntry;
use meltemi_model::endpoint::EndpointWorkload;
use meltemi_model::workload::WorkloadKind;
use meltemi_model::{Endpoint, EndpointAddress, Health, TargetPort, TlsMode, Tunnel, Workload};
use meltemi_types::{ClusterId, Port, PortName};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What all ports of an endpoint share, and its ports by name.
struct Member {
    endpoint: Endpoint,
    ports: BTreeMap<PortName, Port>,
}

/// Adds what the ServiceEntries of a service list or select.
pub(super) fn of_entries(input: &Input<'_>, found: &mut ByPort) {
    for entry in input.world.entries(&input.service.key) {
        let members = members(input, entry);
        for port in &entry.spec.ports {
            let Ok(name) = port.name.parse::<PortName>() else {
                continue;
            };
            let Some(number) = target(port) else { continue };
            let endpoints = members.iter().map(|m| at_port(m, &name, number));
            found.entry(name.clone()).or_default().extend(endpoints);
        }
    }
}

/// Adds the WorkloadEntries that a Kubernetes Service of `cluster` selects.
pub(super) fn selected(input: &Input<'_>, cluster: &ClusterId, found: &mut ByPort) {
    let Some(selector) = &input.service.selector else {
        return;
    };
    let workloads = input.workloads.in_namespace(&input.service.key.namespace);
    let chosen = workloads.filter(|w| {
        w.kind != WorkloadKind::Pod && w.key.cluster == *cluster && selector.matches(&w.labels)
    });
    for workload in chosen {
        for member in of_workload(workload) {
            for port in input.service.ports.iter() {
                let number = match &port.target {
                    TargetPort::Same => Some(port.number),
                    TargetPort::Number(number) => Some(*number),
                    TargetPort::Named(name) => member.ports.get(name).copied(),
                };
                let own = member.ports.get(&port.name).copied();
                if let Some(number) = own.or(number) {
                    let endpoint = at_port(&member, &port.name, number);
                    found.entry(port.name.clone()).or_default().push(endpoint);
                }
            }
        }
    }
}

fn target(port: &ServicePort) -> Option<Port> {
    Port::new(port.target_port.unwrap_or(port.number))
}

fn at_port(member: &Member, name: &PortName, number: Port) -> Endpoint {
    let port = match member.endpoint.address {
        EndpointAddress::Pipe(_) => None,
        EndpointAddress::Ip(_) | EndpointAddress::Name(_) | EndpointAddress::Remote => {
            Some(member.ports.get(name).copied().unwrap_or(number))
        }
    };
    Endpoint {
        port,
        ..member.endpoint.clone()
    }
}

fn members(input: &Input<'_>, entry: &Resource<ServiceEntry>) -> Vec<Member> {
    let spec = &entry.spec;
    if let Some(selector) = &spec.workload_selector {
        let selector = read::selector(&selector.labels);
        let workloads = input.workloads.in_namespace(&input.service.key.namespace);
        return workloads
            .filter(|w| !selector.is_empty() && selector.matches(&w.labels))
            .flat_map(|w| of_workload(w))
            .collect();
    }
    let resolved = matches!(
        spec.resolution,
        Some(Resolution::Dns | Resolution::DnsRoundRobin)
    );
    if spec.endpoints.is_empty() && resolved {
        let host = WorkloadEntry {
            address: Some(input.service.key.host.to_string()),
            ..WorkloadEntry::default()
        };
        return vec![listed(entry, &host)];
    }
    spec.endpoints.iter().map(|e| listed(entry, e)).collect()
}

/// An endpoint that is written in the entry itself.
fn listed(entry: &Resource<ServiceEntry>, endpoint: &WorkloadEntry) -> Member {
    let labels = read::spec_labels(endpoint);
    let account = read::account(endpoint);
    Member {
        endpoint: Endpoint {
            address: read::endpoint_address(endpoint),
            port: None,
            health: Health::Healthy,
            weight: read::weight(endpoint),
            locality: read::locality(endpoint, &labels),
            network: read::network(endpoint, &labels),
            cluster: entry.meta.object.cluster.clone(),
            tls: tls_mode(&labels).unwrap_or(match account {
                Some(_) => TlsMode::Istio,
                None => TlsMode::Disabled,
            }),
            tunnel: Tunnel::None,
            workload: Arc::new(EndpointWorkload {
                name: Arc::default(),
                namespace: Some(namespace(&entry.meta)),
                labels,
                account,
                node: None,
                dns_name: None,
            }),
        },
        ports: read::named_ports(endpoint),
    }
}

/// A workload as an endpoint, once per address.
fn of_workload(workload: &Workload) -> Vec<Member> {
    let (addresses, weight): (Vec<EndpointAddress>, u32) = match &workload.kind {
        WorkloadKind::Pod => {
            let ips = workload.ips.iter().copied();
            (ips.map(EndpointAddress::Ip).collect(), 1)
        }
        WorkloadKind::Entry { address, weight } => (vec![address.clone()], *weight),
    };
    let machine = workload.kind != WorkloadKind::Pod && workload.account.is_some();
    let unsaid = match machine {
        true => TlsMode::Istio,
        false => TlsMode::Disabled,
    };
    let facts = Arc::new(facts(workload));
    let member = |address| Member {
        endpoint: Endpoint {
            address,
            port: None,
            health: match workload.ready {
                true => Health::Healthy,
                false => Health::Unhealthy,
            },
            weight,
            locality: workload.locality.clone(),
            network: workload.network.clone(),
            cluster: workload.key.cluster.clone(),
            tls: tls_mode(&workload.labels).unwrap_or(unsaid),
            tunnel: Tunnel::None,
            workload: facts.clone(),
        },
        ports: BTreeMap::clone(&workload.ports),
    };
    addresses.into_iter().map(member).collect()
}
