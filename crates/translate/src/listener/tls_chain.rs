//! Chains of TLS and HTTPS ports, told apart by server name, and the TLS rules of VirtualServices.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#TLSRoute>. At
//! a service's own address any server name goes to the service; where services share a listener,
//! only its host does.

use super::chain::Match;
use super::ports::Place;
use super::tcp::{Chains, applies, subnets};
use crate::route::names::short_names;
use meltemi_model::Resolution;
use meltemi_model::route::L4Match;
use meltemi_types::{Code, Diagnostic, HostPattern, Origin};
use std::collections::BTreeSet;

/// The chains.
pub(super) fn chains(place: &Place<'_>) -> Chains {
    let mut chains = Chains::default();
    // Conditions that differ only in what the control plane checks are the same to Envoy.
    let mut seen = BTreeSet::new();
    let mut covered = false;
    for table in place.tables() {
        for rule in &table.tls {
            let applying = |m: &&L4Match| applies(m, place.view, place.number);
            for condition in rule.matches.iter().filter(applying) {
                let own = subnets(condition);
                let mut names = condition.sni_hosts.clone();
                names.sort();
                if !seen.insert((names, own.clone())) {
                    continue;
                }
                let ranged = !own.is_empty() && place.number.is_some();
                let ranges = if ranged { &own } else { &place.cidrs };
                match Match::to(ranges).with_names(&condition.sni_hosts) {
                    Some(matching) => chains.rule(matching, (table, rule), place),
                    None => chains.diagnostics.push(unusable(&rule.origin)),
                }
                covered |= !ranged && covers(&condition.sni_hosts, &place.service.key.host);
            }
        }
    }
    if !covered {
        let names = match shares(place) {
            true => own_names(place),
            false => Vec::new(),
        };
        match Match::to(&place.cidrs).with_names(&names) {
            Some(matching) => chains.service(matching, place),
            None => chains.diagnostics.push(unusable(&place.service.origin)),
        }
    }
    chains
}

/// The service's host, and what else it is called: other names have short forms, too.
fn own_names(place: &Place<'_>) -> Vec<HostPattern> {
    let host = &place.service.key.host;
    let mut names = vec![host.clone()];
    for alias in place.aliases.get(host).into_iter().flatten() {
        names.push(alias.clone());
        let short = short_names(alias.as_str(), &place.view.key.domain);
        names.extend(short.iter().filter_map(|name| name.parse().ok()));
    }
    names
}

fn covers(names: &[HostPattern], host: &HostPattern) -> bool {
    names.is_empty() || names.iter().any(|name| name.covers(host))
}

/// True when connections for other services arrive at the same address.
fn shares(place: &Place<'_>) -> bool {
    !place.cidrs.is_empty()
        || place.bind.is_any()
        || place.service.resolution == Resolution::DynamicDns
}

fn unusable(origin: &Origin) -> Diagnostic {
    Diagnostic::warning(
        Code::InvalidHost,
        origin.clone(),
        "a server name with a part of a label as wildcard cannot be matched in TLS",
        "use a full name, or '*.' and a suffix",
    )
}

#[cfg(test)]
mod tests {
    use crate::testing_listener::{Fixture, Listeners, age, origin, port, service};
    use meltemi_model::route::{L4Match, L4Rule};
    use meltemi_model::{Attachment, Backend, BackendTarget, ExportTo, Resolution, RouteTable};
    use meltemi_types::Protocol::{Tcp, Tls};
    use meltemi_types::{Code, Labels};

    fn to(name: &str, weight: u32) -> Backend {
        Backend {
            origin: origin("VirtualService", "vs"),
            target: BackendTarget::Service {
                host: format!("{name}.shop.svc.cluster.local").parse().unwrap(),
                subset: None,
                port: None,
            },
            weight,
            headers: None,
        }
    }

    fn when(sni: &[&str], subnets: &[&str]) -> L4Match {
        L4Match {
            sni_hosts: sni.iter().map(|h| h.parse().unwrap()).collect(),
            destination_subnets: subnets.iter().map(|s| (*s).into()).collect(),
            port: None,
            source_labels: Labels::default(),
            source_namespace: None,
            attach: Vec::new(),
        }
    }

    fn rule(matches: Vec<L4Match>, backends: Vec<Backend>) -> L4Rule {
        L4Rule {
            origin: origin("VirtualService", "vs"),
            matches,
            backends,
        }
    }

    fn table(tls: Vec<L4Rule>, tcp: Vec<L4Rule>) -> RouteTable {
        RouteTable {
            origin: origin("VirtualService", "vs"),
            age: age(1, "vs"),
            namespace: "shop".parse().unwrap(),
            name: "vs".parse().unwrap(),
            hosts: vec!["*.shop.svc.cluster.local".parse().unwrap()],
            attach: vec![Attachment::Mesh],
            export_to: ExportTo::Public,
            http: Vec::new(),
            tls,
            tcp,
        }
    }

