//! A real Envoy is told by the agent whose certificates were revoked: they are refused, others are
//! served, and so are those of an authority that has no list.

use anyhow::{Context, Result, ensure};
use meltemi_agent::files::Files;
use meltemi_agent::identity::{Identity, Mounted, Settings, Source};
use meltemi_agent::sds::{self, Secrets, Sources};
use meltemi_bootstrap::{AdminAddress, NodeFacts, SDS_CLUSTER, static_form};
use meltemi_runtime::drain::{self, Drainer};
use meltemi_testkit::envoy::{self, Envoy};
use meltemi_testkit::lease::Lease;
use meltemi_testkit::openssl::{Csr, Openssl, Signer};
use meltemi_testkit::paths::Scratch;
use meltemi_testkit::wait;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const SOON: Duration = Duration::from_secs(60);
const PORT: u16 = 9443;

/// Somebody with a certificate and its key.
struct Workload {
    certificate: String,
    csr: Csr,
}

impl Workload {
    fn new(openssl: &Openssl, signer: &Signer, account: &str) -> Result<Self> {
        let csr = openssl.p256()?;
        let extensions = format!(
            "basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth,serverAuth\n\
             subjectAltName=URI:spiffe://cluster.local/ns/shop/sa/{account},DNS:{account}"
        );
        let certificate = openssl.sign(&csr, signer, &extensions)?;
        Ok(Self { certificate, csr })
    }

    /// What the server says to it, which proves that it was let in.
    async fn greet(&self, server: SocketAddr, roots: &str) -> Result<String> {
        let mut store = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
            store.add(root?)?;
        }
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.csr.key.as_bytes())?;
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_client_auth_cert(chain.collect::<Result<_, _>>()?, key)?;
        let tcp = TcpStream::connect(server).await?;
        let name = ServerName::try_from("server")?;
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(name, tcp).await?;
        let request = b"GET / HTTP/1.1\r\nhost: server\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

/// An Envoy whose agent has its files in a directory.
struct Stage {
    envoy: Envoy,
    runtime: Runtime,
    scratch: Scratch,
    lease: Lease,
    _drainer: Drainer,
    _sockets: TempDir,
}

impl Stage {
    fn start(server: &Workload, roots: &str) -> Result<Self> {
        let scratch = Scratch::new("agent-revoked")?;
        let of = |name: &str| scratch.path().join(name);
        std::fs::write(of("key.pem"), &server.csr.key)?;
        std::fs::write(of("cert-chain.pem"), &server.certificate)?;
        std::fs::write(of("root-cert.pem"), roots)?;
        let (lease, sockets) = (Lease::take(&[PORT])?, tempfile::tempdir()?);
        let socket = sockets.path().join("socket");
        let (drainer, draining) = drain::channel();
        let runtime = Runtime::new()?;
        let entered = runtime.enter();
        let follow = Files::new();
        let mounted = Mounted {
            chain: of("cert-chain.pem"),
            key: of("key.pem"),
            roots: of("root-cert.pem"),
        };
        let settings = Settings {
            source: Source::Mounted(mounted),
            output: None,
        };
        let (identity, held) = Identity::new(settings, follow.clone());
        runtime.spawn(identity.run(draining.clone()));
        let sources = Sources {
            held,
            bundle: watch::channel(Arc::from([])).1,
            trust: meltemi_agent::trust::channel().1,
            files: follow,
        };
        let settings = sds::Settings {
            socket: socket.clone(),
            revoked: Some(of("ca-crl.pem")),
        };
        runtime.spawn(Secrets::listen(&settings, sources)?.run(draining));
        drop(entered);
        let envoy = serve(&socket, (lease.address(), scratch.path()))?;
        Ok(Self {
            envoy,
            runtime,
            scratch,
            lease,
            _drainer: drainer,
            _sockets: sockets,
        })
    }

    /// Replaces a file, as the kubelet does.
    fn put(&self, name: &str, text: &str) -> Result<()> {
        let fresh = self.scratch.path().join("fresh");
        std::fs::write(&fresh, text)?;
        Ok(std::fs::rename(fresh, self.scratch.path().join(name))?)
    }

