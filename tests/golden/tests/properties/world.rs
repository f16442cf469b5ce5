//! Random small worlds: objects with names from small pools, so that they meet often.

use crate::edge;
use anyhow::{Context, Result};
use meltemi_api::Change;
use meltemi_api::yaml::{self, Outcome, Source};
use meltemi_golden::compose::sidecar;
use meltemi_model::proxy::Interception;
use meltemi_model::{Certificates, DnsCapture, Proxy};
use meltemi_types::ObjectRef;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use std::sync::Arc;

/// Every subset that a VirtualService may name is known, whatever else comes and goes: what
/// happens with unknown ones depends on history, by design.
const PINNED: &str = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
    metadata: {name: pinned, namespace: istio-system}\n\
    spec: {host: \"*.cluster.local\", subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}\n";

/// The object that is always there.
pub(crate) fn pinned() -> Result<Change> {
    Ok(read(PINNED)?.0)
}

/// One object as a change, and its key.
pub(crate) fn read(text: &str) -> Result<(Change, Arc<ObjectRef>)> {
    let documents = yaml::read(text.as_bytes(), &Source::new("world.yaml"));
    let document = documents.into_iter().next().context("a document")?;
    match document.outcome {
        Outcome::Object(object) => {
            let key = object.key().clone();
            Ok((Change::Upsert(object), key))
        }
        Outcome::Broken { .. } | Outcome::LeftOut | Outcome::Foreign | Outcome::Unclear => {
            anyhow::bail!("{:?}\n{text}", document.diagnostics)
        }
    }
}

/// Proxies of several namespaces and classes.
pub(crate) fn proxies() -> Result<Vec<Proxy>> {
    let a = sidecar(
        "a-1",
        "shop",
        "10.0.0.1",
        &json!({"app": "a", "version": "v1", "security.istio.io/tlsMode": "istio"}),
    )?;
    let b = sidecar("b-1", "shop", "10.0.0.2", &json!({"app": "b"}))?;
    let c = sidecar("c-1", "team", "10.0.0.3", &json!({"app": "c"}))?;
    let none = Proxy {
        interception: Interception::None,
        certificates: Some(Certificates::Bootstrap),
        ..sidecar("d-1", "team", "10.0.0.4", &json!({"app": "a"}))?
    };
    let stranger = Proxy {
        interception: Interception::Tproxy,
        dns: DnsCapture::On,
        ..sidecar("e-1", "z", "fd00::9", &json!({}))?
    };
    let router = edge::router("f-1", "team", "10.0.0.8")?;
    Ok(vec![a, b, c, none, stranger, router])
}

pub(crate) fn object(kind: (&str, &str), name: &str, namespace: &str, rest: &str) -> String {
    let (api_version, kind) = kind;
    format!(
        "apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\n{rest}\n"
    )
}

pub(crate) fn namespace() -> impl Strategy<Value = &'static str> {
    select(&["shop", "team"][..])
}

pub(crate) fn app() -> impl Strategy<Value = &'static str> {
    select(&["a", "b", "c"][..])
}

fn service() -> impl Strategy<Value = String> {
    let address = select(&["10.96.0.1", "10.96.0.2", "None", "fd00:96::1"][..]);
    let ports = select(
        &[
            "{port: 80, name: http, targetPort: 8080}",
            "{port: 80, name: tcp}, {port: 81, name: http-b}",
            "{port: 80, name: web}",
            "{port: 81, name: https}, {port: 80, name: grpc}",
            "{port: 80, name: http, targetPort: named}, {port: 82, name: mysql}",
        ][..],
    );
    let extra = select(
        &[
            "",
            ", internalTrafficPolicy: Local",
            ", trafficDistribution: PreferClose",
        ][..],
    );
    (app(), namespace(), address, ports, extra).prop_map(|(name, ns, address, ports, extra)| {
        let spec = format!(
            "spec: {{clusterIP: \"{address}\", selector: {{app: {name}}}, ports: [{ports}]{extra}}}"
        );
        object(("v1", "Service"), name, ns, &spec)
    })
}

/// One of a service's lists of endpoints, at one named port.
pub(crate) fn endpoint_slice(
    (name, ns, number): (&str, &str, u8),
    port: &str,
    endpoints: &str,
) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: {name}-{number}, namespace: {ns}, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{name: {port}, port: 8080}}]\nendpoints: [{endpoints}]\n"
    )
}

