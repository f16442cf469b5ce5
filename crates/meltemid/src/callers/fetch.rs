//! Reads the keys of an issuer, or a bundle of roots, over HTTPS: no redirects, a deadline, a limit.
//!
//! Whom to believe is read each time from the bundle of the system, `SSL_CERT_FILE` or one of the
//! usual places. The image of the control plane has none: mount one.

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, HOST};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use meltemi_ca::jwt::KeySet;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long an answer may take, from the first packet to the last.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read, in bytes.
const LONGEST: usize = 1 << 20;
/// Where systems keep whom they believe.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/cacerts/extra.pem",
];

/// Where keys are.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    uri: Uri,
    host: String,
    port: u16,
    bundles: Vec<PathBuf>,
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
#[error("{uri}: {why}")]
pub(crate) struct FetchError {
    uri: Uri,
    why: String,
}

impl Fetch {
    /// From this address, which begins with `https://`; servers are believed by the first of these
    /// files that there is, else by the system's.
    pub(crate) fn new(uri: &str, bundle: Option<&str>) -> Result<Self, String> {
        let wrong = || format!("{uri:?} is no https://HOST/PATH");
        let uri: Uri = uri.parse().map_err(|_| wrong())?;
        if uri.scheme_str() != Some("https") {
            return Err(wrong());
        }
        let host = uri.host().ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let bundles = match bundle {
            Some(bundle) => vec![bundle.into()],
            None => BUNDLES.map(PathBuf::from).into(),
        };
        Ok(Self {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(443),
            bundles,
            uri,
        })
    }

    /// The keys of now.
    pub(crate) async fn keys(&self) -> Result<KeySet, FetchError> {
        let keys = KeySet::read(&self.text().await?);
        keys.map_err(|why| self.failed(why))
    }

    /// What is there now.
    pub(crate) async fn text(&self) -> Result<String, FetchError> {
        let late = |_| format!("no answer in {PATIENCE:?}");
        let read = tokio::time::timeout(PATIENCE, self.read()).await;
        let read = read.map_err(late).and_then(|read| read);
        read.map_err(|why| self.failed(why))
    }

    fn failed(&self, why: String) -> FetchError {
        FetchError {
            uri: self.uri.clone(),
            why,
        }
    }

    async fn read(&self) -> Result<String, String> {
        let connector = TlsConnector::from(Arc::new(self.tls()?));
        let name = ServerName::try_from(self.host.clone()).map_err(said)?;
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = connector.connect(name, stream.map_err(said)?).await;
        let stream = TokioIo::new(stream.map_err(said)?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
            .await
            .map_err(said)?;
        let asked = async move {
            let response = sender.send_request(self.request()?).await.map_err(said)?;
            if response.status() != StatusCode::OK {
                return Err(format!("it answers {}", response.status()));
            }
            let body = Limited::new(response.into_body(), LONGEST).collect().await;
            let body = body.map_err(|why| why.to_string())?.to_bytes();
            String::from_utf8(body.to_vec()).map_err(said)
        };
        // The connection is driven while somebody waits for the answer; how it ends is of no matter
        // once that has come, and is seen there when it has not.
        tokio::pin!(asked);
        tokio::select! {
            biased;
            answer = &mut asked => answer,
            _ended = connection => asked.await,
        }
    }

    fn request(&self) -> Result<Request<Empty<Bytes>>, String> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let host = self.uri.authority().map_or("", |host| host.as_str());
        let request = Request::builder().method(Method::GET).uri(path);
        let request = request
            .header(HOST, host)
            .header(ACCEPT, "application/json");
        request.body(Empty::new()).map_err(said)
    }

    fn tls(&self) -> Result<ClientConfig, String> {
        let pem = self
            .bundles
            .iter()
            .find_map(|path| std::fs::read(path).ok());
        let pem = pem.ok_or_else(|| {
            format!(
                "whom to believe is not known: none of {:?} can be read; mount a bundle of roots \
                 and name it in SSL_CERT_FILE",
                self.bundles
            )
        })?;
        let mut roots = RootCertStore::empty();
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        roots.add_parsable_certificates(all.map_err(said)?);
        let provider = Arc::new(default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().map_err(said)?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }
}

fn said(why: impl ToString) -> String {
    why.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_by_https_only() {
        let fetch = Fetch::new("https://issuer.example/keys?v=1", None).unwrap();
        assert_eq!((&*fetch.host, fetch.port), ("issuer.example", 443));
        assert_eq!(fetch.request().unwrap().uri(), "/keys?v=1");
        let fetch = Fetch::new("https://[::1]:8443", Some("/a.pem")).unwrap();
        assert_eq!((&*fetch.host, fetch.port), ("::1", 8443));
        assert_eq!(fetch.request().unwrap().uri(), "/");
        for wrong in [
            "",
            "http://issuer.example/keys",
            "issuer.example",
            "https://",
            "file:///k",
        ] {
            assert!(Fetch::new(wrong, None).is_err(), "{wrong}");
        }
        let why = fetch.tls().unwrap_err();
        assert!(
            why.contains("/a.pem") && why.contains("SSL_CERT_FILE"),
            "{why}"
        );
    }
}
