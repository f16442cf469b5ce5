//! An authority for tests: signs over TLS, and remembers what it was told.

use crate::identity::{Algorithm, Authority, Grace, Material};
use crate::upstream::Upstream;
use meltemi_proto::istio::v1::auth::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use meltemi_proto::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};
use meltemi_types::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, IsCa, Issuer,
    KeyPair, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status};

/// A root that signs.
pub(crate) struct Root {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn span(params: &mut CertificateParams, (from, until): (SystemTime, SystemTime)) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + from.duration_since(UNIX_EPOCH).unwrap();
    params.not_after = epoch + until.duration_since(UNIX_EPOCH).unwrap();
}

pub(crate) fn life(lifetime: Duration) -> (SystemTime, SystemTime) {
    let now = SystemTime::now();
    (now - Duration::from_secs(120), now + lifetime)
}

impl Root {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    /// A certificate and its key, PEM.
    pub(crate) fn leaf(
        &self,
        name: &str,
        counts: (SystemTime, SystemTime),
    ) -> (String, Secret<Vec<u8>>) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        span(&mut params, counts);
        let key = KeyPair::generate().unwrap();
        let chain = params.signed_by(&key, &self.issuer).unwrap().pem();
        (chain, Secret::new(key.serialize_pem().into_bytes()))
    }

    pub(crate) fn material(&self) -> Material {
        let (chain, key) = self.leaf("workload", life(Duration::from_secs(3600)));
        Material::new(chain.into_bytes(), key, self.pem.clone().into_bytes()).unwrap()
    }
}

/// What a call brought.
pub(crate) struct Told {
    pub(crate) authorization: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) seconds: i64,
}

/// What the authority does, and what it was told.
pub(crate) struct Desk {
    root: Root,
    /// The lifetime of what it signs; `None`: it is out of order.
    pub(crate) lifetime: Mutex<Option<Duration>>,
    pub(crate) told: Mutex<Vec<Told>>,
}

struct Service(Arc<Desk>);

#[tonic::async_trait]
impl IstioCertificateService for Service {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let header = |name: &str| {
            let value = request.metadata().get(name);
            value.map(|value| value.to_str().unwrap().to_owned())
        };
        let (authorization, cluster) = (header("authorization"), header("clusterid"));
        let request = request.into_inner();
        self.0.told.lock().unwrap().push(Told {
            authorization,
            cluster,
            seconds: request.validity_duration,
        });
        let lifetime = *self.0.lifetime.lock().unwrap();
        let lifetime = lifetime.ok_or_else(|| Status::unavailable("out of order"))?;
        let mut csr = CertificateSigningRequestParams::from_pem(&request.csr).unwrap();
        span(&mut csr.params, life(lifetime));
        let leaf = csr.signed_by(&self.0.root.issuer).unwrap().pem();
        Ok(Response::new(IstioCertificateResponse {
            cert_chain: vec![leaf, self.0.root.pem.clone()],
        }))
    }
}

/// A TLS connection that tonic takes.
struct Guest(TlsStream<TcpStream>);

impl Connected for Guest {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Serves `service` over TLS as `leaf` on a free port of loopback, and says where.
pub(crate) async fn serve(root: Root, leaf: (String, Secret<Vec<u8>>)) -> (String, Arc<Desk>) {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(leaf.0.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(leaf.1.expose()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let desk = Arc::new(Desk {
        root,
        lifetime: Mutex::new(Some(Duration::from_secs(3600))),
        told: Mutex::default(),
    });
    let service = IstioCertificateServiceServer::new(Service(desk.clone()));
    let guests = futures::stream::unfold((listener, acceptor), |(listener, acceptor)| async {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            // A client that does not trust us hangs up.
            if let Ok(tls) = acceptor.accept(tcp).await {
                return Some((Ok::<_, io::Error>(Guest(tls)), (listener, acceptor)));
            }
        }
    });
    tokio::spawn(async move {
        let guests = Box::pin(guests);
        let server = tonic::transport::Server::builder();
        server
            .serve_with_incoming_shutdown(service, guests, std::future::pending())
            .await
    });
    (address, desk)
}

/// One who asks the authority at `address`, with roots and token in `dir`.
pub(crate) fn asking(address: String, dir: &Path, root: &str) -> Authority {
    std::fs::write(dir.join("root.pem"), root).unwrap();
    std::fs::write(dir.join("token"), "the-token\n").unwrap();
    Authority {
        upstream: Upstream {
            address,
            san: Some("istiod.istio-system.svc".into()),
            roots: Some(dir.join("root.pem")),
            token: Some(dir.join("token")),
            headers: vec![("ClusterID".into(), Secret::new("Kubernetes".into()))],
        },
        proof: None,
        id: "spiffe://cluster.local/ns/shop/sa/reviews".parse().unwrap(),
        algorithm: Algorithm::default(),
        lifetime: Duration::from_secs(3600),
        grace: Grace::default(),
        signer: String::new(),
    }
}

/// Returns when it is so.
pub(crate) async fn until(so: impl Fn() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    while !so() {
        ticks.tick().await;
    }
}
