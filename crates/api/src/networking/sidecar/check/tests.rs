//! A row for each rule about Sidecars.

use super::*;
use crate::check::tests::table;

#[test]
fn ingress_listeners() {
    table::<IstioIngressListener>(&[
        (
            "{port: {number: 80, protocol: HTTP}, defaultEndpoint: '127.0.0.1:8080'}",
            "",
        ),
        (
            "{port: {number: 80}, defaultEndpoint: '[::1]:1', bind: '::'}",
            "",
        ),
        (
            "{port: {number: 80}, defaultEndpoint: '0.0.0.0:1', captureMode: NONE}",
            "",
        ),
        ("{port: {number: 80}, defaultEndpoint: '[::]:1'}", ""),
        ("{port: {number: 80}, defaultEndpoint: 'unix:///a'}", ""),
        ("{port: {number: 80}, defaultEndpoint: ':8080'}", ""),
        ("{}", "Required spec.port"),
        ("{port: {number: 0}}", "OutOfRange spec.port.number"),
        (
            "{port: {number: 1, protocol: quic, targetPort: 2}, bind: localhost}",
            "InvalidValue spec.port.protocol|InvalidValue spec.port.targetPort|\
             InvalidValue spec.bind",
        ),
        (
            "{port: {number: 80}, defaultEndpoint: '1.1.1.1:90'}",
            "InvalidValue spec.defaultEndpoint",
        ),
        (
            "{port: {number: 80}, defaultEndpoint: '[1:1:1:1:1:1:1:1]:90'}",
            "InvalidValue spec.defaultEndpoint",
        ),
        (
            "{port: {number: 80}, defaultEndpoint: '127.0.0.1:hi'}",
            "InvalidValue spec.defaultEndpoint",
        ),
        (
            "{port: {number: 80}, defaultEndpoint: '127.0.0.1:0'}",
            "OutOfRange spec.defaultEndpoint",
        ),
        (
            "{port: {number: 80}, defaultEndpoint: 'unix://a'}",
            "InvalidValue spec.defaultEndpoint",
        ),
    ]);
}

#[test]
fn ingress_tls() {
    table::<IstioIngressListener>(&[
        (
            "{port: {number: 1, protocol: HTTPS}, tls: {mode: SIMPLE}}",
            "",
        ),
        (
            "{port: {number: 1, protocol: HTTPS}, tls: {mode: MUTUAL, caCertCredentialName: a}}",
            "ignoredfield spec.tls.caCertCredentialName",
        ),
        (
            "{port: {number: 1, protocol: HTTP}, tls: {mode: ISTIO_MUTUAL, credentialName: a}}",
            "InvalidValue spec.tls.mode|InvalidValue spec.tls.credentialName|\
             InvalidValue spec.tls",
        ),
    ]);
}

#[test]
fn egress_listeners() {
    table::<IstioEgressListener>(&[
        (
            "{hosts: ['./*', '*/*.com', '~/*', 'ns/a.com', '~ns1/*']}",
            "",
        ),
        (
            "{port: {number: 80}, bind: 127.0.0.1, captureMode: NONE, hosts: ['*/*']}",
            "",
        ),
        (
            "{port: {protocol: HTTP}, bind: 'unix:///a', hosts: ['*/*']}",
            "",
        ),
        ("{}", "Required spec.hosts"),
        (
            "{hosts: [a.com, ns/, 'a/b/c', 'n.s/*', '/*', 'ns/a*.com']}",
            "InvalidHost spec.hosts[0]|InvalidHost spec.hosts[1]|InvalidHost spec.hosts[2]|\
             InvalidHost spec.hosts[3]|InvalidHost spec.hosts[4]|InvalidHost spec.hosts[5]",
        ),
        (
            "{bind: 127.0.0.1, hosts: ['*/*']}",
            "ignoredfield spec.bind",
        ),
        (
            "{port: {number: 0}, bind: a, hosts: ['*/*']}",
            "InvalidValue spec.bind|OutOfRange spec.port.number",
        ),
        (
            "{bind: 'unix://a', captureMode: IPTABLES, hosts: ['*/*']}",
            "InvalidValue spec.bind|Conflict spec.captureMode",
        ),
    ]);
}

#[test]
fn the_whole() {
    table::<Sidecar>(&[
        ("{egress: [{hosts: ['*/*']}]}", ""),
        ("{outboundTrafficPolicy: {mode: ALLOW_ANY}}", ""),
        ("{}", "Required spec.egress"),
        (
            "{workloadSelector: {}, egress: [{hosts: ['*/*']}]}",
            "ignoredfield spec.workloadSelector.labels",
        ),
        (
            "{ingress: [{port: {number: 80}}, {port: {number: 80}}]}",
            "Conflict spec.ingress[1].port",
        ),
        (
            "{egress: [{hosts: ['*/*']}, {port: {number: 80}, hosts: ['*/*', '*/*']}]}",
            "InvalidValue spec.egress[0].port|ignoredfield spec.egress[1].hosts[1]",
        ),
        (
            "{egress: [{hosts: [./*, shop/a.com, other/a.com]}]}",
            "ignoredfield spec.egress[0].hosts[1]",
        ),
        (
            "{inboundConnectionPool: {}}",
            "Required spec.inboundConnectionPool",
        ),
        (
            "{outboundTrafficPolicy: {egressProxy: {host: '*.a'}}}",
            "Conflict spec.outboundTrafficPolicy.egressProxy|\
             InvalidHost spec.outboundTrafficPolicy.egressProxy.host|\
             Required spec.outboundTrafficPolicy.egressProxy.port",
        ),
    ]);
}
