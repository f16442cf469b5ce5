//! Two real Envoys get who they are from the agent's socket, and speak mutual TLS with it, also while
//! it is renewed.

use anyhow::{Context, Result, ensure};
use meltemi_agent::files::Files;
use meltemi_agent::identity::{Identity, Mounted, Settings, Source};
use meltemi_agent::sds::{self, Secrets, Sources};
use meltemi_bootstrap::{AdminAddress, NodeFacts, SDS_CLUSTER, static_form};
use meltemi_runtime::drain::{self, Drainer};
use meltemi_testkit::envoy::{self, Envoy};
use meltemi_testkit::http::{Client, Request};
use meltemi_testkit::lease::Lease;
use meltemi_testkit::paths::Scratch;
use meltemi_testkit::wait;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, SerialNumber,
};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

const SOON: Duration = Duration::from_secs(60);
const PORT: u16 = 9443;
const DOOR: u16 = 9080;

struct Root {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Root {
    fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self { pem, issuer })
    }

    /// Replaces a workload's files, as somebody who is not careful does: one after the other.
    fn put(&self, dir: &Path, account: &str, serial: u8) -> Result<()> {
        let mut params = CertificateParams::default();
        let id = format!("spiffe://cluster.local/ns/shop/sa/{account}");
        params.subject_alt_names = vec![SanType::URI(id.as_str().try_into()?)];
        params.serial_number = Some(SerialNumber::from_slice(&[0x41, serial]));
        let key = KeyPair::generate()?;
        let chain = params.signed_by(&key, &self.issuer)?.pem();
        std::fs::write(dir.join("key.pem"), key.serialize_pem())?;
        std::fs::write(dir.join("cert-chain.pem"), chain)?;
        std::fs::write(dir.join("root-cert.pem"), &self.pem)?;
        Ok(())
    }
}

/// A workload: its files, its agent, its Envoy.
struct Workload {
    envoy: Envoy,
    files: PathBuf,
    account: &'static str,
    _drainer: Drainer,
    _sockets: TempDir,
}

struct Place<'a> {
    runtime: &'a Runtime,
    root: &'a Root,
    scratch: &'a Scratch,
}

impl Workload {
    fn start(
        place: &Place<'_>,
        (account, address): (&'static str, Ipv4Addr),
        parts: (Value, Value),
    ) -> Result<Self> {
        let files = place.scratch.path().join(account);
        std::fs::create_dir_all(&files)?;
        place.root.put(&files, account, 1)?;
        let sockets = tempfile::tempdir()?;
        let socket = sockets.path().join("socket");
        let (drainer, draining) = drain::channel();
        let _entered = place.runtime.enter();
        let follow = Files::new();
        let mounted = Mounted {
            chain: files.join("cert-chain.pem"),
            key: files.join("key.pem"),
            roots: files.join("root-cert.pem"),
        };
        let settings = Settings {
            source: Source::Mounted(mounted),
            output: None,
        };
        let (identity, held) = Identity::new(settings, follow.clone());
        place.runtime.spawn(identity.run(draining.clone()));
        let sources = Sources {
            held,
            bundle: watch::channel(Arc::from([])).1,
            trust: meltemi_agent::trust::channel().1,
            files: follow,
        };
        let settings = sds::Settings {
            socket: socket.clone(),
            revoked: None,
        };
        let secrets = Secrets::listen(&settings, sources)?;
        place.runtime.spawn(secrets.run(draining));
        let admin = AdminAddress {
            address: address.to_string(),
            port: 0,
        };
        let node = NodeFacts::new(
            format!("sidecar~{address}~{account}.shop~shop"),
            account.into(),
        );
        let (listener, cluster) = parts;
        let clusters = vec![cluster, beside(&socket)];
        let options = envoy::Options {
            name: format!("{account}-envoy"),
            concurrency: 1,
            dir: place.scratch.path().to_path_buf(),
        };
        let bootstrap = static_form(&node, &admin, vec![listener], clusters);
        let envoy = Envoy::start(&envoy::find()?, &bootstrap, &options)?;
        envoy.admin().wait_live(SOON)?;
        Ok(Self {
            envoy,
            files,
            account,
            _drainer: drainer,
            _sockets: sockets,
        })
    }

    /// True when Envoy has the certificate of that number.
    fn has(&self, serial: u8) -> Result<bool> {
        let wanted = format!("41{serial:02x}");
        let certificates = self.envoy.admin().json("/certs")?;
        let all = certificates
            .pointer("/certificates")
            .and_then(Value::as_array);
        let serial = |it: &Value| it.pointer("/cert_chain/0/serial_number").cloned();
        let mut serials = all.into_iter().flatten().filter_map(serial);
        Ok(serials.any(|serial| serial == wanted))
    }
}

/// The agent's socket as a cluster.
fn beside(socket: &Path) -> Value {
    let address = json!({"pipe": {"path": socket.display().to_string()}});
    json!({
        "name": SDS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": assignment(SDS_CLUSTER, &address),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            },
        },
    })
}

