//! Certificates that their authorities have taken back (`ca-crl.pem`, RFC 5280 section 5).
//!
//! The TLS library looks at the lists in handshakes; connections outlive a list, so whoever calls on
//! one is looked up again. A list that has ended still counts: forgetting it would let in again.

use crate::error::Error;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use std::collections::BTreeSet;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

const PART: &str = "ca-crl.pem";

/// Lists of certificates that count no more.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    lists: Vec<CertificateRevocationListDer<'static>>,
    /// Issuer and number of each.
    numbers: BTreeSet<(Vec<u8>, Vec<u8>)>,
}

impl Revoked {
    /// Reads lists in PEM; there may be none.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn read(pem: &str) -> Result<Self, Error> {
        let unreadable = |why: String| Error::Unreadable { part: PART, why };
        let lists = CertificateRevocationListDer::pem_slice_iter(pem.as_bytes());
        let lists: Vec<_> = lists
            .collect::<Result<_, _>>()
            .map_err(|why| unreadable(why.to_string()))?;
        let mut numbers = BTreeSet::new();
        for der in &lists {
            let read = CertificateRevocationList::from_der(der);
            let (_, list) = read.map_err(|why| unreadable(why.to_string()))?;
            let issuer = list.issuer().as_raw().to_vec();
            for one in list.iter_revoked_certificates() {
                numbers.insert((issuer.clone(), one.raw_serial().to_vec()));
            }
        }
        Ok(Self { lists, numbers })
    }

    /// True when the certificate is on a list; one that cannot be read is.
    #[must_use]
    pub fn holds(&self, certificate: &CertificateDer<'_>) -> bool {
        match X509Certificate::from_der(certificate) {
            Ok((_, certificate)) => {
                let issuer = certificate.issuer().as_raw().to_vec();
                let number = certificate.raw_serial().to_vec();
                self.numbers.contains(&(issuer, number))
            }
            Err(_) => true,
        }
    }

    /// The lists, for handshakes.
    pub(crate) fn lists(&self) -> &[CertificateRevocationListDer<'static>] {
        &self.lists
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_cannot_be_read_is_a_mistake() {
        assert!(Revoked::read("").unwrap().lists().is_empty());
        let junk = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
        let why = Revoked::read(junk).unwrap_err().to_string();
        assert!(why.contains("ca-crl.pem"), "{why}");
        let nothing = Revoked::default();
        assert!(nothing.holds(&CertificateDer::from(vec![1, 2, 3])));
    }
}
