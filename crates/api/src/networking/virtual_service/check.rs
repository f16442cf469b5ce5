//! What is wrong with a VirtualService by itself.

mod action;
mod http;
mod l4;
mod matching;
mod policy;

use super::VirtualService;
use crate::check::value::{
    bad_host, export_to, gateways, is_routed_server_name, is_wildcard_domain,
};
use crate::check::{Check, Finding, Findings};
use meltemi_types::{Code, FieldPath};
use std::net::IpAddr;

impl Check for VirtualService {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            hosts,
            gateways: names,
            http,
            tls,
            tcp,
            export_to: namespaces,
        } = self;
        if self.is_delegate() {
            delegate(self, at, out);
        }
        check_hosts(self, &at.field("hosts"), hosts, out);
        gateways(&at.field("gateways"), names, out);
        if http.is_empty() && tls.is_empty() && tcp.is_empty() {
            out.required(&at.field("http"), "a rule (http, tls or tcp)");
        }
        let list = at.field("http");
        for (index, route) in http.iter().enumerate() {
            http::route(self, route, &list.index(index), out);
        }
        shadowed(self, &list, out);
        let list = at.field("tls");
        for (index, route) in tls.iter().enumerate() {
            l4::tls(self, route, &list.index(index), out);
        }
        let list = at.field("tcp");
        for (index, route) in tcp.iter().enumerate() {
            l4::tcp(route, &list.index(index), out);
        }
        export_to(&at.field("exportTo"), namespaces, out);
    }
}

/// Without hosts it can only be a delegate, which has HTTP rules alone.
fn delegate(spec: &VirtualService, at: &FieldPath, out: &mut Findings) {
    for (field, present) in [
        ("gateways", !spec.gateways.is_empty()),
        ("tls", !spec.tls.is_empty()),
        ("tcp", !spec.tcp.is_empty()),
    ] {
        if present {
            out.conflict(
                &at.field(field),
                format!("{field} without hosts"),
                "name hosts; a delegate, which has none, may hold http rules only",
            );
        }
    }
}

fn check_hosts(spec: &VirtualService, at: &FieldPath, hosts: &[String], out: &mut Findings) {
    for (index, host) in hosts.iter().enumerate() {
        let at = at.index(index);
        if host == "*" && spec.applies_to_sidecars() {
            bad_host(
                &at,
                host,
                "name the hosts; '*' is for gateways, not for sidecars",
                out,
            );
        } else if host.parse::<IpAddr>().is_err() && !is_host(spec, host) {
            bad_host(
                &at,
                host,
                "use a DNS name, '*.' and a suffix, or an IP address",
                out,
            );
        }
        let before = hosts.iter().take(index);
        if let Some(other) = before.into_iter().find(|other| overlap(other, host)) {
            out.conflict(
                &at,
                format!("{host:?} overlaps with {other:?}"),
                "keep one of them, or move one to another VirtualService",
            );
        }
    }
}

/// A name, perhaps with a wildcard; on gateways also the server names between networks.
fn is_host(spec: &VirtualService, text: &str) -> bool {
    is_wildcard_domain(text) || (!spec.applies_to_sidecars() && is_routed_server_name(text))
}

/// True when every host that `narrow` stands for is also covered by `wide`.
fn covers(wide: &str, narrow: &str) -> bool {
    match wide.strip_prefix('*') {
        Some(suffix) => narrow.trim_start_matches('*').ends_with(suffix),
        None => wide.eq_ignore_ascii_case(narrow),
    }
}

fn overlap(one: &str, other: &str) -> bool {
    covers(one, other) || covers(other, one)
}

/// A rule that matches everything hides those after it.
fn shadowed(spec: &VirtualService, at: &FieldPath, out: &mut Findings) {
    let catch_all = spec.http.iter().position(|route| route.matches.is_empty());
    if let Some(index) = catch_all
        && index + 1 < spec.http.len()
    {
        out.push(Finding::warning(
            Code::ShadowedRoute,
            &at.index(index + 1),
            format!("http[{index}] matches every request, so the rules after it have no effect"),
            "move the rule without a match to the end",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn hosts_gateways_and_rules() {
        table::<VirtualService>(&[
            (
                "{hosts: [a], http: [{route: [{destination: {host: a}}]}]}",
                "",
            ),
            (
                "{hosts: [10.0.0.1], tcp: [{route: [{destination: {host: a}}]}]}",
                "",
            ),
            ("{http: [{route: [{destination: {host: a}}]}]}", ""),
            ("{hosts: [a]}", "Required spec.http"),
            (
                "{tcp: [{route: [{destination: {host: a}}]}]}",
                "Conflict spec.tcp",
            ),
            (
                "{hosts: ['*'], http: [{route: [{destination: {host: a}}]}]}",
                "InvalidHost spec.hosts[0]",
            ),
            (
                "{hosts: ['*'], gateways: [gw], http: [{route: [{destination: {host: a}}]}]}",
                "",
            ),
            (
                "{hosts: [foo.ba!r, '*.c', a.c], http: [{route: [{destination: {host: a}}]}]}",
                "InvalidHost spec.hosts[0]|Conflict spec.hosts[2]",
            ),
            (
                "{hosts: [a], gateways: [ns/*], http: [{route: [{destination: {host: a}}]}]}",
                "InvalidValue spec.gateways[0]",
            ),
            (
                "{hosts: [a], exportTo: [., shop], http: [{route: [{destination: {host: a}}]}]}",
                "InvalidValue spec.exportTo[1]",
            ),
            (
                "{hosts: [a], exportTo: ['*', x], http: [{route: [{destination: {host: a}}]}]}",
                "Conflict spec.exportTo[0]",
            ),
            (
                "{hosts: [a], http: [{route: [{destination: {host: a}}]}, {redirect: {uri: /}}]}",
                "shadowedroute spec.http[1]",
            ),
        ]);
    }
}