fn assignment(name: &str, address: &Value) -> Value {
    let endpoint = json!({"endpoint": {"address": address}});
    json!({"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]})
}

fn at(address: Ipv4Addr, port: u16) -> Value {
    json!({"socket_address": {"address": address.to_string(), "port_value": port}})
}

/// What the control plane says of certificates: ask the agent, and wait.
fn common_tls(peer: &str) -> Value {
    let source = json!({
        "initial_fetch_timeout": "0s",
        "resource_api_version": "V3",
        "api_config_source": {
            "api_type": "GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": true,
            "grpc_services": [{"envoy_grpc": {"cluster_name": SDS_CLUSTER}}],
        },
    });
    let san = format!("spiffe://cluster.local/ns/shop/sa/{peer}");
    json!({
        "tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": source}],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": [
                {"san_type": "URI", "matcher": {"exact": san}},
            ]},
            "validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": source},
        },
    })
}

fn listener(name: &str, address: Value, parts: (Value, Option<Value>)) -> Value {
    let (route, socket) = parts;
    let mut chain = json!({"filters": [{
        "name": "http",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.\
                      http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "http_filters": [{"name": "router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            }}],
            "route_config": {"virtual_hosts": [{
                "name": "all", "domains": ["*"], "routes": [route],
            }]},
        },
    }]});
    if let (Some(chain), Some(socket)) = (chain.as_object_mut(), socket) {
        chain.insert("transport_socket".into(), socket);
    }
    json!({"name": name, "address": address, "filter_chains": [chain]})
}

fn server(address: Ipv4Addr) -> (Value, Value) {
    let socket = json!({"name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": true,
        "common_tls_context": common_tls("client"),
    }});
    let route = json!({
        "match": {"prefix": "/"},
        "direct_response": {"status": 200, "body": {"inline_string": "hello"}},
    });
    let nobody = json!({"name": "nobody", "type": "STATIC", "connect_timeout": "1s"});
    (
        listener("server", at(address, PORT), (route, Some(socket))),
        nobody,
    )
}

fn client(address: Ipv4Addr, server: Ipv4Addr) -> (Value, Value) {
    let socket = json!({"name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": common_tls("server"),
    }});
    let cluster = json!({
        "name": "server",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": assignment("server", &at(server, PORT)),
        "transport_socket": socket,
        // Each request has a handshake of its own.
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "common_http_protocol_options": {"max_requests_per_connection": 1},
                "explicit_http_config": {"http_protocol_options": {}},
            },
        },
    });
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "server"}});
    (
        listener("client", at(address, DOOR), (route, None)),
        cluster,
    )
}

#[test]
fn mutual_tls_goes_on_while_certificates_are_renewed() -> Result<()> {
    let runtime = Runtime::new()?;
    let (root, scratch) = (Root::new()?, Scratch::new("agent-identity")?);
    let place = Place {
        runtime: &runtime,
        root: &root,
        scratch: &scratch,
    };
    let (there, here) = (Lease::take(&[PORT])?, Lease::take(&[DOOR])?);
    let parts = server(there.address());
    let server = Workload::start(&place, ("server", there.address()), parts)?;
    let parts = client(here.address(), there.address());
    let client = Workload::start(&place, ("client", here.address()), parts)?;
    let door = SocketAddr::from((here.address(), DOOR));
    let http = Client::new(Duration::from_secs(10));
    let mut requests = 0;
    let mut ask = || -> Result<()> {
        let response = http.send(&Request::get(door, "server", "/"))?;
        requests += 1;
        let text = response.text();
        ensure!(
            response.status == 200,
            "request {requests}: {} {text}",
            response.status
        );
        ensure!(text == "hello", "{text}");
        Ok(())
    };
    ask().context("before anything is renewed")?;
    for serial in 2..8 {
        for workload in [&server, &client] {
            root.put(&workload.files, workload.account, serial)?;
            let what = format!("{} to have certificate {serial}", workload.account);
            let mut failed = Vec::new();
            wait::until(&what, SOON, || {
                failed.extend(ask().err());
                Ok(workload.has(serial)?.then_some(()))
            })?;
            ensure!(
                failed.is_empty(),
                "while {} gets {serial}: {failed:?}",
                workload.account
            );
            ask().with_context(|| format!("with certificate {serial}"))?;
        }
    }
    let stats = client.envoy.admin().stats()?;
    let handshakes = stats.get("cluster.server.ssl.handshake");
    ensure!(
        handshakes == requests,
        "{handshakes} handshakes for {requests} requests"
    );
    for workload in [&server, &client] {
        let stats = workload.envoy.admin().stats()?;
        let refused = stats.sum("sds.", "update_rejected");
        ensure!(
            refused == 0,
            "{refused} secrets were refused by {}",
            workload.account
        );
    }
    println!("{requests} requests, each with a handshake, none failed");
    Ok(())
}
