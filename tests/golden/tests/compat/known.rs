//! What is known of fields that no golden can show: those that are without effect on purpose, those
//! that are refused, and why whole kinds have to wait.

use crate::fields::Field;
use Fate::{Ignored, Said};

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Read, and without effect on purpose, for this reason.
    Ignored(&'static str),
    /// `meltemi validate` says something about the field of an object with this spec: an error is a
    /// refusal, a warning says that it is ignored.
    Said(&'static str),
}

const INGRESS: &str = "{ingress: [{port: {number: 9080, protocol: HTTPS, name: a}, \
    defaultEndpoint: '127.0.0.1:8080', tls: {mode: SIMPLE, httpsRedirect: true, \
    credentialName: a, caCertCredentialName: a, credentialNames: [a], subjectAltNames: [a], \
    tlsCertificates: [{serverCertificate: /a, privateKey: /b, caCertificates: /c}]}}]}";

/// Kind, how the field's path ends, and what becomes of it.
const KNOWN: &[(&str, &str, Fate)] = &[
    (
        "DestinationRule",
        "outlierDetection.consecutiveErrors",
        Said("{host: a, trafficPolicy: {outlierDetection: {consecutiveErrors: 5}}}"),
    ),
    (
        "Gateway",
        "servers[].defaultEndpoint",
        Said(
            "{servers: [{port: {number: 80, protocol: HTTP, name: a}, hosts: [a], \
              defaultEndpoint: '127.0.0.1:80'}]}",
        ),
    ),
    (
        "Gateway",
        "servers[].name",
        Ignored("a name for the people who read the object"),
    ),
    (
        "Gateway",
        "servers[].port.targetPort",
        Ignored("Services say where their ports lead"),
    ),
    (
        "Gateway",
        "tlsCertificates[].caCertificates",
        Ignored("tls.caCertificates says which clients are let in, whatever certificate they see"),
    ),
    (
        "Sidecar",
        "gress[].port.name",
        Ignored("a name for the people who read the object; protocol says what is spoken"),
    ),
    (
        "Sidecar",
        "gress[].port.targetPort",
        Ignored("a listener has one port"),
    ),
    (
        "Sidecar",
        "http.h2UpgradePolicy",
        Ignored("a workload is spoken to in the protocol that its caller speaks"),
    ),
    (
        "Sidecar",
        "http.useClientProtocol",
        Ignored("a workload is always spoken to in the protocol that its caller speaks"),
    ),
    ("Sidecar", "ingress[].tls.httpsRedirect", Said(INGRESS)),
    (
        "Sidecar",
        "ingress[].tls.caCertCredentialName",
        Said(INGRESS),
    ),
    ("Sidecar", "ingress[].tls.credentialName", Said(INGRESS)),
    ("Sidecar", "ingress[].tls.credentialNames", Said(INGRESS)),
    ("Sidecar", "ingress[].tls.subjectAltNames", Said(INGRESS)),
    ("Sidecar", "ingress[].tls.tlsCertificates", Said(INGRESS)),
    (
        "VirtualService",
        "http[].fault.abort.http2Error",
        Said(
            "{hosts: [a], http: [{fault: {abort: {http2Error: a}}, \
              route: [{destination: {host: a}}]}]}",
        ),
    ),
    (
        "VirtualService",
        "http[].fault.delay.exponentialDelay",
        Said(
            "{hosts: [a], http: [{fault: {delay: {exponentialDelay: 1s}}, \
              route: [{destination: {host: a}}]}]}",
        ),
    ),
    (
        "VirtualService",
        "tcp[].match[].sourceSubnet",
        Said(
            "{hosts: [a], tcp: [{match: [{sourceSubnet: 10.0.0.0/8}], \
              route: [{destination: {host: a}}]}]}",
        ),
    ),
];

/// What to know of the fields of a kind that have to wait.
const LATER: &[(&str, &str)] = &[
    (
        "AuthorizationPolicy",
        "Its rules are not understood yet. Until they are, the workloads that a policy selects \
         refuse every request, with an error at the policy: golden `inbound/authorization-denies`.",
    ),
    (
        "RequestAuthentication",
        "Not understood yet. Until it is, the workloads that it selects refuse every request, with \
         an error at the object.",
    ),
    (
        "EnvoyFilter",
        "Read and checked; patches are not applied yet.",
    ),
    (
        "ProxyConfig",
        "No resource of Envoy shows it: it reaches pods when they are injected, `crates/cli/tests/inject/proxy-config`.",
    ),
    (
        "Telemetry",
        "Read and checked; mesh config decides about access logs meanwhile.",
    ),
    (
        "TrafficExtension",
        "Read and checked; extensions are not loaded yet.",
    ),
    (
        "WasmPlugin",
        "Read and checked; extensions are not loaded yet.",
    ),
    (
        "WorkloadGroup",
        "Read and checked; machines that register themselves will use it.",
    ),
];

/// How a field's path ends, or that of one around it, and its fate.
pub(crate) fn fate(field: &Field) -> Option<(&'static str, Fate)> {
    let known = |(kind, end, _): &&(&str, &str, Fate)| *kind == field.kind && ends(field, end);
    KNOWN.iter().find(known).map(|(_, end, fate)| (*end, *fate))
}

/// What to know of a kind.
pub(crate) fn later(kind: &str) -> Option<&'static str> {
    let mut all = LATER.iter();
    Some(all.find(|(of, _)| *of == kind)?.1)
}

/// Entries that fit no field of these.
pub(crate) fn stray<'a>(all: impl Iterator<Item = &'a Field> + Clone) -> Vec<&'static str> {
    let fits = |kind: &str, end: &str| all.clone().any(|f| f.kind == kind && ends(f, end));
    let known = KNOWN.iter().filter(|(kind, end, _)| !fits(kind, end));
    let later = LATER.iter().filter(|(kind, _)| !fits(kind, ""));
    known
        .map(|(_, end, _)| *end)
        .chain(later.map(|(kind, _)| *kind))
        .collect()
}

/// True for the field that the path ends with, and for those inside it.
fn ends(field: &Field, end: &str) -> bool {
    field.path.ends_with(end) || field.path.contains(&format!("{end}[]."))
}
