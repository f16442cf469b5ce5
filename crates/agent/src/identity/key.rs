//! A new key for each certificate, and the request to sign it.
//!
//! P-256 unless somebody asks for another; Istio's default is RSA 2048. The subject is empty, so the
//! identity, its one URI, is critical. Keys are written as PKCS #8.

use meltemi_types::{Secret, SpiffeId};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DistinguishedName, KeyPair, RsaKeySize, SanType};

/// What kind of key is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256.
    #[default]
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA of 2048 bits.
    Rsa2048,
    /// RSA of 3072 bits.
    Rsa3072,
    /// RSA of 4096 bits.
    Rsa4096,
}

/// A key and the request to sign it, PEM.
pub(super) struct Request {
    pub(super) key: Secret<Vec<u8>>,
    pub(super) csr: String,
}

impl Algorithm {
    fn key(self) -> Result<KeyPair, rcgen::Error> {
        let rsa = |size| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size);
        match self {
            Self::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Self::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Self::Rsa2048 => rsa(RsaKeySize::_2048),
            Self::Rsa3072 => rsa(RsaKeySize::_3072),
            Self::Rsa4096 => rsa(RsaKeySize::_4096),
        }
    }

    /// True when a key is made within a millisecond.
    pub(super) fn is_quick(self) -> bool {
        match self {
            Self::P256 | Self::P384 => true,
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => false,
        }
    }

    /// A new key, and the request for a certificate of `id` on it. An RSA key takes a while.
    pub(super) fn request(self, id: &SpiffeId) -> Result<Request, rcgen::Error> {
        let key = self.key()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(id.to_string())?)];
        let csr = params.serialize_request(&key)?.pem()?;
        let key = Secret::new(key.serialize_pem().into_bytes());
        Ok(Request { key, csr })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::extensions::{GeneralName, ParsedExtension};
    use x509_parser::prelude::FromDer;

    #[test]
    fn a_request_has_one_critical_uri_and_no_subject() {
        let id: SpiffeId = "spiffe://cluster.local/ns/shop/sa/reviews".parse().unwrap();
        for algorithm in [Algorithm::P256, Algorithm::P384, Algorithm::Rsa2048] {
            let request = algorithm.request(&id).unwrap();
            let der = pem::parse(&request.csr).unwrap();
            assert_eq!(der.tag(), "CERTIFICATE REQUEST");
            let (_, csr) = X509CertificationRequest::from_der(der.contents()).unwrap();
            csr.verify_signature().unwrap();
            let info = &csr.certification_request_info;
            assert_eq!(info.subject.iter().count(), 0);
            let extensions: Vec<_> = csr.requested_extensions().unwrap().collect();
            let [ParsedExtension::SubjectAlternativeName(names)] = extensions.as_slice() else {
                panic!("{extensions:?}");
            };
            let [GeneralName::URI(uri)] = names.general_names.as_slice() else {
                panic!("{names:?}");
            };
            assert_eq!(*uri, id.to_string());
            assert!(request.key.expose().starts_with(b"-----BEGIN PRIVATE KEY"));
        }
    }
}
