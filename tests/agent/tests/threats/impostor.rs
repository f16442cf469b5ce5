//! Says to be the control plane, and remembers what it is told.

use anyhow::Result;
use meltemi_proto::istio::v1::auth::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use meltemi_proto::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, copy_bidirectional, duplex};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// A root that signs.
pub(crate) struct Root {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Root {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self { pem, issuer })
    }

    /// Settings of a TLS server of that name; the certificate counts until the first day of `until`.
    pub(crate) fn server(&self, name: &str, until: i32) -> Result<TlsAcceptor> {
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate()?;
        let leaf = params.signed_by(&key, &self.issuer)?.pem();
        let chain = vec![CertificateDer::from_pem_slice(leaf.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// What it has heard.
#[derive(Clone, Default)]
pub(crate) struct Heard {
    came: Arc<AtomicUsize>,
    /// The header `authorization` of each call.
    told: Arc<Mutex<Vec<Option<String>>>>,
}

impl Heard {
    /// How often somebody has connected.
    pub(crate) fn came(&self) -> usize {
        self.came.load(Ordering::Acquire)
    }

    /// What each call has shown.
    pub(crate) fn told(&self) -> Vec<Option<String>> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.clone()
    }

    fn hear(&self, metadata: &MetadataMap) {
        let shown = metadata.get("authorization");
        let shown = shown.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(shown);
    }
}

/// Listens until the runtime ends. Without settings of TLS it speaks plaintext.
pub(crate) fn serve(runtime: &Runtime, tls: Option<TlsAcceptor>) -> Result<(SocketAddr, Heard)> {
    let heard = Heard::default();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let (ready, guests) = unbounded_channel();
    let hears = heard.clone();
    // Whatever is called for: configuration, too.
    let hear = move |request: Request<()>| {
        hears.hear(request.metadata());
        Err::<Request<()>, _>(Status::unavailable("not here"))
    };
    let service = IstioCertificateServiceServer::with_interceptor(heard.clone(), hear);
    let guests = UnboundedReceiverStream::new(guests);
    runtime.spawn(Server::builder().serve_with_incoming(service, guests));
    let counts = heard.clone();
    runtime.spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            counts.came.fetch_add(1, Ordering::AcqRel);
            let (tls, ready) = (tls.clone(), ready.clone());
            tokio::spawn(async move {
                match tls {
                    None => pass(tcp, &ready).await,
                    Some(tls) => {
                        // Who does not believe it has gone.
                        if let Ok(stream) = tls.accept(tcp).await {
                            pass(stream, &ready).await;
                        }
                    }
                }
            });
        }
    });
    Ok((address, heard))
}

/// What the server takes as a connection.
type Guests = UnboundedSender<Result<DuplexStream, std::io::Error>>;

async fn pass(mut stream: impl AsyncRead + AsyncWrite + Unpin, ready: &Guests) {
    let (ours, mut theirs) = duplex(1 << 16);
    if ready.send(Ok(ours)).is_ok() {
        // It ends as connections do.
        let _ended = copy_bidirectional(&mut stream, &mut theirs).await;
    }
}

#[tonic::async_trait]
impl IstioCertificateService for Heard {
    async fn create_certificate(
        &self,
        _: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        Err(Status::unimplemented("nothing is signed here"))
    }
}
