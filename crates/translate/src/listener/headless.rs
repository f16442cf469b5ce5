//! Headless services: no virtual address, so TCP ports need a listener for each pod.
//!
//! HTTP ports do not: their requests are told apart by host on the shared listener.

use meltemi_model::{EndpointAddress, Service, Snapshot};
use meltemi_types::Protocol;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// True when the ports of a service that are not HTTP get one listener for each endpoint.
pub(super) fn is_headless(service: &Service) -> bool {
    let addressed = service.addresses.values().any(|all| {
        let mut all = all.iter();
        all.any(|ip| !ip.is_unspecified())
    });
    service.is_passthrough() && service.cidrs.is_empty() && !addressed
}

/// True when the port of such a service is told apart by address.
pub(super) fn by_address(protocol: Protocol) -> bool {
    protocol.is_tcp() || protocol == Protocol::Auto
}

/// The addresses of a service port's endpoints, sorted.
pub(super) fn ips(endpoints: &[meltemi_model::Endpoint]) -> BTreeSet<IpAddr> {
    let ip = |endpoint: &meltemi_model::Endpoint| match &endpoint.address {
        EndpointAddress::Ip(ip) => Some(*ip),
        EndpointAddress::Name(_) | EndpointAddress::Pipe(_) | EndpointAddress::Remote => None,
    };
    endpoints.iter().filter_map(ip).collect()
}

/// All addresses that have a listener of their own somewhere.
pub(super) fn addresses(snapshot: &Snapshot) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    for service in snapshot.services.iter().filter(|s| is_headless(s)) {
        for port in service.ports.iter().filter(|p| by_address(p.protocol)) {
            found.extend(ips(&snapshot.endpoints.of(&service.key, &port.name)));
        }
    }
    found
}