fn slice() -> impl Strategy<Value = String> {
    let number = 1..3_u8;
    let address = select(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.8", "10.0.0.9"][..]);
    let ready = select(
        &[
            "{ready: true}",
            "{ready: false, terminating: false}",
            "{ready: false}",
        ][..],
    );
    let port = select(&["http", "tcp", "web", "grpc", "http-b"][..]);
    (app(), namespace(), number, (address, ready), port).prop_map(
        |(name, ns, number, (address, ready), port)| {
            let one = format!("{{addresses: [{address}], conditions: {ready}}}");
            let endpoints = format!("{one}, {{addresses: [10.0.0.7], zone: far}}");
            endpoint_slice((name, ns, number), port, &endpoints)
        },
    )
}

fn endpoints() -> impl Strategy<Value = String> {
    let address = select(&["10.0.0.1", "10.0.0.5"][..]);
    let ready = select(&["addresses", "notReadyAddresses"][..]);
    (app(), namespace(), address, ready).prop_map(|(name, ns, address, ready)| {
        let subsets = format!(
            "subsets: [{{{ready}: [{{ip: {address}}}], ports: [{{name: http, port: 8080}}]}}]"
        );
        object(("v1", "Endpoints"), name, ns, &subsets)
    })
}

fn pod() -> impl Strategy<Value = String> {
    let names = select(
        &[
            ("a-1", "10.0.0.1"),
            ("b-1", "10.0.0.2"),
            ("c-1", "10.0.0.3"),
            ("f-1", "10.0.0.8"),
        ][..],
    );
    let version = select(&["v1", "v2"][..]);
    let node = select(&["n1", "n2", "n3"][..]);
    let ready = select(&["True", "False"][..]);
    let tls = select(&["istio", "disabled"][..]);
    ((names, namespace()), app(), version, node, (ready, tls)).prop_map(
        |(((name, ip), ns), app, version, node, (ready, tls))| {
            format!(
                "apiVersion: v1\nkind: Pod\n\
                 metadata: {{name: {name}, namespace: {ns}, labels: {{app: {app}, version: {version}, security.istio.io/tlsMode: {tls}}}}}\n\
                 spec: {{nodeName: {node}, serviceAccountName: {app}, containers: [{{name: c, ports: [{{name: named, containerPort: 8081}}]}}]}}\n\
                 status: {{podIP: {ip}, conditions: [{{type: Ready, status: \"{ready}\"}}]}}\n"
            )
        },
    )
}

fn place() -> impl Strategy<Value = String> {
    let node = (
        select(&["n1", "n2"][..]),
        select(&["eu-a", "eu-b", "us-a"][..]),
    )
        .prop_map(|(name, zone)| {
            format!(
                "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, \
             labels: {{topology.kubernetes.io/region: r, topology.kubernetes.io/zone: {zone}}}}}\n"
            )
        });
    let namespace = (namespace(), select(&["west", "east"][..])).prop_map(|(name, network)| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{topology.istio.io/network: {network}}}}}\n"
        )
    });
    prop_oneof![node, namespace]
}

fn host() -> impl Strategy<Value = &'static str> {
    select(
        &[
            "a",
            "b",
            "a.shop.svc.cluster.local",
            "b.team.svc.cluster.local",
            "\"*.shop.svc.cluster.local\"",
            "api.example.com",
        ][..],
    )
}

fn destination() -> impl Strategy<Value = String> {
    let host = select(&["a", "b", "c.team.svc.cluster.local", "gone"][..]);
    let rest = select(&["", ", subset: v1", ", subset: v2", ", port: {number: 81}"][..]);
    (host, rest).prop_map(|(host, rest)| format!("destination: {{host: {host}{rest}}}"))
}

