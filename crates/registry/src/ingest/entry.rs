//! ServiceEntries as services, and WorkloadEntries as workloads.
//!
//! Entries of one namespace that declare the same host are one service: the oldest decides, the
//! others add ports and addresses. A Kubernetes Service of that host comes before all of them.

use super::workload::{NETWORK, labelled_locality};
use super::{age, namespace};
use ipnet::IpNet;
use meltemi_api::Resource;
use meltemi_api::networking::service_entry as api;
use meltemi_api::networking::service_entry::ServiceEntry;
use meltemi_api::networking::workload_entry::WorkloadEntry;
use meltemi_model::workload::{Workload, WorkloadKey, WorkloadKind};
use meltemi_model::{
    EndpointAddress, ExportTo, Mesh, Resolution, Service, ServiceKey, ServicePort, TargetPort,
};
use meltemi_types::{ClusterId, Labels, Locality, NetworkId, Port, PortName, Protocol, Selector};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

const HEALTH_CHECKS: &str = "proxy.istio.io/health-checks-enabled";
const GROUP: &str = "istio.io/autoRegistrationGroup";
const UNIX: &str = "unix://";
/// Labels that name a workload, the first one counts.
const NAMES: [&str; 3] = [
    "service.istio.io/canonical-name",
    "app.kubernetes.io/name",
    "app",
];

/// The services that an entry declares.
pub(crate) fn keys(entry: &Resource<ServiceEntry>) -> impl Iterator<Item = ServiceKey> {
    let namespace = namespace(&entry.meta);
    entry.spec.hosts.iter().filter_map(move |host| {
        Some(ServiceKey {
            host: host.to_ascii_lowercase().parse().ok()?,
            namespace: namespace.clone(),
        })
    })
}

/// The service that entries, oldest first, declare together; `None` when there are none.
/// `allocated` are the addresses for the case that they have none.
pub(crate) fn service(
    key: &ServiceKey,
    entries: &[&Arc<Resource<ServiceEntry>>],
    allocated: Arc<[IpAddr]>,
    mesh: &Mesh,
) -> Option<Service> {
    let first = *entries.first()?;
    let ServiceEntry {
        hosts: _,
        addresses: _,
        ports: _,
        location,
        resolution,
        endpoints: _,
        workload_selector,
        export_to,
        subject_alt_names: _,
    } = &first.spec;
    let (addresses, cidrs) = addresses(entries);
    let names = entries.iter().flat_map(|e| &e.spec.subject_alt_names);
    Some(Service {
        key: key.clone(),
        name: key.host.shared(),
        origin: first.origin(),
        age: age(&first.meta),
        addresses,
        cidrs,
        allocated,
        ports: ports(entries).into(),
        resolution: self::resolution(resolution.unwrap_or_default()),
        external: location.unwrap_or_default() == api::Location::MeshExternal,
        kubernetes: false,
        export_to: ExportTo::read(
            export_to.iter().map(String::as_str),
            &key.namespace,
            &super::service::default_export_to(&key.namespace, mesh),
        ),
        selector: workload_selector.as_ref().map(|s| selector(&s.labels)),
        labels: first.meta.labels.clone(),
        accounts: BTreeSet::new(),
        subject_alt_names: names.map(|name| Arc::from(name.as_str())).collect(),
        node_local: false,
        publish_not_ready: false,
        traffic_distribution: first
            .meta
            .annotation(super::service::DISTRIBUTION)
            .map(Arc::from),
    })
}

/// The selector of a ServiceEntry.
pub(crate) fn selector(labels: &BTreeMap<String, String>) -> Selector {
    let labels = labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    Selector::new(labels.collect())
}

fn resolution(resolution: api::Resolution) -> Resolution {
    match resolution {
        api::Resolution::None => Resolution::Passthrough,
        api::Resolution::Static => Resolution::Endpoints,
        api::Resolution::Dns => Resolution::Dns,
        api::Resolution::DnsRoundRobin => Resolution::DnsRoundRobin,
        api::Resolution::DynamicDns => Resolution::DynamicDns,
    }
}

type Addresses = (BTreeMap<ClusterId, Arc<[IpAddr]>>, Arc<[IpNet]>);

/// Single addresses by cluster, and ranges, each once, in the order they are written in.
fn addresses(entries: &[&Arc<Resource<ServiceEntry>>]) -> Addresses {
    let mut single: BTreeMap<ClusterId, Vec<IpAddr>> = BTreeMap::new();
    let mut ranges: Vec<IpNet> = Vec::new();
    for entry in entries {
        for text in &entry.spec.addresses {
            match address(text) {
                Some(net) if net.prefix_len() == net.max_prefix_len() => {
                    let own = entry.meta.object.cluster.clone();
                    let list = single.entry(own).or_default();
                    if !list.contains(&net.addr()) {
                        list.push(net.addr());
                    }
                }
                Some(net) if !ranges.contains(&net) => ranges.push(net),
                Some(_) | None => {}
            }
        }
    }
    let single = single
        .into_iter()
        .map(|(cluster, list)| (cluster, list.into()));
    (single.collect(), ranges.into())
}

/// A range without the bits that its length makes meaningless.
fn address(text: &str) -> Option<IpNet> {
    let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse()
        .ok()
        .map(|net: IpNet| net.trunc())
        .or_else(single)
}

/// The ports of all entries, by number; the oldest entry's come first.
fn ports(entries: &[&Arc<Resource<ServiceEntry>>]) -> Vec<ServicePort> {
    let mut ports: BTreeMap<Port, ServicePort> = BTreeMap::new();
    for port in entries.iter().flat_map(|entry| &entry.spec.ports) {
        if let Some(port) = service_port(port) {
            ports.entry(port.number).or_insert(port);
        }
    }
    ports.into_values().collect()
}

