//! The shop: a client and one or two versions of a server, as YAML.
//!
//! The client's Envoy binds port 9080 for every service of the namespace, told apart by `Host`;
//! hosts that nobody serves are answered with 502, so that a missing service is seen at once.

use anyhow::{Result, ensure};
use meltemi_bootstrap::XdsProtocol;
use meltemi_testkit::mesh::{Plan, Workload};
use std::net::Ipv4Addr;

/// Where the client calls, as written in the files.
pub const DOOR: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 1, 11), PORT);
/// The port of every service.
const PORT: u16 = 9080;

/// The file with the Sidecar of the client.
pub const CLIENT: &str = "client.yaml";
/// The file with the VirtualService `reviews`.
pub const ROUTES: &str = "routes.yaml";
/// The file with the VirtualService `details`.
pub const DETAILS: &str = "details.yaml";
/// The file with the Pod `v2`.
pub const POD_V2: &str = "pod-v2.yaml";

/// How many versions of the server run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Servers {
    /// `v1` alone.
    One,
    /// `v1` and `v2`.
    Two,
}

/// The plan: the workloads `client`, `v1` and perhaps `v2`; the services `reviews` (all servers)
/// and `details` (only `v1`). `reviews` answers with version `one` from `v1`, `details` with
/// version `one`.
#[must_use]
pub fn plan(protocol: XdsProtocol, servers: Servers) -> Plan {
    let at = |last: u8| (Ipv4Addr::new(127, 0, 1, last), 18070 + u16::from(last));
    let mut plan = Plan {
        workloads: vec![
            Workload::new("client", ("client", ""), at(11)),
            Workload::new("v1", ("reviews", "v1"), at(12)),
        ],
        ports: vec![PORT],
        protocol,
        ..Plan::default()
    };
    if servers == Servers::Two {
        let v2 = Workload::new("v2", ("reviews", "v2"), at(13));
        plan.workloads.push(v2);
        plan.files.insert(POD_V2.into(), pod("v2", 13));
        plan.files.insert("server-v2.yaml".into(), server("v2", 13));
    }
    let services = [
        service("reviews", "app: reviews"),
        service("details", "version: v1"),
    ];
    let files = [
        ("services.yaml", services.join("---\n")),
        ("rules.yaml", rules(servers)),
        ("pod-v1.yaml", pod("v1", 12)),
        ("server-v1.yaml", server("v1", 12)),
        (CLIENT, client("./*")),
        (ROUTES, reviews("one", "v1")),
        (DETAILS, details("one")),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text));
    plan.files.extend(files);
    plan
}

/// A Service on the port of all.
#[must_use]
pub fn service(name: &str, selector: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\n  namespace: shop\nspec:\n  \
         selector:\n    {selector}\n  ports:\n  - name: http\n    port: {PORT}\n"
    )
}

/// The Sidecar of the client, which sees `hosts`.
#[must_use]
pub fn client(hosts: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: client
  namespace: shop
spec:
  workloadSelector:
    labels:
      app: client
  outboundTrafficPolicy:
    mode: REGISTRY_ONLY
  egress:
  - port:
      number: {PORT}
      protocol: HTTP
      name: http
    bind: 127.0.1.11
    captureMode: NONE
    hosts:
    - {hosts}
"
    )
}

/// The VirtualService of `reviews`: everything goes to `subset` and is answered with
/// `x-version: MARK`. Tests of bad input count its lines.
#[must_use]
pub fn reviews(mark: &str, subset: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
  namespace: shop
spec:
  hosts:
  - reviews
  http:
  - name: all
    match:
    - uri:
        prefix: /
    headers:
      response:
        set:
          x-version: {mark}
    route:
    - destination:
        host: reviews
        subset: {subset}
      weight: 100
"
    )
}

/// The VirtualService of `details`, whose answers carry `x-version: MARK`.
#[must_use]
pub fn details(mark: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: details
  namespace: shop
spec:
  hosts:
  - details
  http:
  - headers:
      response:
        set:
          x-version: {mark}
    route:
    - destination:
        host: details
"
    )
}

/// A text with one edit.
///
/// # Errors
/// `from` is not exactly once in the text.
pub fn edit(text: &str, (from, to): (&str, &str)) -> Result<String> {
    let found = text.matches(from).count();
    ensure!(found == 1, "{from:?} is {found} times in {text}");
    Ok(text.replace(from, to))
}

/// The Pod of a version of the server.
#[must_use]
pub fn pod(version: &str, last: u8) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: {version}
  namespace: shop
  labels:
    app: reviews
    version: {version}
spec:
  serviceAccountName: reviews
  containers:
  - name: app
status:
  phase: Running
  podIP: 127.0.1.{last}
"
    )
}

fn server(version: &str, last: u8) -> String {
    let app = 18070 + u16::from(last);
    format!(
        "apiVersion: networking.istio.io/v1
kind: Sidecar
metadata:
  name: {version}
  namespace: shop
spec:
  workloadSelector:
    labels:
      version: {version}
  ingress:
  - port:
      number: {PORT}
      protocol: HTTP
      name: http
    bind: 127.0.1.{last}
    captureMode: NONE
    defaultEndpoint: 0.0.0.0:{app}
  egress:
  - hosts:
    - ~/*
"
    )
}

/// The DestinationRule of `reviews`: a subset per version that runs.
fn rules(servers: Servers) -> String {
    let versions: &[&str] = match servers {
        Servers::One => &["v1"],
        Servers::Two => &["v1", "v2"],
    };
    let subset = |v: &&str| format!("  - name: {v}\n    labels:\n      version: {v}\n");
    let subsets: String = versions.iter().map(subset).collect();
    format!(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: reviews
  namespace: shop
spec:
  host: reviews
  subsets:
{subsets}"
    )
}
