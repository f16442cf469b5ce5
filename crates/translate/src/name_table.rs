//! NDS: the table from which the agent beside a proxy answers DNS questions itself.
//!
//! One resource that holds every service in scope that has an address. The surprises: allocated
//! addresses count, so names of ServiceEntries resolve to them; a headless service resolves to its
//! pods of the proxy's own cluster and network, each of which has a name of its own.

use crate::name;
use crate::plan::{Built, Planned};
use crate::view::View;
use meltemi_model::{DnsCapture, Endpoint, EndpointAddress, Health, Service};
use meltemi_proto::istio::networking::nds::v1 as nds;
use meltemi_types::{ClusterId, Origin, ProxyKind};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Everything the table depends on: its rows, by host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NameTableInput {
    rows: BTreeMap<Arc<str>, Row>,
}

/// What is known of one host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Row {
    ips: Vec<IpAddr>,
    /// True when Kubernetes knows the host, and not a ServiceEntry.
    kubernetes: bool,
    /// Name and namespace, from which the agent makes the short forms.
    short: Option<(Arc<str>, Arc<str>)>,
}

/// Lists the table of a class; only proxies whose agent answers DNS questions have one.
#[must_use]
pub fn plan(view: &View<'_>) -> Planned<NameTableInput> {
    let mut planned = Planned::default();
    if view.key.dns == DnsCapture::Off || view.key.kind != ProxyKind::Sidecar {
        return planned;
    }
    let mut input = NameTableInput::default();
    for service in view.by_host.values() {
        add(view, service, &mut input.rows);
    }
    let sidecar = view.scope.sidecar.iter().map(|s| s.origin.clone());
    let origins: Vec<Origin> = sidecar.collect();
    planned.push(name::NAME_TABLE, input, origins);
    planned
}

fn add(view: &View<'_>, service: &Service, rows: &mut BTreeMap<Arc<str>, Row>) {
    let mut ips = view.named(service);
    if ips.is_empty() && service.is_passthrough() && service.cidrs.is_empty() {
        ips = pods(view, service, rows);
    }
    if ips.is_empty() {
        return;
    }
    let short = service.kubernetes.then(|| {
        let namespace = service.key.namespace.shared();
        (service.name.clone(), namespace)
    });
    let row = Row {
        ips,
        kubernetes: service.kubernetes,
        short,
    };
    rows.insert(service.key.host.shared(), row);
}

/// The addresses of a headless service's endpoints; each pod with a name gets a row.
fn pods(view: &View<'_>, service: &Service, rows: &mut BTreeMap<Arc<str>, Row>) -> Vec<IpAddr> {
    let Some(port) = service.ports.first() else {
        return Vec::new();
    };
    let network = view.key.network.as_ref();
    let near = |e: &&Endpoint| {
        let ready = e.health == Health::Healthy || service.publish_not_ready;
        let reached = network.is_none() || e.network.is_none() || e.network.as_ref() == network;
        ready && reached
    };
    let mut ips = Vec::new();
    for endpoint in view.endpoints(service, &port.name).iter().filter(near) {
        let EndpointAddress::Ip(ip) = endpoint.address else {
            continue;
        };
        let own = own_cluster(view, &endpoint.cluster);
        if let Some((host, row)) = pod(service, endpoint, ip)
            && (own || !rows.contains_key(&host))
        {
            rows.insert(host, row);
        }
        if own && !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    ips
}

fn own_cluster(view: &View<'_>, cluster: &ClusterId) -> bool {
    view.key.cluster == *cluster
}

/// `POD.SUBDOMAIN` and the domain of the service.
fn pod(service: &Service, endpoint: &Endpoint, ip: IpAddr) -> Option<(Arc<str>, Row)> {
    let short = endpoint.workload.dns_name.clone()?;
    let (_, domain) = service.key.host.as_str().split_once('.')?;
    let row = Row {
        ips: vec![ip],
        kubernetes: service.kubernetes,
        short: Some((short.clone(), service.key.namespace.shared())),
    };
    Some((format!("{short}.{domain}").into(), row))
}

/// Makes the table.
#[must_use]
pub fn build(input: &NameTableInput) -> Built<nds::NameTable> {
    let info = |row: &Row| {
        let registry = match row.kubernetes {
            true => "Kubernetes",
            false => "External",
        };
        let (shortname, namespace) = row.short.clone().unwrap_or_default();
        nds::name_table::NameInfo {
            ips: row.ips.iter().map(ToString::to_string).collect(),
            registry: registry.into(),
            shortname: shortname.to_string(),
            namespace: namespace.to_string(),
        }
    };
    let table = input.rows.iter();
    let message = nds::NameTable {
        table: table
            .map(|(host, row)| (host.to_string(), info(row)))
            .collect(),
        name_info: None,
    };
    message.into()
}
