//! A gateway between real Envoys: plaintext HTTP, TLS that ends there with a certificate in files,
//! and TLS that passes by its server name. The client of TLS is the Envoy of a workload.

use anyhow::{Result, ensure};
use meltemi_bootstrap::XdsProtocol;
use meltemi_live::scene::{SOON, Scene, run, who};
use meltemi_live::shop::{self, Servers};
use meltemi_testkit::http::{Client, Request, Response};
use meltemi_testkit::mesh::{Plan, Workload};
use meltemi_testkit::{paths, wait};
use std::net::Ipv4Addr;
use std::time::Duration;

const EDGE: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 14);
/// The ports of HTTP, HTTP that tells of HTTPS, HTTPS, and TLS that passes.
const PORTS: [u16; 4] = [8090, 8091, 8443, 8444];
const HOST: &str = "shop.example.com";

/// The shop, and a gateway before it. `inner` is the gateway too, as those behind it see it.
fn plan() -> Plan {
    let mut plan = shop::plan(XdsProtocol::Delta, Servers::One);
    let edge = Workload::new("edge-0", ("edge", ""), (EDGE, 18084));
    plan.workloads.push(edge.router());
    plan.ports.extend(PORTS);
    plan.files.insert("edge.yaml".into(), edge_objects());
    plan.files.insert("gateway.yaml".into(), gateway());
    plan.files.insert(shop::CLIENT.into(), client());
    plan
}

/// The client's Sidecar. A listener with a port reaches that port only, also of the hosts that its
/// virtual services send to: those of the gateway need listeners of their own.
fn client() -> String {
    let listener = |port: u16| {
        format!(
            "  - port: {{number: {port}, protocol: TLS, name: tls-{port}}}\n    bind: 127.0.1.11\n    \
             captureMode: NONE\n    hosts: [./edge.shop.svc.cluster.local]\n"
        )
    };
    [shop::client("./*"), listener(8443), listener(8444)].concat()
}

fn edge_objects() -> String {
    let service = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             selector: {{app: edge}}\n  ports:\n  - {{name: https, port: 8443}}\n  - {{name: tls, port: 8444}}\n---\n"
        )
    };
    let pod = "apiVersion: v1
kind: Pod
metadata: {name: edge-0, namespace: shop, labels: {app: edge}}
spec: {serviceAccountName: edge, containers: [{name: app}]}
status: {phase: Running, podIP: 127.0.1.14}
---
";
    let rule = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: edge, namespace: shop}
spec:
  host: edge
  trafficPolicy: {tls: {mode: SIMPLE, sni: shop.example.com, insecureSkipVerify: true}}
";
    [service("edge"), service("inner"), pod.into(), rule.into()].concat()
}

fn gateway() -> String {
    let certificates = paths::repository().join("tests/support/certificates");
    let (certificate, key) = (
        certificates.join("reviews.pem"),
        certificates.join("reviews.key"),
    );
    format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec:
  selector: {{app: edge}}
  servers:
  - port: {{number: 8090, protocol: HTTP, name: http}}
    bind: 127.0.1.14
    hosts: [{HOST}]
  - port: {{number: 8091, protocol: HTTP, name: redirects}}
    bind: 127.0.1.14
    hosts: [{HOST}]
    tls: {{httpsRedirect: true}}
  - port: {{number: 8443, protocol: HTTPS, name: https}}
    bind: 127.0.1.14
    hosts: [{HOST}]
    tls: {{mode: SIMPLE, serverCertificate: {}, privateKey: {}}}
  - port: {{number: 8444, protocol: TLS, name: tls}}
    bind: 127.0.1.14
    hosts: [{HOST}]
    tls: {{mode: PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: edge, namespace: shop}}
spec:
  hosts: [{HOST}]
  gateways: [edge]
  http:
  - route: [{{destination: {{host: reviews}}}}]
    headers: {{response: {{set: {{x-version: edge}}}}}}
  tls:
  - match: [{{port: 8444, sniHosts: [{HOST}]}}]
    route: [{{destination: {{host: inner, port: {{number: 8443}}}}}}]
",
        certificate.display(),
        key.display(),
    )
}

/// The client's Envoy sends what is for `details` through the gateway, over TLS.
fn over_tls(port: u16) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: details, namespace: shop}}
spec:
  hosts: [details]
  http:
  - rewrite: {{authority: {HOST}}}
    route: [{{destination: {{host: edge, port: {{number: {port}}}}}}}]
"
    )
}

/// What somebody outside of the mesh is answered.
fn outside(scene: &Scene, port: u16, host: &str) -> Result<Response> {
    let at = scene.mesh.at(EDGE, port)?;
    let client = Client::new(Duration::from_secs(5));
    client.send(&Request::get(at, host, "/cart"))
}

fn handshakes(scene: &Scene) -> Result<u64> {
    let stats = scene.mesh.member("edge-0")?.envoy.admin().stats()?;
    Ok(stats.sum("listener.", ".ssl.handshake"))
}

#[test]
fn a_gateway_serves_http_https_and_tls_by_server_name() -> Result<()> {
    run("gateway", &plan(), |scene| {
        wait::until("the gateway to answer", SOON, || {
            let answer = outside(scene, 8090, HOST)?;
            let got = (answer.status, who(&answer));
            ensure!(got == (200, "v1".into()), "it answers {got:?}");
            Ok(Some(()))
        })?;
        let unknown = outside(scene, 8090, "other.example.com")?;
        ensure!(unknown.status == 404, "{unknown:?}");
        let redirect = outside(scene, 8091, HOST)?;
        let place = redirect.header("location");
        let right = redirect.status == 301 && place == "https://shop.example.com/cart";
        ensure!(right, "{redirect:?}");
        ensure!(handshakes(scene)? == 0, "nobody spoke TLS yet");

        scene.mesh.write(shop::DETAILS, &over_tls(8443))?;
        scene.wait_answer("details", "edge v1")?;
        let ended = handshakes(scene)?;
        ensure!(ended > 0, "the gateway ended no TLS");

        scene.mesh.write(shop::DETAILS, &over_tls(8444))?;
        let passed = |scene: &Scene| -> Result<u64> {
            let stats = scene.mesh.member("edge-0")?.envoy.admin().stats()?;
            Ok(stats.sum("tcp.outbound|", ".downstream_cx_total"))
        };
        wait::until("TLS to pass by its server name", SOON, || {
            scene.ask("details", "/", &[])?;
            Ok((passed(scene)? > 0).then_some(()))
        })?;
        scene.wait_answer("details", "edge v1")?;
        scene.wait_no_diagnostics()
    })
}