    fn is_served(&self, who: &Workload, roots: &str) -> Result<()> {
        let server = SocketAddr::from((self.lease.address(), PORT));
        let greeted = who.greet(server, roots);
        let answer = self
            .runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(10), greeted).await })??;
        ensure!(answer.ends_with("hello"), "{answer}");
        Ok(())
    }

    fn wait_served(&self, who: &Workload, roots: &str) -> Result<()> {
        wait::until("somebody to be served", SOON, || {
            self.is_served(who, roots).map(Some)
        })
    }

    fn wait_refused(&self, who: &Workload, roots: &str) -> Result<()> {
        let mut last = String::new();
        // Who is still writing when the other side closes may not get to read why.
        let refused = wait::until("a revoked certificate to be refused", SOON, || {
            last = self
                .is_served(who, roots)
                .map_or_else(|error| format!("{error:#}"), |()| "it is served".to_owned());
            Ok(last.contains("CertificateRevoked").then_some(()))
        });
        refused.with_context(|| last.clone())
    }
}

fn serve(socket: &Path, (address, dir): (Ipv4Addr, &Path)) -> Result<Envoy> {
    let endpoint = |address: Value| json!({"endpoint": {"address": address}});
    let pipe = endpoint(json!({"pipe": {"path": socket.display().to_string()}}));
    let beside = json!({
        "name": SDS_CLUSTER, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": SDS_CLUSTER, "endpoints": [{"lb_endpoints": [pipe]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            },
        },
    });
    let source = json!({
        "initial_fetch_timeout": "0s", "resource_api_version": "V3",
        "api_config_source": {
            "api_type": "GRPC", "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": SDS_CLUSTER}}],
        },
    });
    let tls = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": true,
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": source}],
            "combined_validation_context": {
                "default_validation_context": {},
                "validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": source},
            },
        },
    });
    let http = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.\
                  http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "server",
        "http_filters": [{"name": "router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        }}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{
            "match": {"prefix": "/"},
            "direct_response": {"status": 200, "body": {"inline_string": "hello"}},
        }]}]},
    });
    let listener = json!({
        "name": "server",
        "address": {"socket_address": {"address": address.to_string(), "port_value": PORT}},
        "filter_chains": [{
            "filters": [{"name": "http", "typed_config": http}],
            "transport_socket": {"name": "tls", "typed_config": tls},
        }],
    });
    let admin = AdminAddress {
        address: address.to_string(),
        port: 0,
    };
    let id = format!("sidecar~{address}~server.shop~shop");
    let node = NodeFacts::new(id, "server".into());
    let options = envoy::Options {
        name: "server-envoy".into(),
        concurrency: 1,
        dir: dir.to_path_buf(),
    };
    let bootstrap = static_form(&node, &admin, vec![listener], vec![beside]);
    let envoy = Envoy::start(&envoy::find()?, &bootstrap, &options)?;
    envoy.admin().wait_live(SOON)?;
    Ok(envoy)
}

#[test]
fn a_revoked_peer_is_refused_and_all_others_are_served() -> Result<()> {
    let made = tempfile::tempdir()?;
    let openssl = Openssl::new(made.path());
    let (a, b) = (openssl.root("A")?, openssl.root("B")?);
    let server = Workload::new(&openssl, &a, "server")?;
    let (bad, good) = (
        Workload::new(&openssl, &a, "bad")?,
        Workload::new(&openssl, &a, "good")?,
    );
    let other = Workload::new(&openssl, &b, "other")?;
    let roots = a.certificate.as_str();
    let stage = Stage::start(&server, roots)?;
    for who in [&bad, &good] {
        stage.wait_served(who, roots)?;
    }

    let list = openssl.crl(&a, &[&openssl.serial(&bad.certificate)?])?;
    stage.put("ca-crl.pem", &list)?;
    stage.wait_refused(&bad, roots)?;
    stage.is_served(&good, roots).context("not revoked")?;

    // An authority without a list: Envoy would refuse all of it, so it is told of no list.
    let both = format!("{}{}", a.certificate, b.certificate);
    stage.put("root-cert.pem", &both)?;
    stage.wait_served(&other, roots)?;
    stage.is_served(&good, roots).context("beside another")?;

    // With a list of its own, which is empty.
    let empty = openssl.crl(&b, &[])?;
    stage.put("ca-crl.pem", &format!("{list}{empty}"))?;
    stage.wait_refused(&bad, roots)?;
    stage.is_served(&good, roots).context("both have lists")?;
    stage.is_served(&other, roots).context("an empty list")?;

    // Withdrawn: the kubelet shows what the control plane writes, which is nothing.
    stage.put("ca-crl.pem", "")?;
    stage.wait_served(&bad, roots)?;
    let refused = stage.envoy.admin().stats()?.sum("sds.", "update_rejected");
    ensure!(refused == 0, "{refused} secrets were refused");
    Ok(())
}
