//! The rules of capture in Istio's order, which decides: the first rule that matches wins.
//!
//! * `outbound`: what the pod sends.
//! * `inbound`: what it gets, by redirection or by TPROXY.
//! * `dns`: name resolution.

mod dns;
mod inbound;
mod outbound;

use crate::rule::{Action, Chain, Family, Match, Owner, Protocol, Rules, Table};
use crate::settings::{Dns, Mode, Settings};
use ipnet::{IpNet, Ipv6Net};
use std::net::Ipv6Addr;

const NAT: Table = Table::Nat;
const TCP: Match = Match::Protocol(Protocol::Tcp);
const UDP: Match = Match::Protocol(Protocol::Udp);

/// All rules.
pub(crate) fn of(settings: &Settings) -> Rules {
    let both = [Family::V4, Family::V6];
    let families = if settings.v6 {
        &both[..]
    } else {
        &[Family::V4]
    };
    let mut rules = Rules::of_families(families, settings.traces);
    let all = &mut rules;
    interfaces(all, settings);
    if settings.drops_invalid {
        let invalid = Match::State(crate::rule::State::Invalid);
        let hook = (Table::Mangle, Chain::Prerouting);
        all.end(hook, vec![invalid], Action::Jump(Chain::Drop));
        all.end((Table::Mangle, Chain::Drop), Vec::new(), Action::Drop);
    }
    let tunnel = vec![TCP, Match::Port(settings.tunnel_port)];
    all.end((NAT, Chain::Inbound), tunnel, Action::Return);
    for (chain, port) in [
        (Chain::Redirect, settings.outbound_port),
        (Chain::InRedirect, settings.inbound_port),
    ] {
        all.end((NAT, chain), vec![TCP], Action::Redirect(port));
    }
    inbound::captured(all, settings);
    outbound::captured(all, settings);
    if settings.mode == Mode::Tproxy {
        inbound::marked(all, settings);
    }
    rules
}

/// Interfaces that are left alone, then those whose incoming traffic is not inbound.
fn interfaces(all: &mut Rules, settings: &Settings) {
    let tables: &[Table] = match settings.mode {
        Mode::Redirect => &[NAT],
        Mode::Tproxy => &[NAT, Table::Mangle],
    };
    for nic in &settings.excluded_nics {
        for table in tables {
            let incoming = vec![Match::In(nic.clone())];
            all.end((*table, Chain::Prerouting), incoming, Action::Return);
            let outgoing = vec![Match::Out(nic.clone())];
            all.end((*table, Chain::Output), outgoing, Action::Return);
        }
    }
    for nic in &settings.rerouted_nics {
        let rule = (vec![Match::In(nic.clone())], Action::Return);
        all.at(1, (NAT, Chain::Prerouting), rule);
    }
}

/// The addresses of loopback, one for each family.
fn loopback(settings: &Settings) -> [IpNet; 2] {
    let v6 = Ipv6Net::from(Ipv6Addr::LOCALHOST);
    [IpNet::V4(settings.loopback), IpNet::V6(v6)]
}

/// The addresses that the proxy calls the application from.
pub(crate) fn passthrough() -> [IpNet; 2] {
    [
        IpNet::from(std::net::IpAddr::from([127, 0, 0, 6])),
        IpNet::from(std::net::IpAddr::from([0, 0, 0, 0, 0, 0, 0, 6])),
    ]
}

/// Users, then groups.
fn owners(settings: &Settings) -> impl Iterator<Item = Owner> {
    let users = settings.uids.iter().copied().map(Owner::User);
    users.chain(settings.gids.iter().copied().map(Owner::Group))
}

fn captures_dns(settings: &Settings) -> bool {
    settings.dns != Dns::Off
}
