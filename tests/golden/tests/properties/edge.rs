//! The edge of random worlds: gateways, what is attached to them, Ingresses, and a router.

use crate::world::{namespace, object};
use anyhow::{Result, anyhow};
use meltemi_model::Proxy;
use meltemi_model::proxy::NodeFacts;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

/// A gateway's proxy.
pub(crate) fn router(name: &str, namespace: &str, ip: &str) -> Result<Proxy> {
    let mut facts = NodeFacts {
        id: format!("router~{ip}~{name}.{namespace}~{namespace}.svc.cluster.local"),
        ..NodeFacts::default()
    };
    let labels = json!({"app": "a", "istio": "ingressgateway"});
    facts.metadata.insert("LABELS".into(), labels);
    Proxy::understand(&facts).map_err(|refused| anyhow!("{refused}"))
}

/// Servers that share ports, and servers that cannot.
fn server() -> impl Strategy<Value = &'static str> {
    select(
        &[
            "port: {number: 80, protocol: HTTP, name: NAME}, hosts: [\"*\"]",
            "port: {number: 80, protocol: HTTP, name: NAME}, hosts: [a.com, ./b.com], tls: {httpsRedirect: true}",
            "port: {number: 80, protocol: HTTP2, name: NAME}, hosts: [\"shop/*.com\"]",
            "port: {number: 80, protocol: TCP, name: NAME}, hosts: [\"*\"]",
            "port: {number: 81, protocol: TCP, name: NAME}, hosts: [\"*\"], bind: 10.0.0.8",
            "port: {number: 443, protocol: TLS, name: NAME}, hosts: [a.com, \"*.com\"], tls: {mode: PASSTHROUGH}",
            "port: {number: 443, protocol: HTTPS, name: NAME}, hosts: [a.com], tls: {mode: SIMPLE, credentialName: a}",
            "port: {number: 443, protocol: HTTPS, name: NAME}, hosts: [\"team/*\"], tls: {mode: MUTUAL, credentialName: b}",
            "port: {number: 443, protocol: TLS, name: NAME}, hosts: [b.com], tls: {mode: ISTIO_MUTUAL}",
            "port: {number: 15443, protocol: TLS, name: NAME}, hosts: [\"*.local\"], tls: {mode: AUTO_PASSTHROUGH}",
        ][..],
    )
}

/// Gateways for every router, for some, and for none of the world.
pub(crate) fn gateway() -> impl Strategy<Value = String> {
    let selector = select(&["{}", "{istio: ingressgateway}", "{app: a}", "{app: b}"][..]);
    let servers = prop::collection::vec(server(), 1..4);
    let name = select(&["g", "h"][..]);
    (name, namespace(), selector, servers).prop_map(|(name, ns, selector, servers)| {
        let servers: Vec<String> = (0_u8..)
            .zip(servers)
            .map(|(i, s)| format!("{{{}}}", s.replace("NAME", &format!("p{i}"))))
            .collect();
        let spec = format!(
            "spec: {{selector: {selector}, servers: [{}]}}",
            servers.join(", ")
        );
        object(("networking.istio.io/v1", "Gateway"), name, ns, &spec)
    })
}

/// A VirtualService that is attached to gateways.
pub(crate) fn virtual_service() -> impl Strategy<Value = String> {
    let host = select(&["\"*\"", "a.com", "b.com", "\"*.com\"", "a.com, b.com"][..]);
    let gateways = select(&["g", "shop/g, team/h", "h, mesh"][..]);
    let rules = select(
        &[
            "http: [{route: [{destination: {host: a}}]}]",
            "http: [{match: [{uri: {prefix: /x}, port: 80}], route: [{destination: {host: b, subset: v1}}]}]",
            "http: [{match: [{gateways: [shop/g]}], redirect: {uri: /y}}]",
            "tls: [{match: [{sniHosts: [a.com]}, {sniHosts: [\"*.com\"]}], route: [{destination: {host: a}}]}]",
            "tcp: [{match: [{port: 80}, {port: 81}], route: [{destination: {host: a}}]}]",
        ][..],
    );
    let name = select(&["u", "v", "w"][..]);
    let all = (name, namespace(), host, gateways, rules);
    all.prop_map(|(name, ns, host, gateways, rules)| {
        // A TLS rule names hosts below the object's, and sidecars take no `*`.
        let host = match rules.starts_with("tls") || gateways.contains("mesh") {
            true => "\"*.com\"",
            false => host,
        };
        let spec = format!("spec: {{hosts: [{host}], gateways: [{gateways}], {rules}}}");
        object(
            ("networking.istio.io/v1", "VirtualService"),
            name,
            ns,
            &spec,
        )
    })
}

/// Ingresses of a class that is served or not, with ports by number and by name.
pub(crate) fn ingress() -> impl Strategy<Value = String> {
    let class = select(&["istio", "other"][..]);
    let host = select(&["host: a.com, ", "host: b.com, ", ""][..]);
    let port = select(&["{number: 80}", "{name: http}"][..]);
    let path = select(
        &[
            "path: /x, pathType: Prefix",
            "path: /y, pathType: Exact",
            "path: /, pathType: Prefix",
        ][..],
    );
    let tls = select(&["", ", tls: [{hosts: [a.com], secretName: a}]"][..]);
    let name = select(&["i", "j"][..]);
    let all = (name, namespace(), class, (host, path, port), tls);
    all.prop_map(|(name, ns, class, (host, path, port), tls)| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\n\
             metadata: {{name: {name}, namespace: {ns}, annotations: {{kubernetes.io/ingress.class: {class}}}}}\n\
             spec: {{rules: [{{{host}http: {{paths: [{{{path}, backend: {{service: {{name: a, port: {port}}}}}}}]}}}}]{tls}}}\n"
        )
    })
}
