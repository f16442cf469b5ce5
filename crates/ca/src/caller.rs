//! The identity in a client certificate. The handshake has proved that a root of ours vouches for
//! it and that the client owns its key; here it is only read.
//!
//! Exactly one URI, of a trust domain that is accepted: compared as parsed, never as text.

use meltemi_types::{SpiffeId, TrustDomain};
use rustls::pki_types::CertificateDer;
use std::time::SystemTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::validity::Validity;

/// Who a certificate is for, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The identity.
    pub id: SpiffeId,
    /// The last moment at which it counts.
    pub until: SystemTime,
}

/// Why a certificate names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Nobody {
    /// It cannot be read.
    #[error("the client certificate cannot be read")]
    Unreadable,
    /// None or several identities.
    #[error("the client certificate has {0} URIs; exactly one is an identity")]
    NotOne(usize),
    /// The URI is no identity.
    #[error("the client certificate: {0}")]
    NoIdentity(#[from] meltemi_types::Invalid),
    /// It is of another mesh.
    #[error("the client certificate is of trust domain {0}, which is not accepted here")]
    Foreign(TrustDomain),
}

/// Reads the identity of a client certificate, which must be of one of `domains`.
///
/// # Errors
/// It names nobody who is known here.
pub fn identify(
    certificate: &CertificateDer<'_>,
    domains: &[TrustDomain],
) -> Result<Certified, Nobody> {
    let parsed = X509Certificate::from_der(certificate);
    let (_, certificate) = parsed.map_err(|_| Nobody::Unreadable)?;
    let names = certificate.subject_alternative_name();
    let names = names.map_err(|_| Nobody::Unreadable)?;
    let names = names.map_or(&[][..], |names| &names.value.general_names[..]);
    let uris = names.iter().filter_map(|name| {
        if let GeneralName::URI(uri) = name {
            Some(*uri)
        } else {
            None
        }
    });
    let uris: Vec<&str> = uris.collect();
    let [uri] = uris[..] else {
        return Err(Nobody::NotOne(uris.len()));
    };
    let id: SpiffeId = uri.parse()?;
    if !domains.contains(&id.trust_domain) {
        return Err(Nobody::Foreign(id.trust_domain));
    }
    let until = Validity::of(&certificate).until;
    Ok(Certified { id, until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn certificate(uris: &[&str]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        let name = |uri: &&str| SanType::URI((*uri).try_into().unwrap());
        params.subject_alt_names = uris.iter().map(name).collect();
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn exactly_one_identity_of_an_accepted_domain() {
        let domains = ["cluster.local".parse().unwrap()];
        let good = "spiffe://cluster.local/ns/shop/sa/reviews";
        let read = |uris: &[&str]| identify(&certificate(uris), &domains);
        assert_eq!(read(&[good]).unwrap().id.to_string(), good);
        assert_eq!(read(&[]), Err(Nobody::NotOne(0)));
        assert_eq!(read(&[good, good]), Err(Nobody::NotOne(2)));
        let foreign = read(&["spiffe://evil.cluster.local/ns/shop/sa/reviews"]);
        assert!(matches!(foreign, Err(Nobody::Foreign(_))));
        let no = read(&["spiffe://cluster.local/ns/shop,other/sa/reviews"]);
        assert!(matches!(no, Err(Nobody::NoIdentity(_))));
        let junk = CertificateDer::from(vec![1, 2, 3]);
        assert_eq!(identify(&junk, &domains), Err(Nobody::Unreadable));
    }
}