fn http_rule() -> impl Strategy<Value = String> {
    let matches = select(
        &[
            "",
            "match: [{uri: {prefix: /a}}], ",
            "match: [{headers: {x: {exact: \"1\"}}}, {uri: {exact: /b}}], ",
            "match: [{sourceLabels: {app: a}}], ",
            "match: [{sourceLabels: {version: v1}, port: 80}], ",
        ][..],
    );
    let more = select(
        &[
            "",
            ", timeout: 1s",
            ", retries: {attempts: 3}",
            ", fault: {abort: {httpStatus: 500}}",
            ", mirror: {host: b}",
            ", rewrite: {uri: /r}",
        ][..],
    );
    let split = (destination(), destination())
        .prop_map(|(a, b)| format!("route: [{{{a}, weight: 90}}, {{{b}, weight: 10}}]"));
    let single = destination().prop_map(|a| format!("route: [{{{a}}}]"));
    (matches, prop_oneof![split, single], more)
        .prop_map(|(matches, route, more)| format!("{{{matches}{route}{more}}}"))
}

/// Shares of two destinations, or one alone.
fn l4_route() -> impl Strategy<Value = String> {
    let weights = select(&[(90, 10), (0, 100), (1, 1)][..]);
    let split = (destination(), destination(), weights)
        .prop_map(|(a, b, (x, y))| format!("route: [{{{a}, weight: {x}}}, {{{b}, weight: {y}}}]"));
    let single = destination().prop_map(|a| format!("route: [{{{a}}}]"));
    prop_oneof![split, single]
}

fn tcp_rule() -> impl Strategy<Value = String> {
    let matches = select(
        &[
            "",
            "match: [{port: 80}], ",
            "match: [{sourceLabels: {app: a}}], ",
            "match: [{destinationSubnets: [10.96.0.0/24, 10.97.0.1], port: 80}], ",
            "match: [{sourceNamespace: shop}, {port: 81, gateways: [mesh]}], ",
        ][..],
    );
    (matches, l4_route()).prop_map(|(matches, route)| format!("{{{matches}{route}}}"))
}

fn tls_rule() -> impl Strategy<Value = String> {
    let matches = select(
        &[
            "{sniHosts: [x.example.org]}",
            "{sniHosts: [x.example.org, \"*.example.org\"], port: 81}",
            "{sniHosts: [y.example.org], sourceLabels: {app: a}}, {sniHosts: [x.example.org]}",
            "{sniHosts: [\"*.example.org\"], destinationSubnets: [10.96.0.0/24]}",
        ][..],
    );
    (matches, l4_route()).prop_map(|(matches, route)| format!("{{match: [{matches}], {route}}}"))
}

fn virtual_service() -> impl Strategy<Value = String> {
    let name = select(&["r", "s", "t"][..]);
    let exported = select(&["", "exportTo: [\".\"], "][..]);
    let rules = prop::collection::vec(http_rule(), 1..3);
    let body = prop_oneof![
        4 => rules.prop_map(|rules| format!("http: [{}]", rules.join(", "))),
        1 => prop::collection::vec(tcp_rule(), 1..3).prop_map(|all| format!("tcp: [{}]", all.join(", "))),
        1 => prop::collection::vec(tls_rule(), 1..3).prop_map(|all| format!("tls: [{}]", all.join(", "))),
    ];
    (name, namespace(), host(), exported, body).prop_map(|(name, ns, host, exported, body)| {
        let spec = format!("spec: {{hosts: [{host}, \"*.example.org\"], {exported}{body}}}");
        object(
            ("networking.istio.io/v1", "VirtualService"),
            name,
            ns,
            &spec,
        )
    })
}

fn destination_rule() -> impl Strategy<Value = String> {
    let policy = select(
        &[
            "connectionPool: {tcp: {maxConnections: 1}}",
            "loadBalancer: {consistentHash: {useSourceIp: true}}",
            "loadBalancer: {simple: PASSTHROUGH}",
            "outlierDetection: {consecutive5xxErrors: 1}",
            "portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]",
            "tls: {mode: SIMPLE}",
            "tls: {mode: ISTIO_MUTUAL}",
            "tls: {mode: DISABLE}",
        ][..],
    );
    let rest = select(
        &[
            "",
            ", subsets: [{name: v1, labels: {version: v1}}]",
            ", workloadSelector: {matchLabels: {app: a}}",
            ", exportTo: [\".\"]",
        ][..],
    );
    (
        select(&["r", "s", "t"][..]),
        namespace(),
        host(),
        policy,
        rest,
    )
        .prop_map(|(name, ns, host, policy, rest)| {
            let spec = format!("spec: {{host: {host}, trafficPolicy: {{{policy}}}{rest}}}");
            object(
                ("networking.istio.io/v1", "DestinationRule"),
                name,
                ns,
                &spec,
            )
        })
}

