//! The client's side of TLS: pinned roots, one expected name, HTTP/2, and our own certificate where
//! it is what proves us.

use super::UpstreamError;
use crate::identity::Material;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// What connects to servers of those roots.
pub(super) fn connector(
    (path, pem): (&Path, &[u8]),
    shown: Option<&Material>,
) -> Result<TlsConnector, UpstreamError> {
    let bad = |why: &str| super::roots_error(path, why);
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| UpstreamError::Certificate(error.to_string()))?;
    let builder = builder.with_root_certificates(roots(pem).map_err(|why| bad(&why))?);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(material) => {
            let bad = |why: &dyn ToString| UpstreamError::Certificate(why.to_string());
            let chain = CertificateDer::pem_slice_iter(&material.chain).collect::<Result<_, _>>();
            let key = PrivateKeyDer::from_pem_slice(material.key.expose());
            let key = key.map_err(|why| bad(&why))?;
            let chain = chain.map_err(|why| bad(&why))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|why| bad(&why))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Those that can be used; one at least, or there is nobody to trust.
fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|why| format!("is no PEM: {why}"))?;
    let mut store = RootCertStore::empty();
    let (good, _bad) = store.add_parsable_certificates(certificates);
    match good {
        0 => Err("holds no certificate".to_owned()),
        _ => Ok(store),
    }
}

/// The name or address that the server's certificate must have.
pub(super) fn name(name: &str) -> Result<ServerName<'static>, UpstreamError> {
    ServerName::try_from(name.to_owned()).map_err(|_| UpstreamError::Address(name.to_owned()))
}
