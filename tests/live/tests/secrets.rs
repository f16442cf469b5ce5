//! Certificates by `credentialName`: a gateway between real Envoys serves HTTPS with a Secret that is
//! replaced under load, and over TLS each proxy gets what it may have and nothing else.

#![allow(
    clippy::indexing_slicing,
    reason = "JSON: what is absent reads as null"
)]

use anyhow::{Context, Result, ensure};
use meltemi_bootstrap::{NodeFacts, XdsProtocol, XdsServer};
use meltemi_live::scene::{SOON, Scene, run};
use meltemi_live::secured::{Knows, Secured};
use meltemi_live::shop::{self, Servers};
use meltemi_testkit::envoy::Envoy;
use meltemi_testkit::mesh::{Plan, Workload};
use meltemi_testkit::reviews::{Reviews, Token};
use meltemi_testkit::secrets::{AUTHORITY, CLIENT, CLIENT_KEY, REVIEWS, REVIEWS_KEY};
use meltemi_testkit::{laptop, paths, wait};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

const EDGE: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 14);
const FILE: &str = "web-cert.yaml";

const OBJECTS: &str = "apiVersion: v1
kind: Service
metadata: {name: edge, namespace: shop}
spec:
  selector: {app: edge}
  ports:
  - {name: https, port: 8443}
---
apiVersion: v1
kind: Pod
metadata: {name: edge-0, namespace: shop, labels: {app: edge}}
spec: {serviceAccountName: edge, containers: [{name: app}]}
status: {phase: Running, podIP: 127.0.1.14}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: edge, namespace: shop}
spec:
  host: edge
  trafficPolicy:
    connectionPool: {http: {maxRequestsPerConnection: 1}}
    tls: {mode: SIMPLE, sni: shop.example.com, insecureSkipVerify: true}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  selector: {app: edge}
  servers:
  - port: {number: 8443, protocol: HTTPS, name: https}
    bind: 127.0.1.14
    hosts: [shop.example.com]
    tls: {mode: SIMPLE, credentialName: web-cert}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge, namespace: shop}
spec:
  hosts: [shop.example.com]
  gateways: [edge]
  http:
  - route: [{destination: {host: reviews}}]
    headers: {response: {set: {x-version: edge}}}
";

/// The client's Envoy sends what is for `details` through the gateway.
const DETAILS: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: details, namespace: shop}
spec:
  hosts: [details]
  http:
  - rewrite: {authority: shop.example.com}
    route: [{destination: {host: edge, port: {number: 8443}}}]
";

fn plan() -> Plan {
    let mut plan = shop::plan(XdsProtocol::Delta, Servers::One);
    let edge = Workload::new("edge-0", ("edge", ""), (EDGE, 18084));
    plan.workloads.push(edge.router().proved());
    plan.ports.push(8443);
    plan.flags = ["--secureGRPCAddr", "127.0.0.1:0"].map(Into::into).into();
    plan.files.insert("edge.yaml".into(), OBJECTS.to_owned());
    plan.files.insert(FILE.into(), secret(REVIEWS, REVIEWS_KEY));
    let listener = "  - port: {number: 8443, protocol: TLS, name: tls-8443}\n    bind: 127.0.1.11\n    \
                    captureMode: NONE\n    hosts: [./edge.shop.svc.cluster.local]\n";
    let client = [shop::client("./*"), listener.to_owned()].concat();
    plan.files.insert(shop::CLIENT.into(), client);
    plan
}

fn secret(certificate: &str, key: &str) -> String {
    let block = |text: &str| text.trim_end().replace('\n', "\n    ");
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: web-cert, namespace: shop}}\ntype: kubernetes.io/tls\n\
         stringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
        block(certificate),
        block(key),
    )
}

/// The serial numbers of the certificates that the gateway shows.
fn shown(scene: &Scene) -> Result<BTreeSet<String>> {
    let page = scene.mesh.member("edge-0")?.envoy.admin().json("/certs")?;
    let all = page["certificates"].as_array().cloned().unwrap_or_default();
    let chains = all.iter().flat_map(|one| one["cert_chain"].as_array());
    let serials = chains
        .flatten()
        .filter_map(|one| one["serial_number"].as_str());
    Ok(serials.map(str::to_owned).collect())
}

fn wait_code(scene: &Scene, code: &str) -> Result<Vec<Value>> {
    wait::until(&format!("{code} of the Gateway"), SOON, || {
        let all = scene.diagnostics()?;
        let of = |one: &&Value| one["code"] == code && one.to_string().contains("Gateway");
        let found = all.iter().find(of).is_some();
        ensure!(found, "there are {all:?}");
        Ok(Some(all))
    })
}

