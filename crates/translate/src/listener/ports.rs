//! Which listeners a service port lands on.
//!
//! HTTP ports share one listener for every address, TCP ports have one at each virtual address,
//! and services without an address share or, when headless, have one at each pod.

use super::bind::{Address, Bind, Capture};
use super::{Traits, headless};
use crate::view::View;
use ipnet::IpNet;
use meltemi_model::{Egress, Resolution, RouteTable, Service, ServicePort};
use meltemi_types::{HostPattern, IpFamilies, Port, Protocol};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Who chose the port of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chosen {
    /// The Sidecar's egress listener.
    BySidecar,
    /// The service.
    ByService,
}

/// What one egress listener says about where to listen.
#[derive(Clone, Debug)]
pub(super) struct Listening {
    /// The address it fixes, for every service.
    pub(super) address: Option<Address>,
    /// How connections get to its listeners.
    pub(super) capture: Capture,
    /// Who chooses the port.
    pub(super) chosen: Chosen,
}

/// A service port on one listener.
pub(super) struct Place<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) traits: &'a Traits,
    pub(super) egress: &'a Egress,
    pub(super) service: &'a Arc<Service>,
    /// The listener's port; `None` on Unix sockets.
    pub(super) number: Option<Port>,
    pub(super) protocol: Protocol,
    pub(super) chosen: Chosen,
    pub(super) bind: Bind,
    /// The service's address ranges, where the listener is for every address.
    pub(super) cidrs: Vec<IpNet>,
    /// Other names of the egress listener's services (ExternalName).
    pub(super) aliases: &'a BTreeMap<HostPattern, Vec<HostPattern>>,
}

impl Place<'_> {
    /// The route tables with TCP or TLS rules for the service's host, most important first.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<RouteTable>> {
        let host = &self.service.key.host;
        self.egress
            .routes
            .iter()
            .filter(|table| !(table.tcp.is_empty() && table.tls.is_empty()))
            .filter(move |table| table.hosts.iter().any(|own| own.overlaps(host)))
    }
}

/// The listeners of a service port: where each listens, and which ranges it takes there.
pub(super) fn binds(
    view: &View<'_>,
    listening: &Listening,
    service: &Service,
    port: (Option<Port>, &ServicePort),
) -> Vec<(Bind, Vec<IpNet>)> {
    let (number, declared) = port;
    let protocol = declared.protocol;
    if protocol == Protocol::Udp || matches!(service.resolution, Resolution::Alias(_)) {
        return Vec::new();
    }
    if let Some(address) = &listening.address {
        return vec![(fixed(view, address, number, listening.capture), Vec::new())];
    }
    let Some(number) = number else {
        return Vec::new();
    };
    let any = || Bind::any(view.key.families, number, listening.capture);
    if protocol.is_http() {
        return vec![(any(), Vec::new())];
    }
    if headless::is_headless(service) && listening.chosen == Chosen::ByService {
        return pods(view, service, declared, listening.capture);
    }
    let families = view.key.families;
    let mut result: Vec<_> = addresses(&view.vips(service), families)
        .into_iter()
        .map(|(first, extra)| {
            let bind = Bind::ip(first, number, listening.capture);
            (Bind { extra, ..bind }, Vec::new())
        })
        .collect();
    let ranges = service.cidrs.iter().copied();
    let ranges: Vec<IpNet> = ranges.filter(|c| families.allows(&c.addr())).collect();
    if !ranges.is_empty() || (result.is_empty() && service.cidrs.is_empty()) {
        result.push((any(), ranges));
    }
    result
}

fn fixed(view: &View<'_>, address: &Address, port: Option<Port>, capture: Capture) -> Bind {
    match (address, port) {
        (Address::Any, Some(port)) => Bind::any(view.key.families, port, capture),
        (Address::Any | Address::Ip(_) | Address::Unix(_), port) => Bind {
            address: address.clone(),
            extra: Vec::new(),
            port,
            capture,
        },
    }
}

/// One listener for each endpoint of a headless service, but not for the proxy's own workload,
/// which is inbound. Without endpoints, an entry without a selector takes every address.
fn pods(
    view: &View<'_>,
    service: &Service,
    port: &ServicePort,
    capture: Capture,
) -> Vec<(Bind, Vec<IpNet>)> {
    let endpoints = view.endpoints(service, &port.name);
    if endpoints.is_empty() && !service.kubernetes && service.selector.is_none() {
        let any = Bind::any(view.key.families, port.number, capture);
        return vec![(any, Vec::new())];
    }
    headless::ips(&endpoints)
        .into_iter()
        .filter(|ip| view.key.families.allows(ip) && !view.key.own_headless_ips.contains(ip))
        .map(|ip| (Bind::ip(ip, port.number, capture), Vec::new()))
        .collect()
}

/// One listener for each address; with two families the first of each share one.
fn addresses(all: &[IpAddr], families: IpFamilies) -> Vec<(IpAddr, Vec<IpAddr>)> {
    let Some((first, rest)) = all.split_first() else {
        return Vec::new();
    };
    let partner = rest
        .iter()
        .find(|ip| families == IpFamilies::Dual && ip.is_ipv4() != first.is_ipv4());
    let own = |ip: &&IpAddr| Some(*ip) != partner && *ip != first;
    let mut result = vec![(*first, partner.into_iter().copied().collect())];
    result.extend(rest.iter().filter(own).map(|ip| (*ip, Vec::new())));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_families_share_a_listener_and_more_addresses_have_their_own() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let all = [ip("10.0.0.1"), ip("10.0.0.2"), ip("fd00::1")];
        assert_eq!(
            addresses(&all, IpFamilies::Dual),
            [
                (ip("10.0.0.1"), vec![ip("fd00::1")]),
                (ip("10.0.0.2"), vec![])
            ]
        );
        assert_eq!(addresses(&[], IpFamilies::Dual), []);
    }
}
