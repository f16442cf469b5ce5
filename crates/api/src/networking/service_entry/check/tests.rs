//! Each rule with an entry that breaks it and one that does not.

use super::*;
use crate::check::tests::table;

const HTTP: &str = "ports: [{number: 80, name: http, protocol: HTTP}]";

fn rows(rows: &[(&str, &str)]) {
    let full: Vec<(String, &str)> = rows
        .iter()
        .map(|(text, wanted)| (format!("{{{}}}", text.replace("HTTP", HTTP)), *wanted))
        .collect();
    let full: Vec<(&str, &str)> = full.iter().map(|(text, w)| (text.as_str(), *w)).collect();
    table::<ServiceEntry>(&full);
}

#[test]
fn hosts_and_addresses() {
    rows(&[
        ("hosts: [a.com, foo], HTTP, resolution: DNS", ""),
        ("HTTP", "Required spec.hosts"),
        ("hosts: ['*'], HTTP", "InvalidHost spec.hosts[0]"),
        ("hosts: [a.com], addresses: [10.0.0.0/8], HTTP", ""),
        (
            "hosts: [a.com], addresses: [10.0.0.0/48], HTTP",
            "InvalidValue spec.addresses[0]",
        ),
        (
            "hosts: [a.com], addresses: [10.0.0.0/8], HTTP, resolution: DNS",
            "Conflict spec.addresses",
        ),
        ("hosts: [a.com], exportTo: ['~'], HTTP", ""),
        (
            "hosts: [a.com], exportTo: ['~', b], HTTP",
            "Conflict spec.exportTo[0]",
        ),
    ]);
}

#[test]
fn ports_have_names_and_numbers_once() {
    rows(&[
        (
            "hosts: [a.com], ports: [{number: 80, name: a, protocol: TCP}]",
            "ignoredfield spec.ports[0].protocol",
        ),
        (
            "hosts: [a.com], addresses: [10.0.0.1], \
             ports: [{number: 80, name: a}, {number: 80, name: a, targetPort: 99999}, {}]",
            "OutOfRange spec.ports[1].targetPort|Conflict spec.ports[1].name|\
             Conflict spec.ports[1].number|OutOfRange spec.ports[2].number|\
             Required spec.ports[2].name",
        ),
    ]);
}

#[test]
fn endpoints_fit_the_resolution() {
    rows(&[
        (
            "hosts: [a.com], HTTP, endpoints: [{address: 1.1.1.1}]",
            "Conflict spec.endpoints",
        ),
        (
            "hosts: [a.com], HTTP, resolution: STATIC, endpoints: [{address: b.com}]",
            "InvalidValue spec.endpoints[0].address",
        ),
        (
            "hosts: [a.com], HTTP, resolution: STATIC, endpoints: [{address: 'unix:///a'}]",
            "",
        ),
        (
            "hosts: ['*.a.com'], HTTP, resolution: DNS, endpoints: [{address: 'unix:///a'}]",
            "InvalidValue spec.endpoints[0].address",
        ),
        (
            "hosts: ['*.a.com'], HTTP, resolution: DNS",
            "InvalidValue spec.hosts[0]",
        ),
        (
            "hosts: [a.com], HTTP, resolution: DNS, endpoints: [{address: b.com, ports: {x: 1}}]",
            "InvalidValue spec.endpoints[0].ports.x",
        ),
        (
            "hosts: [a.com], HTTP, resolution: DNS_ROUND_ROBIN, \
             endpoints: [{address: b.com}, {address: c.com}]",
            "Conflict spec.endpoints",
        ),
        (
            "hosts: [a.com], HTTP, workloadSelector: {labels: {a: b}}, \
             endpoints: [{address: 1.1.1.1}], resolution: STATIC",
            "Conflict spec.workloadSelector",
        ),
        (
            "hosts: [a.com], HTTP, workloadSelector: {}",
            "ignoredfield spec.workloadSelector.labels",
        ),
    ]);
}

#[test]
fn dynamic_names_need_wildcards_and_protocols_that_name_hosts() {
    rows(&[
        (
            "hosts: ['*.a.com', '*.b.com'], HTTP, resolution: DYNAMIC_DNS",
            "",
        ),
        (
            "hosts: [a.com], addresses: [1.1.1.1], HTTP, resolution: DYNAMIC_DNS",
            "Conflict spec.addresses|InvalidValue spec.hosts[0]",
        ),
        (
            "hosts: ['*.a.com'], resolution: DYNAMIC_DNS, ports: [{number: 1, name: a, protocol: tcp}]",
            "ignoredfield spec.ports[0].protocol|InvalidValue spec.ports[0].protocol",
        ),
        (
            "hosts: [a.com, b.com], resolution: DNS, addresses: [1.1.1.1], ports: [{number: 1, name: a}]",
            "Conflict spec.hosts",
        ),
    ]);
}