#[test]
fn a_gateway_serves_a_secret_that_is_replaced_under_load() -> Result<()> {
    run("secrets", &plan(), |scene| {
        scene.mesh.write(shop::DETAILS, DETAILS)?;
        scene.wait_answer("details", "edge v1")?;
        scene.wait_no_diagnostics()?;
        let first = shown(scene)?;
        ensure!(first.len() == 1, "{first:?}");
        let load = scene.load("details")?;

        scene.mesh.write(FILE, &secret(CLIENT, CLIENT_KEY))?;
        let second = wait::until("another certificate", SOON, || {
            let now = shown(scene)?;
            Ok((now.len() == 1 && now != first).then_some(now))
        })?;
        let sent = load.sent();
        wait::until("handshakes with it", SOON, || {
            Ok((load.sent() > sent + 20).then_some(()))
        })?;
        // A key that does not fit, then no Secret at all: what was good stays, and it is said.
        scene.mesh.write(FILE, &secret(CLIENT, REVIEWS_KEY))?;
        let said = wait_code(scene, "MLT0602")?;
        let text = format!("{said:?}");
        ensure!(text.contains("does not fit"), "{text}");
        scene.mesh.remove(FILE)?;
        wait_code(scene, "MLT0601")?;
        let sent = load.sent();
        wait::until("handshakes without the Secret", SOON, || {
            Ok((load.sent() > sent + 20).then_some(()))
        })?;
        ensure!(shown(scene)? == second, "it shows another certificate");
        load.end()?.expect_only("edge v1")?;
        scene.mesh.write(FILE, &secret(REVIEWS, REVIEWS_KEY))?;
        wait::until("the first certificate again", SOON, || {
            Ok((shown(scene)? == first).then_some(()))
        })?;
        scene.wait_no_diagnostics()?;
        let log = scene.mesh.plane.log();
        let key = REVIEWS_KEY.lines().nth(1).context("a key")?;
        ensure!(!log.contains(key), "a key stands in the log");
        Ok(())
    })
}

const GATEWAYS: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  selector: {app: edge}
  servers:
";

/// What may be named: by each form, in each namespace.
fn names() -> Vec<String> {
    let mut all = vec![
        "kubernetes://web".to_owned(),
        "kubernetes://web-cacert".to_owned(),
    ];
    for namespace in ["shop", "bank"] {
        for form in [
            "kubernetes://NS/web",
            "kubernetes-gateway://NS/web",
            "kubernetes://NS/web-cacert",
            "configmap://NS/roots",
        ] {
            all.push(form.replace("NS", namespace));
        }
    }
    all
}

fn gateways() -> String {
    let mut text = GATEWAYS.to_owned();
    for (index, name) in names().iter().enumerate() {
        let authorities = name.ends_with("-cacert") || name.starts_with("configmap");
        let tls = match authorities {
            true => {
                format!("{{mode: MUTUAL, credentialName: web, caCertCredentialName: \"{name}\"}}")
            }
            false => format!("{{mode: SIMPLE, credentialName: \"{name}\"}}"),
        };
        text += &format!(
            "  - port: {{number: {}, protocol: HTTPS, name: https-{index}}}\n    hosts: [\"*\"]\n    tls: {tls}\n",
            9000 + index
        );
    }
    text
}

/// An API server's stand-in with a Secret and a ConfigMap in two namespaces.
fn cluster() -> Result<Reviews> {
    let reviews = Reviews::start(&["istio-system", "shop", "bank", "kube-public"])?;
    for namespace in ["shop", "bank"] {
        let meta =
            |name: &str| json!({"name": name, "namespace": namespace, "resourceVersion": "1"});
        let at = |kind: &str, name: &str| format!("/api/v1/namespaces/{namespace}/{kind}/{name}");
        reviews.put(
            &at("secrets", "web"),
            json!({
                "metadata": meta("web"), "type": "Opaque",
                "stringData": {"cert": REVIEWS, "key": REVIEWS_KEY, "cacert": AUTHORITY},
            }),
        );
        reviews.put(
            &at("configmaps", "roots"),
            json!({"metadata": meta("roots"), "data": {"ca.crt": AUTHORITY}}),
        );
    }
    Ok(reviews)
}

/// The same as files of a directory.
fn directory() -> String {
    let mut text = String::new();
    for namespace in ["shop", "bank"] {
        let block = |text: &str| text.trim_end().replace('\n', "\n    ");
        let authority = block(AUTHORITY);
        text += &format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: web, namespace: {namespace}}}\nstringData:\n  \
             cert: |\n    {}\n  key: |\n    {}\n  cacert: |\n    {authority}\n\
             ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: roots, namespace: {namespace}}}\ndata:\n  \
             ca.crt: |\n    {authority}\n",
            block(REVIEWS),
            block(REVIEWS_KEY),
        );
    }
    text
}

/// A gateway's Envoy of an account of namespace `shop` that asks for every name, with a token.
fn envoy(stage: &Secured, account: &str, token: &str) -> Result<Envoy> {
    stage.project(account, token)?;
    stage.envoy(account, (edge(account), Some(listeners())))
}

