//! A certificate signing request (RFC 2986): the public key in it, once its owner has proved to
//! have the private one. Nothing else of it counts: names, uses and lifetimes are never the
//! caller's to choose (reliability.md T09, T11).

use meltemi_types::SpiffeId;
use rcgen::SubjectPublicKeyInfo;
use std::fmt;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519, Oid,
};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo as Parsed;

/// The longest request that is read, in bytes; one with an RSA key of 4096 bits has less than 2 KiB.
pub const MAX_BYTES: usize = 16 * 1024;
/// What marks a request in PEM: RFC 7468, and what older tools (Java's keytool) write.
const LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];
/// How a request may be signed: no SHA-1, which others can forge.
const SIGNED_BY: [Oid<'static>; 6] = [
    OID_PKCS1_SHA256WITHRSA,
    OID_PKCS1_SHA384WITHRSA,
    OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384,
    OID_SIG_ED25519,
];
/// The sizes of RSA keys, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// The smallest public exponent of an RSA key; smaller ones have been broken by careless padding.
const RSA_EXPONENT: u64 = 65_537;

/// A key that its owner has proved to have.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    pub(crate) key: SubjectPublicKeyInfo,
    /// The whole key in DER, to compare.
    pub(crate) spki: Vec<u8>,
    pub(crate) kind: KeyKind,
}

/// Which keys are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA of 2048 to 4096 bits.
    Rsa,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::Ed25519 => "Ed25519",
            Self::Rsa => "RSA",
        })
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({})", self.kind)
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// It is longer than [`MAX_BYTES`].
    #[error("the signing request has {0} bytes; at most {MAX_BYTES} are read")]
    TooLong(usize),
    /// It is no PEM of one request.
    #[error("the signing request cannot be read: {0}; send one PEM block CERTIFICATE REQUEST")]
    Unreadable(String),
    /// Whoever asks has not shown the private key.
    #[error("the signing request is not signed with its own key by SHA-256 or better")]
    NotProved,
    /// It asks for another identity than the one that was proved, where somebody else signs.
    #[error("the signing request has {0}; it is signed elsewhere, so ask for {1} and nothing else")]
    NotOwn(String, SpiffeId),
    /// It asks for more than an identity, where somebody else signs.
    #[error(
        "the signing request has more than one extension for an identity; it is signed elsewhere, so \
         ask for one URI alone"
    )]
    More,
    /// A key of a kind or size that is not signed.
    #[error("a key of this kind is not signed: {0}; use P-256, P-384, Ed25519 or RSA 2048-4096")]
    WeakKey(String),
}

impl Request {
    /// Reads a request in PEM.
    ///
    /// # Errors
    /// It is none, its signature is not by its key, or the key is weak.
    pub fn read(pem: &str) -> Result<Self, BadRequest> {
        if pem.len() > MAX_BYTES {
            return Err(BadRequest::TooLong(pem.len()));
        }
        let der = only_block(pem)?;
        let (rest, request) = X509CertificationRequest::from_der(&der).map_err(unreadable)?;
        if !rest.is_empty() {
            return Err(unreadable("there is something behind it"));
        }
        let parsed = &request.certification_request_info.subject_pki;
        let kind = kind(parsed)?;
        let known = SIGNED_BY.contains(&request.signature_algorithm.algorithm);
        if !known || request.verify_signature().is_err() {
            return Err(BadRequest::NotProved);
        }
        let spki = parsed.raw.to_vec();
        let key = SubjectPublicKeyInfo::from_der(&spki);
        let key = key.map_err(|why| BadRequest::WeakKey(why.to_string()))?;
        Ok(Self { key, spki, kind })
    }

    /// What kind of key it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }
}

fn unreadable(why: impl fmt::Display) -> BadRequest {
    BadRequest::Unreadable(why.to_string())
}

/// The one block of a request in PEM.
///
/// # Errors
/// There is none, or more than one.
pub(crate) fn only_block(pem: &str) -> Result<Vec<u8>, BadRequest> {
    let mut blocks = Pem::iter_from_buffer(pem.as_bytes());
    let first = blocks.next();
    let first = first.ok_or_else(|| unreadable("there is no PEM block in it"))?;
    let first = first.map_err(unreadable)?;
    if blocks.next().is_some() {
        return Err(unreadable("there is more than one PEM block in it"));
    }
    if !LABELS.contains(&first.label.as_str()) {
        return Err(unreadable(format!("the PEM block is a {:?}", first.label)));
    }
    Ok(first.contents)
}

fn kind(key: &Parsed<'_>) -> Result<KeyKind, BadRequest> {
    let weak = |what: String| Err(BadRequest::WeakKey(what));
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == OID_SIG_ED25519 {
        return Ok(KeyKind::Ed25519);
    }
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref();
        let curve = curve.and_then(|parameters| parameters.as_oid().ok());
        return match curve {
            Some(curve) if curve == OID_EC_P256 => Ok(KeyKind::P256),
            Some(curve) if curve == OID_NIST_EC_P384 => Ok(KeyKind::P384),
            Some(curve) => weak(format!("the curve {curve}")),
            None => weak("an elliptic curve without a name".to_owned()),
        };
    }
    if *algorithm != OID_PKCS1_RSAENCRYPTION {
        return weak(format!("the algorithm {algorithm}"));
    }
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => rsa_kind(&rsa),
        _ => weak("an RSA key that cannot be read".to_owned()),
    }
}

fn rsa_kind(rsa: &RSAPublicKey<'_>) -> Result<KeyKind, BadRequest> {
    let digits = rsa.modulus.iter().skip_while(|byte| **byte == 0);
    let zeros = digits.clone().next().map_or(0, |byte| byte.leading_zeros());
    let bits = (digits.count() * 8).saturating_sub(zeros as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(BadRequest::WeakKey(format!("RSA of {bits} bits")));
    }
    // An exponent of more than 64 bits is nobody's.
    match rsa.try_exponent() {
        Ok(exponent) if exponent >= RSA_EXPONENT && exponent % 2 == 1 => Ok(KeyKind::Rsa),
        Ok(exponent) => {
            let what = format!("RSA with the public exponent {exponent}");
            Err(BadRequest::WeakKey(what))
        }
        Err(_) => {
            let what = "RSA with a public exponent of more than 64 bits";
            Err(BadRequest::WeakKey(what.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests;
