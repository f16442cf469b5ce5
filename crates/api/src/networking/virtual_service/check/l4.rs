//! TLS and TCP rules.

use super::super::{L4MatchAttributes, TcpRoute, TlsMatchAttributes, TlsRoute, VirtualService};
use super::http::route_destinations;
use super::{covers, is_host};
use crate::check::Findings;
use crate::check::value::{bad_host, gateways, label_name, labels, optional_port, subnets};
use meltemi_types::FieldPath;

pub(super) fn tls(spec: &VirtualService, rule: &TlsRoute, at: &FieldPath, out: &mut Findings) {
    let TlsRoute { matches, route } = rule;
    if matches.is_empty() {
        out.required(&at.field("match"), "a match with sniHosts");
    }
    for (index, condition) in matches.iter().enumerate() {
        tls_match(spec, condition, &at.field("match").index(index), out);
    }
    route_destinations(route, &at.field("route"), out);
}

fn tls_match(
    spec: &VirtualService,
    condition: &TlsMatchAttributes,
    at: &FieldPath,
    out: &mut Findings,
) {
    let TlsMatchAttributes {
        sni_hosts,
        destination_subnets,
        port,
        source_labels,
        gateways: names,
        source_namespace,
    } = condition;
    if sni_hosts.is_empty() {
        out.required(&at.field("sniHosts"), "a server name");
    }
    for (index, name) in sni_hosts.iter().enumerate() {
        let at = at.field("sniHosts").index(index);
        if !is_host(spec, name) {
            bad_host(&at, name, "use a DNS name, or '*.' and a suffix", out);
        }
        if !spec.hosts.iter().any(|host| covers(host, name)) {
            out.invalid(
                &at,
                format!("{name:?} is not covered by the hosts of the VirtualService"),
                "add it to spec.hosts",
            );
        }
    }
    subnets(&at.field("destinationSubnets"), destination_subnets, out);
    optional_port(&at.field("port"), *port, out);
    labels(&at.field("sourceLabels"), source_labels, out);
    gateways(&at.field("gateways"), names, out);
    namespace(source_namespace.as_deref(), at, out);
}

pub(super) fn tcp(rule: &TcpRoute, at: &FieldPath, out: &mut Findings) {
    let TcpRoute { matches, route } = rule;
    for (index, condition) in matches.iter().enumerate() {
        tcp_match(condition, &at.field("match").index(index), out);
    }
    route_destinations(route, &at.field("route"), out);
}

fn tcp_match(condition: &L4MatchAttributes, at: &FieldPath, out: &mut Findings) {
    let L4MatchAttributes {
        destination_subnets,
        port,
        source_subnet,
        source_labels,
        gateways: names,
        source_namespace,
    } = condition;
    subnets(&at.field("destinationSubnets"), destination_subnets, out);
    optional_port(&at.field("port"), *port, out);
    if source_subnet
        .as_deref()
        .is_some_and(|text| !text.is_empty())
    {
        out.ignored(
            &at.field("sourceSubnet"),
            "sourceSubnet has no effect",
            "remove it; match by sourceLabels or sourceNamespace",
        );
    }
    labels(&at.field("sourceLabels"), source_labels, out);
    gateways(&at.field("gateways"), names, out);
    namespace(source_namespace.as_deref(), at, out);
}

fn namespace(name: Option<&str>, at: &FieldPath, out: &mut Findings) {
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        label_name(&at.field("sourceNamespace"), name, out);
    }
}

#[cfg(test)]
mod tests {
    use crate::check::tests::table;
    use crate::networking::virtual_service::VirtualService;

    #[test]
    fn tls_and_tcp_rules() {
        table::<VirtualService>(&[
            (
                "{hosts: ['*.a.com'], tls: [{match: [{sniHosts: [x.a.com, '*.b.a.com']}], \
                 route: [{destination: {host: a}}]}]}",
                "",
            ),
            (
                "{hosts: [a], tls: [{route: [{destination: {host: a}}]}]}",
                "Required spec.tls[0].match",
            ),
            (
                "{hosts: [a.com], tls: [{match: [{}, {sniHosts: [b.com], port: 0}], route: []}]}",
                "Required spec.tls[0].match[0].sniHosts|\
                 InvalidValue spec.tls[0].match[1].sniHosts[0]|\
                 OutOfRange spec.tls[0].match[1].port|Required spec.tls[0].route",
            ),
            (
                "{hosts: [a], tcp: [{match: [{destinationSubnets: [10.0.0.0/8, x], \
                 sourceSubnet: 1.1.1.1}], route: [{destination: {host: a}}]}]}",
                "InvalidValue spec.tcp[0].match[0].destinationSubnets[1]|\
                 ignoredfield spec.tcp[0].match[0].sourceSubnet",
            ),
        ]);
    }
}
