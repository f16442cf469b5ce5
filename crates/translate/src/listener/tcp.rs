//! Chains that carry bytes to a service port, and the TCP rules of VirtualServices.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#TCPRoute>.
//! The first rule without conditions that only Envoy could check takes everything and ends the
//! search; rules with destination ranges before it have chains of their own.

use super::chain::{Chain, Handler, Match};
use super::ports::Place;
use super::tcp_proxy::TcpSpec;
use super::{destination, tls_chain};
use crate::view::View;
use crate::{name, wire};
use ipnet::IpNet;
use meltemi_model::route::{L4Match, L4Rule};
use meltemi_model::{Attachment, RouteTable};
use meltemi_types::{Diagnostic, Origin, Port, Selector};
use std::net::IpAddr;

/// The chains of one service port.
#[derive(Debug, Default)]
pub(super) struct Chains {
    /// In order of precedence.
    pub(super) list: Vec<Chain>,
    /// The rules that some of them came from.
    pub(super) origins: Vec<Origin>,
    /// Findings.
    pub(super) diagnostics: Vec<Diagnostic>,
}

impl Chains {
    /// Adds the chain that a rule of a VirtualService asks for.
    pub(super) fn rule(
        &mut self,
        matching: Match,
        rule: (&RouteTable, &L4Rule),
        place: &Place<'_>,
    ) {
        let (table, rule) = rule;
        let spec = destination::backends(place.view, table, &rule.backends, place.number);
        self.origins.push(rule.origin.clone());
        self.list.push(Chain {
            config: Some(wire::config_path(&table.origin).into()),
            ..chain(matching, spec, place)
        });
    }

    /// Adds the chain to the service itself.
    pub(super) fn service(&mut self, matching: Match, place: &Place<'_>) {
        let spec = match destination::port_of(Some(place.service), place.number) {
            Some(port) => destination::service(place.view, place.service, port),
            None => TcpSpec::to(name::BLACK_HOLE),
        };
        self.list.push(chain(matching, spec, place));
    }
}

fn chain(matching: Match, spec: TcpSpec, place: &Place<'_>) -> Chain {
    let sniffer = destination::sniffer(place.protocol);
    Chain::new(matching, Handler::Tcp(TcpSpec { sniffer, ..spec }))
}

/// The chains of a service port that is not HTTP.
pub(super) fn chains(place: &Place<'_>) -> Chains {
    if place.protocol.is_tls() {
        return tls_chain::chains(place);
    }
    let mut chains = Chains::default();
    for table in place.tables() {
        for rule in &table.tcp {
            if take(&mut chains, table, rule, place) == Search::Over {
                return chains;
            }
        }
    }
    chains.service(Match::to(&place.cidrs), place);
    chains
}

#[derive(PartialEq, Eq)]
enum Search {
    On,
    Over,
}

/// Adds what one TCP rule asks for.
fn take(chains: &mut Chains, table: &RouteTable, rule: &L4Rule, place: &Place<'_>) -> Search {
    let applying: Vec<&L4Match> = rule
        .matches
        .iter()
        .filter(|m| applies(m, place.view, place.number))
        .collect();
    // Ranges mean nothing on a Unix socket.
    let everything = |m: &&L4Match| m.destination_subnets.is_empty() || place.number.is_none();
    if rule.matches.is_empty() || applying.iter().any(everything) {
        chains.rule(Match::to(&place.cidrs), (table, rule), place);
        return Search::Over;
    }
    let ranges: Vec<IpNet> = applying.iter().flat_map(|m| subnets(m)).collect();
    if ranges.is_empty() {
        return Search::On;
    }
    let matching = Match::to(&ranges);
    let same = matching == Match::to(&place.cidrs);
    chains.rule(matching, (table, rule), place);
    match same {
        true => Search::Over,
        false => Search::On,
    }
}

/// True when all that the control plane can check of a condition holds.
pub(super) fn applies(condition: &L4Match, view: &View<'_>, number: Option<Port>) -> bool {
    let L4Match {
        sni_hosts: _,           // checked by Envoy
        destination_subnets: _, // checked by Envoy
        port,
        source_labels,
        source_namespace,
        attach,
    } = condition;
    let namespace = source_namespace.as_ref();
    (attach.is_empty() || attach.contains(&Attachment::Mesh))
        && port.is_none_or(|port| number == Some(port))
        && namespace.is_none_or(|namespace| *namespace == view.key.namespace)
        && Selector::new(source_labels.clone()).matches(&view.key.labels)
}

/// The destination ranges of a condition; an address alone is a range of one.
pub(super) fn subnets(condition: &L4Match) -> Vec<IpNet> {
    let read = |text: &str| {
        let net = text.parse::<IpNet>().ok();
        net.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    };
    let all = condition.destination_subnets.iter();
    all.filter_map(|text| read(text)).collect()
}
