//! What the pod sends. The surprise: traffic of the proxy's own users is not captured, except when
//! it calls its own pod by another address than loopback; then it comes in as from anybody.

use super::{NAT, TCP, UDP, captures_dns, dns, loopback, owners, passthrough};
use crate::rule::{Action, Chain, Match, Owner, Place, Rules};
use crate::settings::{Groups, Outbound, Settings};

const OUTBOUND: Place = (NAT, Chain::Outbound);
const DNS: u16 = 53;

/// Everything outbound.
pub(super) fn captured(all: &mut Rules, settings: &Settings) {
    all.end(
        (NAT, Chain::Output),
        Vec::new(),
        Action::Jump(Chain::Outbound),
    );
    for port in &settings.excluded_outbound_ports {
        for protocol in [TCP, UDP] {
            all.end(OUTBOUND, vec![protocol, Match::Port(*port)], Action::Return);
        }
    }
    for address in passthrough() {
        let passed = vec![Match::Local, Match::From(address)];
        all.end(OUTBOUND, passed, Action::Return);
    }
    for owner in owners(settings) {
        of_proxy(all, settings, owner);
    }
    groups(all, &settings.groups);
    dns::captured(all, settings);
    for local in loopback(settings) {
        all.end(OUTBOUND, vec![Match::To(local)], Action::Return);
    }
    for range in &settings.excluded_ranges {
        all.end(OUTBOUND, vec![Match::To(*range)], Action::Return);
    }
    let redirect = Action::Jump(Chain::Redirect);
    for port in &settings.outbound_ports {
        all.end(OUTBOUND, vec![TCP, Match::Port(*port)], redirect);
    }
    let mut capture = |to: Vec<Match>| {
        for nic in &settings.rerouted_nics {
            let incoming = [vec![Match::In(nic.clone())], to.clone()].concat();
            all.at(1, (NAT, Chain::Prerouting), (incoming, redirect));
        }
        all.end(OUTBOUND, to, redirect);
    };
    match &settings.outbound {
        Outbound::All => capture(Vec::new()),
        Outbound::Only(ranges) => {
            for range in ranges {
                capture(vec![Match::To(*range)]);
            }
        }
    }
}

/// Calls of the proxy, and calls over loopback that are not.
fn of_proxy(all: &mut Rules, settings: &Settings, owner: Owner) {
    let has_dns = captures_dns(settings);
    let tunnel = settings.tunnel_port;
    // Istio leaves the port of DNS out for users only.
    let ports = match owner {
        Owner::User(_) if has_dns => vec![DNS, tunnel],
        Owner::User(_) | Owner::Group(_) => vec![tunnel],
    };
    for local in loopback(settings) {
        let own_pod = vec![
            Match::Local,
            Match::NotTo(local),
            TCP,
            Match::NotPorts(ports.clone()),
            Match::Owner(owner),
        ];
        all.end(OUTBOUND, own_pod, Action::Jump(Chain::InRedirect));
    }
    if !settings.captures_loopback() {
        let mut application = vec![Match::Local];
        if has_dns {
            application.extend([TCP, Match::NotPorts(vec![DNS])]);
        }
        application.push(Match::NotOwner(owner));
        all.end(OUTBOUND, application, Action::Return);
    }
    all.end(OUTBOUND, vec![Match::Owner(owner)], Action::Return);
}

fn groups(all: &mut Rules, groups: &Groups) {
    match groups {
        Groups::Except(excluded) => {
            for group in excluded {
                let matches = vec![Match::Owner(Owner::Group(*group))];
                all.end(OUTBOUND, matches, Action::Return);
            }
        }
        Groups::Only(included) => {
            let none_of = included.iter().copied().map(Owner::Group);
            let matches = none_of.map(Match::NotOwner).collect();
            all.end(OUTBOUND, matches, Action::Return);
        }
    }
}
