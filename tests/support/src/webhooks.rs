//! Somebody who calls a webhook as an API server does, or as an API server never would: HTTP/1.1 over
//! TLS, of which any byte can be chosen.

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Whom the server must prove to be.
const NAME: &str = "istiod.istio-system.svc";

/// A connection after its handshake.
#[derive(Debug)]
pub struct Hook(TlsStream<TcpStream>);

/// A question of these words, whole.
#[must_use]
pub fn post(path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let mut all = head(path, kind, body.len()).into_bytes();
    all.extend_from_slice(body);
    all
}

/// The head of a question.
#[must_use]
pub fn head(path: &str, kind: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: {NAME}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    )
}

impl Hook {
    /// Connects from an address of this machine, believing these roots.
    ///
    /// # Errors
    /// Nobody listens, or the server is not believed.
    pub async fn connect(server: SocketAddr, roots: &str, from: IpAddr) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut store = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
            store.add(root?)?;
        }
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        // What an API server offers.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from(NAME)?;
        Ok(Self(connector.connect(name, stream).await?))
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The connection is closed.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).await?;
        Ok(self.0.flush().await?)
    }

    /// The next answer: its status and body.
    ///
    /// # Errors
    /// The connection is closed, or what comes is no answer with a length.
    pub async fn answer(&mut self) -> Result<(u16, Vec<u8>)> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.context("the connection is closed")?);
        }
        let head = String::from_utf8(head)?.to_ascii_lowercase();
        let status = head.split(' ').nth(1).context("no status")?.parse()?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .context("no length")?;
        let mut body = vec![0; length.trim().parse()?];
        self.0.read_exact(&mut body).await?;
        Ok((status, body))
    }
}
