//! Random ServiceEntries and WorkloadEntries, whose hosts, labels and addresses meet those of the
//! other objects.

use super::world::{app, namespace, object};
use proptest::prelude::*;
use proptest::sample::select;

fn service_entry() -> impl Strategy<Value = String> {
    let host = select(
        &[
            "api.example.com",
            "\"*.example.com\"",
            "a.shop.svc.cluster.local",
            "b.team.svc.cluster.local",
            "api.example.com, other.example.com",
        ][..],
    );
    let ports = select(
        &[
            "{number: 80, name: http, protocol: HTTP, targetPort: 8080}",
            "{number: 80, name: tcp, protocol: TCP}, {number: 81, name: http-b, protocol: HTTP}",
            "{number: 443, name: tls, protocol: TLS}",
            "{number: 80, name: web}, {number: 82, name: http, protocol: HTTP}",
        ][..],
    );
    let rest = select(
        &[
            "",
            "addresses: [10.8.0.0/16], ",
            "addresses: [10.8.0.1], ",
            "resolution: STATIC, addresses: [10.96.0.1, 10.8.0.2], endpoints: [{address: 10.0.0.1}], ",
            "resolution: STATIC, endpoints: [{address: 10.0.0.8, weight: 2, labels: {version: v1}}], ",
            "resolution: STATIC, workloadSelector: {labels: {app: a}}, ",
            "workloadSelector: {labels: {version: v1}}, ",
            "resolution: DNS, endpoints: [{address: one.example.com, locality: r/eu-a}], ",
            "resolution: DNS, workloadSelector: {labels: {app: b}}, ",
        ][..],
    );
    let more = select(
        &[
            "",
            "exportTo: [\".\"], ",
            "location: MESH_INTERNAL, subjectAltNames: [x], ",
        ][..],
    );
    let name = select(&["e", "f", "g"][..]);
    (name, namespace(), host, ports, (rest, more)).prop_map(
        |(name, ns, host, ports, (rest, more))| {
            let spec = format!("spec: {{hosts: [{host}], {rest}{more}ports: [{ports}]}}");
            object(("networking.istio.io/v1", "ServiceEntry"), name, ns, &spec)
        },
    )
}

fn workload_entry() -> impl Strategy<Value = String> {
    let address = select(&["10.0.0.1", "10.0.0.4", "10.0.0.8", "vm.example.com"][..]);
    let more = select(
        &[
            "",
            ", ports: {http: 7070}",
            ", serviceAccount: a, weight: 5",
            ", network: west, locality: r/eu-b",
        ][..],
    );
    let health = select(&["True", "False"][..]);
    let name = select(&["a-1", "vm-1", "vm-2"][..]);
    (name, namespace(), app(), (address, more), health).prop_map(
        |(name, ns, app, (address, more), health)| {
            format!(
                "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n\
                 metadata: {{name: {name}, namespace: {ns}, annotations: {{proxy.istio.io/health-checks-enabled: \"true\"}}}}\n\
                 spec: {{address: {address}, labels: {{app: {app}, version: v1}}{more}}}\n\
                 status: {{conditions: [{{type: Healthy, status: \"{health}\"}}]}}\n"
            )
        },
    )
}

/// A ServiceEntry or a WorkloadEntry.
pub(crate) fn any_entry() -> impl Strategy<Value = String> {
    prop_oneof![2 => service_entry(), 1 => workload_entry()]
}