fn scoping() -> impl Strategy<Value = String> {
    let spec = select(
        &[
            "{egress: [{hosts: [\"./*\"]}]}",
            "{egress: [{port: {number: 80, protocol: HTTP, name: http}, hosts: [\"*/*\"]}, {hosts: [\"./*\"]}]}",
            "{egress: [{port: {number: 81, protocol: TCP, name: tcp}, bind: 127.0.0.9, captureMode: NONE, hosts: [\"shop/*\"]}]}",
            "{egress: [{hosts: [\"*/*\", \"~team/*\"]}], outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.shop.svc.cluster.local, port: {number: 80}}}}",
            "{egress: [{hosts: [\"*/*\"]}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}",
            "{workloadSelector: {labels: {app: a}}, egress: [{hosts: [\"shop/a.shop.svc.cluster.local\"]}]}",
            "{workloadSelector: {labels: {app: a}}, ingress: [{port: {number: 9000, protocol: HTTP, name: http}, defaultEndpoint: \"127.0.0.1:8080\"}], egress: [{hosts: [\"*/*\"]}]}",
            "{egress: [{port: {number: 80, protocol: HTTP, name: http}, hosts: [\"team/*\"]}, {hosts: [\"./*\"]}]}",
        ][..],
    );
    let namespaces = select(&["shop", "team", "istio-system"][..]);
    (select(&["r", "s"][..]), namespaces, spec).prop_map(|(name, ns, spec)| {
        let spec = match ns {
            "istio-system" => "{egress: [{hosts: [\"*/*\"]}]}",
            _ => spec,
        };
        object(
            ("networking.istio.io/v1", "Sidecar"),
            name,
            ns,
            &format!("spec: {spec}"),
        )
    })
}

fn security() -> impl Strategy<Value = String> {
    let spec = select(
        &[
            ("PeerAuthentication", "{mtls: {mode: STRICT}}"),
            (
                "PeerAuthentication",
                "{selector: {matchLabels: {app: a}}, portLevelMtls: {8080: {mode: STRICT}}}",
            ),
            ("PeerAuthentication", "{mtls: {mode: PERMISSIVE}}"),
            ("PeerAuthentication", "{mtls: {mode: DISABLE}}"),
            (
                "PeerAuthentication",
                "{selector: {matchLabels: {app: a}}, mtls: {mode: DISABLE}, portLevelMtls: {8080: {mode: PERMISSIVE}}}",
            ),
            (
                "AuthorizationPolicy",
                "{selector: {matchLabels: {app: b}}, rules: [{}]}",
            ),
            (
                "RequestAuthentication",
                "{selector: {matchLabels: {app: c}}}",
            ),
        ][..],
    );
    let namespaces = select(&["shop", "team", "istio-system"][..]);
    (select(&["r", "s"][..]), namespaces, spec).prop_map(|(name, ns, (kind, spec))| {
        object(
            ("security.istio.io/v1", kind),
            name,
            ns,
            &format!("spec: {spec}"),
        )
    })
}

fn mesh() -> impl Strategy<Value = String> {
    let config = select(
        &[
            "outboundTrafficPolicy: {mode: REGISTRY_ONLY}",
            "connectTimeout: 2s",
            "proxyHttpPort: 15080",
            "defaultServiceExportTo: [\".\"]",
            "defaultVirtualServiceExportTo: [\".\"]",
            "defaultDestinationRuleExportTo: [\".\"]",
            "accessLogFile: /dev/null",
        ][..],
    );
    config.prop_map(|config| {
        let data = format!("data:\n  mesh: |\n    {config}");
        object(("v1", "ConfigMap"), "istio", "istio-system", &data)
    })
}

/// Any object that selects workloads by label or not.
pub(crate) fn any_object() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => service(),
        6 => slice(),
        2 => endpoints(),
        6 => pod(),
        2 => place(),
        6 => virtual_service(),
        4 => destination_rule(),
        3 => edge::gateway(),
        2 => edge::virtual_service(),
        1 => edge::ingress(),
        2 => scoping(),
        2 => security(),
        7 => super::entries::any_entry(),
        1 => mesh(),
    ]
}
