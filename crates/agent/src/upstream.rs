//! A gRPC server that must prove who it is before it is told anything (reliability.md T15, T20).
//!
//! The handshake is done here, before there is a connection for a request to be written to: a server
//! with another name, an ended certificate or other roots never sees a token. The roots come from a
//! file, read for each connection; the system's are never used, and a file without any is an error.
//! Without roots there is plaintext, for a laptop, and then no token is sent.

mod tls;

use crate::identity::Material;
use hyper_util::rt::TokioIo;
use meltemi_types::Secret;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::codegen::Service;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint, Uri};

/// How long a connection may take, and a handshake.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a silent server is asked whether it is there: `GRPC_KEEPALIVE_INTERVAL`.
const PING: Duration = Duration::from_secs(30);
/// How long it has to answer: `GRPC_KEEPALIVE_TIMEOUT`.
const PONG: Duration = Duration::from_secs(10);
/// The name of a control plane that is reached over a forwarded port.
const FORWARDED: &str = "istiod.istio-system.svc";
/// What a file that is read here may hold, in bytes.
const FILE_LIMIT: u64 = 1 << 20;

/// A gRPC server, and what is shown to it.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// `host:port`.
    pub address: String,
    /// The name that its certificate must have; `None`: the host of the address, or that of the
    /// control plane when the host is `localhost`.
    pub san: Option<String>,
    /// The file with the roots of its certificate, PEM; `None`: plaintext, without a token.
    pub roots: Option<PathBuf>,
    /// The file with the token that is shown, read for each call; an absent or empty one shows
    /// none. `None`: none.
    pub token: Option<PathBuf>,
    /// Headers to add to each call.
    pub headers: Vec<(String, Secret<String>)>,
}

/// Why there is no connection, or no call.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The address or the name is no such thing.
    #[error("{0:?} is no HOST:PORT of a server; correct the address or the expected name")]
    Address(String),
    /// A file cannot be read, or holds nothing of use.
    #[error("{path}: {why}; the server is not trusted without it")]
    Roots {
        /// Which.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The client certificate cannot be shown.
    #[error("the certificate of this workload cannot be shown: {0}")]
    Certificate(String),
    /// Nobody answers.
    #[error("cannot connect to {address}: {why}")]
    Connect {
        /// Where.
        address: String,
        /// What the system says.
        why: io::Error,
    },
    /// It could not prove who it is, or does not want us.
    #[error("{address} is not trusted as {name:?}: {why}; nothing was sent to it")]
    Handshake {
        /// Where.
        address: String,
        /// Who it should be.
        name: String,
        /// What is wrong.
        why: io::Error,
    },
    /// HTTP/2 did not begin.
    #[error("{address} does not speak HTTP/2: {why}")]
    Http {
        /// Where.
        address: String,
        /// What is wrong.
        why: tonic::transport::Error,
    },
    /// A header cannot be sent.
    #[error("header {0} cannot be sent: a name has letters, digits, - and _, a value is ASCII")]
    Header(String),
}

impl Upstream {
    /// Connects, and proves who the server is. `shown` is the client certificate, if any.
    pub(crate) async fn connect(&self, shown: Option<&Material>) -> Result<Channel, UpstreamError> {
        let address = || self.address.clone();
        let connecting = TcpStream::connect(&self.address);
        let tcp = within(connecting).await.map_err(|why| {
            let address = address();
            UpstreamError::Connect { address, why }
        })?;
        // Latency only; a socket that cannot be told works as well.
        let _ = tcp.set_nodelay(true);
        let (stream, scheme): (Box<dyn Stream>, _) = match &self.roots {
            None => (Box::new(tcp), "http"),
            Some(roots) => {
                let name = self.server()?;
                let pem = read(roots).map_err(|why| roots_error(roots, &why.to_string()))?;
                let connector = tls::connector((roots, &pem), shown)?;
                let server = tls::name(&name)?;
                let handshake = connector.connect(server, tcp);
                let stream = within(handshake).await.map_err(|why| {
                    let address = address();
                    UpstreamError::Handshake { address, name, why }
                })?;
                (Box::new(stream), "https")
            }
        };
        self.speak(stream, scheme).await
    }

    /// HTTP/2 on a stream that is trusted. There is no second connection behind one's back.
    pub(crate) async fn speak(
        &self,
        stream: Box<dyn Stream>,
        scheme: &str,
    ) -> Result<Channel, UpstreamError> {
        let bad = || UpstreamError::Address(self.address.clone());
        let uri = |scheme: &str| format!("{scheme}://{}", self.address).parse::<Uri>();
        let endpoint = Endpoint::from(uri("http").map_err(|_| bad())?)
            .origin(uri(scheme).map_err(|_| bad())?)
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(PONG)
            .connect_timeout(PATIENCE);
        let once = Once(Some(stream));
        let channel = endpoint.connect_with_connector(once).await;
        channel.map_err(|why| UpstreamError::Http {
            address: self.address.clone(),
            why,
        })
    }

    /// Adds what each call says: the headers, and over TLS the token as it is now.
    pub(crate) fn tell(&self, metadata: &mut MetadataMap) -> Result<(), UpstreamError> {
        for (name, value) in &self.headers {
            let bad = || UpstreamError::Header(name.clone());
            let key = name.to_ascii_lowercase().parse::<MetadataKey<Ascii>>();
            let mut value = value
                .expose()
                .parse::<MetadataValue<Ascii>>()
                .map_err(|_| bad())?;
            value.set_sensitive(true);
            metadata.insert(key.map_err(|_| bad())?, value);
        }
        let Some(token) = self.token() else {
            return Ok(());
        };
        let bad = || UpstreamError::Header("authorization".into());
        let value = format!("Bearer {}", token.expose());
        let mut value = value.parse::<MetadataValue<Ascii>>().map_err(|_| bad())?;
        value.set_sensitive(true);
        metadata.insert("authorization", value);
        Ok(())
    }

    fn token(&self) -> Option<Secret<String>> {
        self.roots.as_ref()?;
        let path = self.token.as_ref()?;
        let token = read(path).inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "no token is shown");
        });
        let token = String::from_utf8(token.ok()?).ok()?;
        let token = token.trim();
        (!token.is_empty()).then(|| Secret::new(token.to_owned()))
    }

    /// Who the server must be.
    fn server(&self) -> Result<String, UpstreamError> {
        if let Some(name) = &self.san {
            return Ok(name.clone());
        }
        let host = self.address.rsplit_once(':').map(|(host, _)| host);
        let host = host.filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| UpstreamError::Address(self.address.clone()))?;
        if host.contains("localhost") {
            return Ok(FORWARDED.to_owned());
        }
        Ok(host.trim_matches(['[', ']']).to_owned())
    }
}

fn roots_error(path: &std::path::Path, why: &str) -> UpstreamError {
    UpstreamError::Roots {
        path: path.display().to_string(),
        why: why.to_owned(),
    }
}

/// A small file, whole.
pub(crate) fn read(path: &std::path::Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > FILE_LIMIT {
        return Err(io::Error::other("larger than 1 MiB"));
    }
    fs::read(path)
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// A connection, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Hands over a connection that is there, once.
struct Once(Option<Box<dyn Stream>>);

impl Service<Uri> for Once {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let stream = self.0.take().map(TokioIo::new);
        let stream = stream.ok_or_else(|| io::ErrorKind::NotConnected.into());
        Box::pin(std::future::ready(stream))
    }
}
