//! What proves who the workload is: a chain, its key and the roots of the others, checked to fit
//! together before anybody gets them.

use meltemi_types::Secret;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

/// What proves who the workload is.
#[derive(Debug)]
pub struct Material {
    /// The certificate and those between it and a root, PEM.
    pub chain: Vec<u8>,
    /// Its key, PEM.
    pub key: Secret<Vec<u8>>,
    /// The roots that peers are held to, PEM.
    pub roots: Vec<u8>,
    /// The serial number of the certificate, in hexadecimal.
    pub serial: String,
    /// The first moment at which the certificate counts.
    pub not_before: SystemTime,
    /// When the certificate ends.
    pub not_after: SystemTime,
}

/// Why certificate, key and roots are no use together.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// A part is not what it should be.
    #[error("the {part} cannot be read: {why}")]
    Unreadable {
        /// Which.
        part: &'static str,
        /// What is wrong.
        why: String,
    },
    /// There is no certificate in a part.
    #[error("there is no certificate in the {0}")]
    Empty(&'static str),
    /// The key belongs to another certificate.
    #[error("the key is not that of the certificate: {0}")]
    NotPair(rustls::Error),
}

impl Material {
    /// Fits them together.
    ///
    /// # Errors
    /// A part cannot be read, there is no root, or the key is not that of the certificate.
    pub fn new(chain: Vec<u8>, key: Secret<Vec<u8>>, roots: Vec<u8>) -> Result<Self, Unusable> {
        let certificates = pair(&chain, &key)?;
        if certified("roots", &roots)?.is_empty() {
            return Err(Unusable::Empty("roots"));
        }
        let leaf = certificates.first().ok_or(Unusable::Empty("chain"))?;
        let leaf = parse("chain", leaf)?;
        let validity = leaf.validity();
        Ok(Self {
            serial: format!("{:x}", leaf.serial),
            not_before: moment(validity.not_before),
            not_after: moment(validity.not_after),
            chain,
            key,
            roots,
        })
    }

    /// True when nothing differs.
    pub(crate) fn same(&self, other: &Self) -> bool {
        (&self.chain, &self.key, &self.roots) == (&other.chain, &other.key, &other.roots)
    }
}

/// The certificates of a chain, whose first has that key.
pub(crate) fn pair(
    chain: &[u8],
    key: &Secret<Vec<u8>>,
) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let certificates = certified("chain", chain)?;
    if certificates.is_empty() {
        return Err(Unusable::Empty("chain"));
    }
    let key = PrivateKeyDer::from_pem_slice(key.expose());
    let key = key.map_err(|why| unreadable("key", &why))?;
    CertifiedKey::from_der(certificates.clone(), key, &default_provider())
        .map_err(Unusable::NotPair)?;
    Ok(certificates)
}

/// The certificates in PEM text, each of which can be read.
pub(crate) fn certified(
    part: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|why| unreadable(part, &why))?;
    for one in &all {
        parse(part, one)?;
    }
    Ok(all)
}

fn parse<'a>(part: &'static str, der: &'a [u8]) -> Result<X509Certificate<'a>, Unusable> {
    let parsed = X509Certificate::from_der(der);
    Ok(parsed.map_err(|why| unreadable(part, &why))?.1)
}

fn unreadable(part: &'static str, why: &dyn ToString) -> Unusable {
    let why = why.to_string();
    Unusable::Unreadable { part, why }
}

fn moment(time: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(seconds)
}