    fn mesh(protocol: meltemi_types::Protocol, address: &str, routes: RouteTable) -> Listeners {
        let mut a = service("a", address, &[(443, protocol)]);
        a.resolution = Resolution::Endpoints;
        let b = service("b", "10.0.0.2", &[(8443, Tcp)]);
        let mut fixture = Fixture::of(vec![a, b]);
        fixture.routes = vec![routes];
        fixture.outbound()
    }

    const A: &str = "outbound|443||a.shop.svc.cluster.local";
    const B: &str = "outbound|8443||b.shop.svc.cluster.local";

    #[test]
    fn server_names_of_rules_have_chains_and_the_rest_goes_to_the_service() {
        let first = rule(vec![when(&["x.com", "y.com"], &[])], vec![to("b", 1)]);
        // Envoy refuses overlapping names: what the first rule took is not asked for again.
        let second = rule(vec![when(&["y.com", "z.com"], &[])], vec![to("a", 1)]);
        let all = mesh(Tls, "10.0.0.1", table(vec![first, second], Vec::new()));
        assert_eq!(
            all.chains("10.0.0.1_443"),
            [
                format!("sni=x.com sni=y.com -> {B}"),
                format!("sni=z.com -> {A}"),
                format!("default -> {A}")
            ]
        );
        let chain = &all.get("10.0.0.1_443").filter_chains[0];
        let metadata = chain.metadata.as_ref().unwrap();
        assert!(metadata.filter_metadata.contains_key("istio"));
    }

    #[test]
    fn a_name_that_envoy_cannot_match_is_a_finding() {
        let bad = rule(vec![when(&["*-x.com"], &[])], vec![to("b", 1)]);
        let all = mesh(Tls, "10.0.0.1", table(vec![bad], Vec::new()));
        assert_eq!(all.chains("10.0.0.1_443"), [format!("-> {A}")]);
        assert_eq!(all.diagnostics[0].code, Code::InvalidHost);
    }

    #[test]
    fn the_service_itself_is_not_asked_for_when_a_rule_covers_it() {
        let own = rule(
            vec![when(&["a.shop.svc.cluster.local"], &[])],
            vec![to("b", 1)],
        );
        let all = mesh(Tls, "", table(vec![own], Vec::new()));
        assert_eq!(
            all.chains("0.0.0.0_443"),
            [
                format!("sni=a.shop.svc.cluster.local -> {B}"),
                "default -> PassthroughCluster".into()
            ]
        );
    }

    #[test]
    fn conditions_that_do_not_hold_for_the_class_are_left_out() {
        let mut elsewhere = when(&["x.com"], &[]);
        elsewhere.source_namespace = Some("bank".parse().unwrap());
        let mut other_port = when(&["x.com"], &[]);
        other_port.port = Some(port(444));
        let mut other_label = when(&["x.com"], &[]);
        other_label.source_labels = [("app", "api")].into_iter().collect();
        let mut mine = when(&["m.com"], &[]);
        mine.source_labels = [("app", "web")].into_iter().collect();
        let rules = vec![
            rule(vec![elsewhere, other_port, other_label], vec![to("b", 1)]),
            rule(vec![mine], vec![to("b", 1)]),
        ];
        let all = mesh(Tls, "10.0.0.1", table(rules, Vec::new()));
        assert_eq!(
            all.chains("10.0.0.1_443"),
            [format!("sni=m.com -> {B}"), format!("default -> {A}")]
        );
    }

    #[test]
    fn tcp_rules_split_by_weight_and_by_range() {
        let ranged = rule(
            vec![when(&[], &["10.9.0.0/16", "10.9.9.9"])],
            vec![to("b", 1)],
        );
        let split = rule(Vec::new(), vec![to("a", 90), to("b", 10), to("b", 0)]);
        let all = mesh(Tcp, "10.0.0.1", table(Vec::new(), vec![ranged, split]));
        assert_eq!(
            all.chains("10.0.0.1_443"),
            [
                format!("to=10.9.0.0/16 to=10.9.9.9/32 -> {B}"),
                format!("default -> {A}%90+{B}%10"),
            ]
        );
    }

    #[test]
    fn two_ranges_that_are_one_are_asked_for_once() {
        let one = rule(vec![when(&[], &["10.9.1.2/16"])], vec![to("b", 1)]);
        let same = rule(vec![when(&[], &["10.9.0.0/16"])], vec![to("a", 1)]);
        let all = mesh(Tcp, "10.0.0.1", table(Vec::new(), vec![one, same]));
        assert_eq!(
            all.chains("10.0.0.1_443"),
            [format!("to=10.9.0.0/16 -> {B}"), format!("default -> {A}")]
        );
    }

    #[test]
    fn nothing_left_to_send_to_is_a_black_hole() {
        let none = rule(Vec::new(), vec![to("a", 0), to("b", 0)]);
        let all = mesh(Tcp, "10.0.0.1", table(Vec::new(), vec![none]));
        assert_eq!(all.chains("10.0.0.1_443"), ["-> BlackHoleCluster"]);
    }
}
