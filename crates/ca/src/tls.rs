//! What the TLS server shows, and whose client certificates it believes. Both are replaced while it
//! serves; connections that are open keep what they began with.
//!
//! A client need not show a certificate (a token does as well); one that it shows must be good.

use crate::authority::{Authority, Leaf};
use crate::error::Error;
use crate::revoked::Revoked;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use std::sync::{Arc, PoisonError, RwLock};

/// The settings of a TLS server.
#[derive(Debug)]
pub struct Tls {
    shown: Arc<Shown>,
    config: RwLock<Arc<ServerConfig>>,
    /// For callers that need not say who they are.
    open: Arc<ServerConfig>,
}

/// Which roots vouch for clients, and who of those is revoked.
pub type Trust<'a> = (&'a [CertificateDer<'static>], &'a Revoked);

/// What a listener asks of clients, and so what it speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asks {
    /// A certificate, if the client has one; HTTP/2, for gRPC.
    #[default]
    Certificate,
    /// Nothing; HTTP/1.1, which is what an API server speaks to webhooks.
    Nothing,
}

/// The certificate that is shown now.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(key.clone())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl Tls {
    /// Shows `leaf`, and believes client certificates that a root of the authority vouches for.
    ///
    /// # Errors
    /// Key and certificate are not a pair, or no root can be used.
    pub fn new(leaf: &Leaf, authority: &Authority) -> Result<Self, Error> {
        Self::trusting(leaf, (authority.roots(), authority.revoked()))
    }

    /// Shows `leaf`, and believes client certificates that one of these roots vouches for, but nobody
    /// who is revoked.
    ///
    /// # Errors
    /// As [`Tls::new`].
    pub fn trusting(leaf: &Leaf, trust: Trust<'_>) -> Result<Self, Error> {
        let shown = Arc::new(Shown(RwLock::new(certified(leaf)?)));
        let config = config(&shown, trust)?;
        Ok(Self {
            open: open(&shown)?,
            shown,
            config: RwLock::new(config),
        })
    }

    /// Shows another certificate from the next handshake on.
    ///
    /// # Errors
    /// Key and certificate are not a pair; then nothing changes.
    pub fn show(&self, leaf: &Leaf) -> Result<(), Error> {
        let next = certified(leaf)?;
        let mut shown = self.shown.0.write().unwrap_or_else(PoisonError::into_inner);
        *shown = next;
        Ok(())
    }

    /// Believes the roots of another authority from the next handshake on, but nobody whom it has
    /// revoked.
    ///
    /// # Errors
    /// No root can be used; then nothing changes.
    pub fn believe(&self, authority: &Authority) -> Result<(), Error> {
        self.trust((authority.roots(), authority.revoked()))
    }

    /// The same of roots alone.
    ///
    /// # Errors
    /// As [`Tls::believe`].
    pub fn trust(&self, trust: Trust<'_>) -> Result<(), Error> {
        let next = config(&self.shown, trust)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// The settings for one handshake.
    pub(crate) fn config(&self, asks: Asks) -> Arc<ServerConfig> {
        match asks {
            Asks::Nothing => self.open.clone(),
            Asks::Certificate => {
                let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
                config.clone()
            }
        }
    }
}

fn certified(leaf: &Leaf) -> Result<Arc<CertifiedKey>, Error> {
    let key = leaf.key.expose().clone_key();
    let key = CertifiedKey::from_der(leaf.chain.clone(), key, &provider())?;
    Ok(Arc::new(key))
}

/// Who is believed: clients without a certificate, and those for whose certificate a root vouches,
/// unless it is revoked.
///
/// # Errors
/// No root, or a list of revoked ones, can be used.
pub(crate) fn verifier(
    roots: &[CertificateDer<'static>],
    revoked: &Revoked,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone())?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider())
        .allow_unauthenticated()
        .with_crls(revoked.lists().iter().cloned())
        // Most authorities publish no list.
        .allow_unknown_revocation_status()
        .build()?;
    Ok(verifier)
}

/// TLS 1.2 or later, HTTP/2, a client certificate if the client has one.
fn config(shown: &Arc<Shown>, (roots, revoked): Trust<'_>) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier(roots, revoked)?)
        .with_cert_resolver(shown.clone());
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// TLS 1.2 or later, HTTP/1.1, and no question who the client is.
fn open(shown: &Arc<Shown>) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(shown.clone());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