fn edge(account: &str) -> NodeFacts {
    let id = format!("router~127.0.0.1~{account}-0.shop~shop.svc.cluster.local");
    NodeFacts::new(id, format!("{account}.shop"))
}

/// Listeners that show or believe what each name means.
fn listeners() -> Value {
    let sds = |name: &str| {
        json!({"name": name, "sds_config": {
            "ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s",
        }})
    };
    let all = names().into_iter().enumerate().map(|(index, name)| {
        let authorities = name.ends_with("-cacert") || name.starts_with("configmap");
        let common = match authorities {
            true => json!({
                "tls_certificates": [{
                    "certificate_chain": {"inline_string": REVIEWS},
                    "private_key": {"inline_string": REVIEWS_KEY},
                }],
                "validation_context_sds_secret_config": sds(&name),
            }),
            false => json!({"tls_certificate_sds_secret_configs": [sds(&name)]}),
        };
        json!({
            "name": format!("l{index}"),
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "filter_chains": [{
                "filters": [{"name": "echo", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo",
                }}],
                "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                    "common_tls_context": common,
                }},
            }],
        })
    });
    json!({"listeners": all.collect::<Vec<_>>()})
}

/// The names of the secrets that an Envoy has.
fn held(envoy: &Envoy) -> Result<BTreeSet<String>> {
    let dump = envoy
        .admin()
        .json("/config_dump?resource=dynamic_active_secrets")?;
    let all = dump["configs"].as_array().cloned().unwrap_or_default();
    let named = all.iter().filter(|one| one["secret"].is_object());
    let names = named.filter_map(|one| one["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}

fn wait_held(envoy: &Envoy, expected: &[&str]) -> Result<()> {
    let expected: BTreeSet<String> = expected.iter().map(|n| (*n).to_owned()).collect();
    wait::until(&format!("{expected:?}"), SOON, || {
        let now = held(envoy)?;
        ensure!(now == expected, "it has {now:?}");
        Ok(Some(()))
    })
}

const AUTHORITIES: [&str; 3] = [
    "configmap://shop/roots",
    "kubernetes://shop/web-cacert",
    "kubernetes://web-cacert",
];
const KEYS: [&str; 3] = [
    "kubernetes-gateway://shop/web",
    "kubernetes://shop/web",
    "kubernetes://web",
];

fn expect_secret(stage: &Secured) -> Result<()> {
    let log = stage.plane.log();
    let key = REVIEWS_KEY.lines().nth(1).context("a key")?;
    ensure!(!log.contains(key), "a key stands in the log");
    Ok(())
}

#[test]
fn sds_matrix() -> Result<()> {
    let stage = Secured::start("sds-matrix", &gateways(), Knows::Cluster(cluster()?))?;
    let reviews = stage.reviews()?;
    let join = |account: &str| {
        let pod = format!("{account}-0");
        let token = reviews.mint(&Token::of("shop", account, &pod));
        envoy(&stage, account, &token)
    };
    // Cold: this account may not read Secrets, so it gets authorities of its own namespace alone.
    let stranger = join("stranger")?;
    wait_held(&stranger, &AUTHORITIES)?;
    reviews.let_read("shop", "edge");
    let edge = join("edge")?;
    let all = [&AUTHORITIES[..], &KEYS[..]].concat();
    wait_held(&edge, &all)?;
    // Warm: what another one has been given is given to nobody else.
    let again = join("passer")?;
    wait_held(&again, &AUTHORITIES)?;
    wait_held(&stranger, &AUTHORITIES)?;
    // A right that is given later counts within seconds, and nothing needs to be restarted.
    reviews.let_read("shop", "stranger");
    wait_held(&stranger, &all)?;
    expect_secret(&stage)
}

/// Without an API server whoever has proved an account gets what is named and of its namespace; over
/// plaintext nobody gets anything.
#[test]
fn on_a_laptop_the_proved_account_gets_what_its_namespace_has() -> Result<()> {
    let objects = [gateways(), directory()].concat();
    let stage = Secured::start("sds-laptop", &objects, Knows::Directory)?;
    let words = laptop::pod(("shop", "edge", "edge-0"));
    let token = laptop::token(&paths::binary("meltemi")?, &stage.path("config"), &words)?;
    let proved = envoy(&stage, "edge", &token)?;
    wait_held(&proved, &[&AUTHORITIES[..], &KEYS[..]].concat())?;

    let at = stage.plane.grpc();
    let plaintext = XdsServer::Tcp {
        address: at.ip().to_string(),
        port: at.port(),
    };
    let nobody = stage.envoy_at("nobody", plaintext, (edge("nobody"), Some(listeners())))?;
    // Even of what is no secret: who is proved is refused what is of another namespace alone.
    let refused = |line: &str| line.contains("does not get") && line.contains(AUTHORITIES[0]);
    wait::until("the plaintext proxy to be refused", SOON, || {
        Ok(stage.plane.log().lines().any(refused).then_some(()))
    })?;
    wait_held(&nobody, &[])?;
    expect_secret(&stage)
}