fn service_port(port: &api::ServicePort) -> Option<ServicePort> {
    let api::ServicePort {
        number,
        protocol,
        name,
        target_port,
    } = port;
    let number = Port::new(*number)?;
    let protocol = protocol.as_deref().and_then(Protocol::by_name);
    Some(ServicePort {
        number,
        name: name.parse().ok()?,
        protocol: protocol.unwrap_or(Protocol::Auto),
        target: target_port
            .and_then(Port::new)
            .map_or(TargetPort::Same, TargetPort::Number),
    })
}

/// A WorkloadEntry as a workload. The labels of the object come before those of its spec.
pub(crate) fn workload(entry: &Resource<WorkloadEntry>) -> Workload {
    let labels = spec_labels(&entry.spec);
    let own = entry.meta.labels.iter();
    let labels: Labels = labels.iter().chain(own).collect();
    let address = endpoint_address(&entry.spec);
    let object = &entry.meta.object;
    Workload {
        key: WorkloadKey {
            cluster: object.cluster.clone(),
            namespace: namespace(&entry.meta),
            name: object.name.clone(),
        },
        workload_name: workload_name(entry, &labels),
        ips: match &address {
            EndpointAddress::Ip(ip) => [*ip].into(),
            EndpointAddress::Name(_) | EndpointAddress::Pipe(_) | EndpointAddress::Remote => {
                Arc::from([])
            }
        },
        account: account(&entry.spec),
        locality: locality(&entry.spec, &labels),
        network: network(&entry.spec, &labels),
        node: None,
        dns_name: None,
        ports: Arc::new(named_ports(&entry.spec)),
        ready: is_ready(entry),
        host_network: false,
        kind: WorkloadKind::Entry {
            address,
            weight: weight(&entry.spec),
        },
        labels,
    }
}

/// The group that it registered for, else what its labels say, else its own name.
fn workload_name(entry: &Resource<WorkloadEntry>, labels: &Labels) -> Arc<str> {
    let group = entry
        .meta
        .annotation(GROUP)
        .filter(|group| !group.is_empty());
    let label = || NAMES.iter().find_map(|key| labels.value(key));
    group.or_else(label).unwrap_or(entry.meta.name()).into()
}

/// With health checks, it is ready once one succeeded.
fn is_ready(entry: &Resource<WorkloadEntry>) -> bool {
    let checked = entry.meta.annotation(HEALTH_CHECKS) == Some("true");
    let healthy = || entry.status.as_ref()?.condition("Healthy");
    !checked || healthy() == Some(true)
}

/// The labels of the spec alone.
pub(crate) fn spec_labels(entry: &WorkloadEntry) -> Labels {
    let labels = entry.labels.iter();
    labels.map(|(k, v)| (k.as_str(), v.as_str())).collect()
}

/// Where an endpoint is.
pub(crate) fn endpoint_address(entry: &WorkloadEntry) -> EndpointAddress {
    let text = entry.address.as_deref().unwrap_or_default();
    if let Some(path) = text.strip_prefix(UNIX) {
        return EndpointAddress::Pipe(path.into());
    }
    match text.parse() {
        Ok(ip) => EndpointAddress::Ip(ip),
        Err(_) if text.is_empty() => EndpointAddress::Remote,
        Err(_) => EndpointAddress::Name(text.into()),
    }
}

/// Where it runs: as it says, else as its labels say.
pub(crate) fn locality(entry: &WorkloadEntry, labels: &Labels) -> Locality {
    let own = entry.locality.as_deref().filter(|text| !text.is_empty());
    own.map(Locality::parse)
        .or_else(|| labelled_locality(labels))
        .unwrap_or_default()
}

/// Its network: as it says, else as its labels say.
pub(crate) fn network(entry: &WorkloadEntry, labels: &Labels) -> Option<NetworkId> {
    let own = entry.network.as_deref().filter(|text| !text.is_empty());
    own.or_else(|| labels.value(NETWORK))?.parse().ok()
}

/// Its service account.
pub(crate) fn account(entry: &WorkloadEntry) -> Option<meltemi_types::ServiceAccount> {
    entry.service_account.as_deref()?.parse().ok()
}

/// Its ports by the names of service ports.
pub(crate) fn named_ports(entry: &WorkloadEntry) -> BTreeMap<PortName, Port> {
    let ports = entry.ports.iter();
    ports
        .filter_map(|(name, number)| Some((name.parse().ok()?, Port::new(*number)?)))
        .collect()
}

/// Its share of the traffic.
pub(crate) fn weight(entry: &WorkloadEntry) -> u32 {
    entry.weight.unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_range_is_a_single_address_and_others_lose_their_host_bits() {
        let text = |text: &str| address(text).map(|net| net.to_string());
        assert_eq!(text("10.0.0.1").as_deref(), Some("10.0.0.1/32"));
        assert_eq!(text("10.0.0.1/32").as_deref(), Some("10.0.0.1/32"));
        assert_eq!(text("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(text("fd00::1/64").as_deref(), Some("fd00::/64"));
        assert_eq!(text("host"), None);
    }

    #[test]
    fn addresses_are_told_apart_by_form() {
        let of = |text: &str| {
            endpoint_address(&WorkloadEntry {
                address: Some(text.into()),
                ..WorkloadEntry::default()
            })
        };
        assert_eq!(of("unix:///run/a"), EndpointAddress::Pipe("/run/a".into()));
        assert_eq!(of("unix://@a"), EndpointAddress::Pipe("@a".into()));
        assert_eq!(of("a.com"), EndpointAddress::Name("a.com".into()));
        assert_eq!(of(""), EndpointAddress::Remote);
    }
}
