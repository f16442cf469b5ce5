//! What users give as certificates: which of it can be used, and what is wrong with the rest.
//!
//! Only blocks that are certificates are taken over, so a key that somebody put beside authorities
//! goes nowhere. The surprise: Envoy takes RSA and ECDSA keys only, so Ed25519 is refused here.

use meltemi_types::Secret;
use rustls::SignatureAlgorithm;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::validity::Validity;

/// Why a certificate and key, or authorities, cannot be used. Holds nothing of their content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// There is no certificate in the text.
    #[error("there is no certificate in it; put PEM there")]
    NoCertificate,
    /// A certificate does not parse, counted from 1.
    #[error("certificate {0} cannot be read; put PEM there")]
    Certificate(usize),
    /// There is no key in the text.
    #[error("there is no private key in it that can be read; put it there as PEM, not encrypted")]
    NoKey,
    /// A key that Envoy does not take.
    #[error("the key is of a kind that Envoy does not take; use RSA of 2048 bits or ECDSA P-256")]
    Kind,
    /// Key and certificate are not a pair.
    #[error("the key does not fit the certificate; replace both together")]
    NotPair,
}

/// A certificate and what signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The certificates alone, PEM.
    pub pem: String,
    /// When the first of them counts.
    pub validity: Validity,
}

/// Reads a certificate with what signed it, and makes sure that the key is its own.
///
/// # Errors
/// They are not that.
pub fn pair(certificate: &str, key: &Secret<Box<str>>) -> Result<Chain, Flaw> {
    let blocks = blocks(certificate, CERTIFICATE);
    let mut parsed = blocks.iter().enumerate().map(|(index, block)| {
        let der = CertificateDer::from_pem_slice(block.as_bytes());
        let der = der.map_err(|_| Flaw::Certificate(index + 1))?;
        facts(&der).ok_or(Flaw::Certificate(index + 1))
    });
    let first = parsed.next().ok_or(Flaw::NoCertificate)??;
    parsed.try_for_each(|one| one.map(|_| ()))?;
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| Flaw::NoKey)?;
    let provider = aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|_| Flaw::NoKey)?;
    let taken = [SignatureAlgorithm::RSA, SignatureAlgorithm::ECDSA];
    if !taken.contains(&key.algorithm()) {
        return Err(Flaw::Kind);
    }
    if key.public_key().is_some_and(|own| *own != *first.key) {
        return Err(Flaw::NotPair);
    }
    Ok(Chain {
        pem: blocks.concat(),
        validity: first.validity,
    })
}

/// Authorities, as far as they can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The certificates that can be read, PEM.
    pub pem: String,
    /// Those that cannot, counted from 1.
    pub bad: Vec<usize>,
    /// When the one counts that ends last.
    pub validity: Validity,
}

/// Reads authorities; those that cannot be read are left out.
///
/// # Errors
/// None can be read.
pub fn bundle(pem: &str) -> Result<Bundle, Flaw> {
    let (mut good, mut bad) = (String::new(), Vec::new());
    let mut last: Option<Validity> = None;
    for (index, block) in blocks(pem, CERTIFICATE).iter().enumerate() {
        let der = CertificateDer::from_pem_slice(block.as_bytes()).ok();
        match der.and_then(|der| facts(&der)) {
            Some(Facts { validity, key: _ }) => {
                good.push_str(block);
                last = Some(match last {
                    Some(last) if last.until >= validity.until => last,
                    Some(_) | None => validity,
                });
            }
            None => bad.push(index + 1),
        }
    }
    match last {
        Some(validity) => Ok(Bundle {
            pem: good,
            bad,
            validity,
        }),
        None if bad.is_empty() => Err(Flaw::NoCertificate),
        None => Err(Flaw::Certificate(1)),
    }
}

/// The lists of revoked certificates of a text; `None` when one cannot be read, or there is none.
#[must_use]
pub fn revocations(pem: &str) -> Option<String> {
    let blocks = blocks(pem, "X509 CRL");
    let reads = |block: &String| {
        let der = CertificateRevocationListDer::from_pem_slice(block.as_bytes());
        der.is_ok_and(|der| {
            x509_parser::revocation_list::CertificateRevocationList::from_der(&der).is_ok()
        })
    };
    (!blocks.is_empty() && blocks.iter().all(reads)).then(|| blocks.concat())
}

const CERTIFICATE: &str = "CERTIFICATE";

/// The blocks of a kind in a text, each with a line end.
fn blocks(text: &str, kind: &str) -> Vec<String> {
    let (begin, end) = (
        format!("-----BEGIN {kind}-----"),
        format!("-----END {kind}-----"),
    );
    let mut all = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&begin) {
        let (body, next) = after.split_once(&end).unwrap_or((after, ""));
        all.push(format!("{begin}{body}{end}\n"));
        rest = next;
    }
    all
}

/// What is asked of a certificate.
struct Facts {
    validity: Validity,
    /// Its public key, as certificates hold it.
    key: Vec<u8>,
}

fn facts(der: &CertificateDer<'_>) -> Option<Facts> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    rest.is_empty().then(|| Facts {
        validity: Validity::of(&certificate),
        key: certificate.public_key().raw.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
    use std::time::{Duration, UNIX_EPOCH};

    fn key(pem: &str) -> Secret<Box<str>> {
        Secret::new(pem.into())
    }

    fn made(key: &KeyPair) -> String {
        let params = CertificateParams::new(["web.test".to_owned()]).unwrap();
        params.self_signed(key).unwrap().pem()
    }

    #[test]
    fn a_pair_is_a_certificate_and_its_own_key() {
        let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (pem, own) = (made(&one), one.serialize_pem());
        let chain = pair(&format!("# web\n{pem}{}", made(&other)), &key(&own)).unwrap();
        assert!(chain.pem.starts_with("-----BEGIN") && chain.pem.matches("BEGIN").count() == 2);
        assert!(
            chain
                .validity
                .holds(UNIX_EPOCH + Duration::from_secs(1_800_000_000))
        );
        let flaw = |pem: &str, own: &str| pair(pem, &key(own)).unwrap_err();
        assert_eq!(flaw(&pem, &other.serialize_pem()), Flaw::NotPair);
        assert_eq!(flaw(&pem, "junk"), Flaw::NoKey);
        assert_eq!(flaw(&pem, &pem), Flaw::NoKey);
        assert_eq!(flaw("junk", &own), Flaw::NoCertificate);
        assert_eq!(flaw(&own, &own), Flaw::NoCertificate);
        let broken = pem.replacen("MII", "!!!", 1);
        assert_eq!(flaw(&broken, &own), Flaw::Certificate(1));
        assert_eq!(flaw(&format!("{pem}{broken}"), &own), Flaw::Certificate(2));
        let cut: String = pem.chars().take(200).collect();
        assert_eq!(flaw(&cut, &own), Flaw::Certificate(1));
    }

    #[test]
    fn a_key_that_envoy_does_not_take_is_refused() {
        let ed = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let flaw = pair(&made(&ed), &key(&ed.serialize_pem())).unwrap_err();
        assert_eq!(flaw, Flaw::Kind);
    }

    #[test]
    fn of_a_bundle_the_good_ones_are_kept_and_keys_are_left_out() {
        let keys: Vec<KeyPair> = (0..4).map(|_| KeyPair::generate().unwrap()).collect();
        let good: Vec<String> = keys.iter().map(made).collect();
        let bad = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        let private = keys[0].serialize_pem();
        let text = format!("{}{}{bad}{private}{}{}", good[0], good[1], good[2], good[3]);
        let read = bundle(&text).unwrap();
        assert_eq!(read.bad, [3]);
        assert_eq!(read.pem.matches("BEGIN CERTIFICATE").count(), 4);
        assert!(!read.pem.contains("PRIVATE"));
        assert_eq!(bundle(bad), Err(Flaw::Certificate(1)));
        assert_eq!(bundle(&private), Err(Flaw::NoCertificate));
        assert_eq!(revocations(&text), None);
    }
}
