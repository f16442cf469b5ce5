//! Tokens of another issuer than the API server (platform.md 4.2): a JWT (RFC 7519) that one of the
//! issuer's keys (RFC 7517) has signed, for one of our audiences, of a service account.
//!
//! A key decides which algorithms it is for, never the token: `none` and keys that are shared secrets
//! are not even read. Pure; who fetches the keys, and when, is for others to say.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::token::{Bearer, PREFIX};

/// A token may be this long, in bytes.
const LONGEST: usize = 16 << 10;
/// So many keys of a set are read.
const MOST_KEYS: usize = 64;
/// How far the clocks of two machines may differ.
const SKEW: Duration = Duration::from_secs(60);
/// Tokens of an API server say so.
const KUBERNETES: &str = "kubernetes.io";

/// The keys of an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(Vec<Key>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    /// The only algorithm that it is for, where its owner says so.
    only: Option<String>,
    kind: Kind,
    /// As it stands in a certificate.
    public: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
}

/// Whose tokens, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// What `iss` must be.
    pub issuer: String,
    /// Of these, `aud` must have one.
    pub audiences: Vec<String>,
}

/// A token that nobody has verified yet.
#[derive(Clone, Debug)]
pub struct Jwt {
    signed: String,
    signature: Vec<u8>,
    header: Value,
    claims: Value,
}

/// Why a token proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJwt {
    /// None of the keys has its identifier.
    #[error("the token is signed by a key that {0} does not publish")]
    UnknownKey(String),
    /// The key is not for what the token says.
    #[error("the token says that it is signed by {0:?}, which its key is not for")]
    Algorithm(String),
    /// Somebody else has signed it.
    #[error("the token is not signed by a key of {0}")]
    Unsigned(String),
    /// It is of somebody else.
    #[error("the token is of another issuer than {0}")]
    Issuer(String),
    /// It is for somebody else.
    #[error("the token is not for any of {0:?}; ask for one with that audience")]
    Audience(Vec<String>),
    /// It counts not yet, no more, or for ever.
    #[error("the token does not count now; ask for another one")]
    Time,
    /// It is nobody's.
    #[error("the subject of the token is no system:serviceaccount:NAMESPACE:NAME")]
    Subject,
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys that are not for signatures, or of a kind that is not known,
    /// are left out.
    ///
    /// # Errors
    /// It is no key set, or none of its keys can be used.
    pub fn read(text: &str) -> Result<Self, String> {
        let set: Value = serde_json::from_str(text).map_err(|why| format!("no JSON: {why}"))?;
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or("no key set: there is no list `keys`")?;
        let keys: Vec<Key> = keys.iter().filter_map(Key::read).take(MOST_KEYS).collect();
        match keys.is_empty() {
            true => Err("no key in it can be used; RSA, P-256 and P-384 can".to_owned()),
            false => Ok(Self(keys)),
        }
    }

    /// True when a token that names this key, or none, may be of this set.
    #[must_use]
    pub fn may_know(&self, id: Option<&str>) -> bool {
        self.named(id).next().is_some()
    }

    fn named<'a>(&'a self, id: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        let fits = move |key: &&Key| id.is_none_or(|id| key.id.as_deref() == Some(id));
        self.0.iter().filter(fits)
    }
}

impl Key {
    fn read(key: &Value) -> Option<Self> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        let bytes = |name: &str| {
            URL_SAFE_NO_PAD
                .decode(text(name)?.trim_end_matches('='))
                .ok()
        };
        if text("use").is_some_and(|used| used != "sig") {
            return None;
        }
        let (kind, public) = match (text("kty")?, text("crv")) {
            ("RSA", _) => (Kind::Rsa, rsa(&bytes("n")?, &bytes("e")?)),
            ("EC", Some("P-256")) => (Kind::P256, point(&bytes("x")?, &bytes("y")?, 32)?),
            ("EC", Some("P-384")) => (Kind::P384, point(&bytes("x")?, &bytes("y")?, 48)?),
            _ => return None,
        };
        Some(Self {
            id: text("kid").map(str::to_owned),
            only: text("alg").map(str::to_owned),
            kind,
            public,
        })
    }

    /// What the algorithm is to the library, and how long half of a signature is; `None` when the
    /// key is not for it.
    fn scheme(&self, algorithm: &str) -> Option<(SignatureScheme, Option<usize>)> {
        if self.only.as_deref().is_some_and(|only| only != algorithm) {
            return None;
        }
        match (self.kind, algorithm) {
            (Kind::Rsa, "RS256") => Some((SignatureScheme::RSA_PKCS1_SHA256, None)),
            (Kind::Rsa, "RS384") => Some((SignatureScheme::RSA_PKCS1_SHA384, None)),
            (Kind::Rsa, "RS512") => Some((SignatureScheme::RSA_PKCS1_SHA512, None)),
            (Kind::P256, "ES256") => Some((SignatureScheme::ECDSA_NISTP256_SHA256, Some(32))),
            (Kind::P384, "ES384") => Some((SignatureScheme::ECDSA_NISTP384_SHA384, Some(48))),
            (Kind::Rsa | Kind::P256 | Kind::P384, _) => None,
        }
    }

    fn has_signed(&self, jwt: &Jwt, (scheme, half): (SignatureScheme, Option<usize>)) -> bool {
        let known = aws_lc_rs::default_provider().signature_verification_algorithms;
        let mut known = known.mapping.iter();
        let algorithm = known.find(|(name, _)| *name == scheme);
        let algorithm = algorithm.and_then(|(_, algorithms)| algorithms.first());
        let signature = match half {
            None => Some(jwt.signature.clone()),
            Some(half) => pair(&jwt.signature, half),
        };
        let (Some(algorithm), Some(signature)) = (algorithm, signature) else {
            return false;
        };
        let verified = algorithm.verify_signature(&self.public, jwt.signed.as_bytes(), &signature);
        verified.is_ok()
    }
}

impl Jwt {
    /// Takes a token apart; `None` when it is no signed JWT.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        Some(Self {
            header: serde_json::from_slice(&decode(header)?).ok()?,
            claims: serde_json::from_slice(&decode(claims)?).ok()?,
            signature: decode(signature)?,
            signed: signed.to_owned(),
        })
    }

    /// Who it says has made it.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }

    /// True when it says that it is an API server's, which alone knows whether it still counts.
    #[must_use]
    pub fn is_kubernetes(&self) -> bool {
        self.claims.get(KUBERNETES).is_some()
    }

    /// The key that it names.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.header.get("kid")?.as_str()
    }

    /// Whose it is, and until when it counts.
    ///
    /// # Errors
    /// It proves nothing.
    pub fn verify(
        &self,
        keys: &KeySet,
        expected: &Expected,
        now: SystemTime,
    ) -> Result<(Bearer, SystemTime), BadJwt> {
        let Expected { issuer, audiences } = expected;
        self.verify_signature(keys, issuer)?;
        if self.issuer() != Some(issuer) {
            return Err(BadJwt::Issuer(issuer.clone()));
        }
        if !self
            .audiences()
            .any(|one| audiences.iter().any(|it| it == one))
        {
            return Err(BadJwt::Audience(audiences.clone()));
        }
        let until = self.moment("exp").ok_or(BadJwt::Time)?;
        let from = match self.claims.get("nbf") {
            Some(_) => self.moment("nbf").ok_or(BadJwt::Time)?,
            None => UNIX_EPOCH,
        };
        if until <= now || from > now + SKEW {
            return Err(BadJwt::Time);
        }
        let subject = self.claims.get("sub").and_then(Value::as_str);
        let subject = subject.and_then(|subject| subject.strip_prefix(PREFIX));
        let (namespace, account) = subject
            .and_then(|subject| subject.split_once(':'))
            .filter(|(_, account)| !account.contains([':', '/']))
            .ok_or(BadJwt::Subject)?;
        let bearer = Bearer {
            namespace: namespace.parse().map_err(|_| BadJwt::Subject)?,
            account: account.parse().map_err(|_| BadJwt::Subject)?,
            pod: None,
        };
        Ok((bearer, until))
    }

    fn verify_signature(&self, keys: &KeySet, issuer: &str) -> Result<(), BadJwt> {
        let algorithm = self.header.get("alg").and_then(Value::as_str);
        let algorithm = algorithm.unwrap_or_default();
        // What must be understood (RFC 7515 4.1.11) is not.
        if self.header.get("crit").is_some() {
            return Err(BadJwt::Algorithm(algorithm.to_owned()));
        }
        if !keys.may_know(self.key_id()) {
            return Err(BadJwt::UnknownKey(issuer.to_owned()));
        }
        let mut fits = false;
        for key in keys.named(self.key_id()) {
            if let Some(scheme) = key.scheme(algorithm) {
                fits = true;
                if key.has_signed(self, scheme) {
                    return Ok(());
                }
            }
        }
        match fits {
            true => Err(BadJwt::Unsigned(issuer.to_owned())),
            false => Err(BadJwt::Algorithm(algorithm.to_owned())),
        }
    }

    fn audiences(&self) -> impl Iterator<Item = &str> {
        let claim = self.claims.get("aud");
        let one = claim.and_then(Value::as_str).into_iter();
        let several = claim.and_then(Value::as_array).into_iter().flatten();
        one.chain(several.filter_map(Value::as_str))
    }

    /// A moment in seconds since 1970, of which some issuers write fractions.
    fn moment(&self, name: &str) -> Option<SystemTime> {
        let seconds = self.claims.get(name)?.as_f64()?;
        let seconds = Duration::try_from_secs_f64(seconds.clamp(0.0, 1e12)).ok()?;
        UNIX_EPOCH.checked_add(seconds)
    }
}

/// An RSA key as PKCS #1 has it.
fn rsa(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    der(0x30, &[integer(modulus), integer(exponent)].concat())
}

/// A point that is not compressed.
fn point(x: &[u8], y: &[u8], length: usize) -> Option<Vec<u8>> {
    let whole = x.len() == length && y.len() == length;
    whole.then(|| [&[4], x, y].concat())
}

/// A signature of two numbers of this length, as certificates have it.
fn pair(signature: &[u8], half: usize) -> Option<Vec<u8>> {
    if signature.len() != 2 * half {
        return None;
    }
    let (r, s) = signature.split_at_checked(half)?;
    Some(der(0x30, &[integer(r), integer(s)].concat()))
}

/// A number that is not negative.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = bytes.get(zeros..).unwrap_or_default();
    let sign: &[u8] = match digits.first() {
        Some(first) if *first < 0x80 => &[],
        _ => &[0],
    };
    der(2, &[sign, digits].concat())
}

/// A value with its tag and length.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut out = vec![tag];
    match (u8::try_from(content.len()), u8::try_from(digits.len())) {
        (Ok(short), _) if short < 0x80 => out.push(short),
        (_, Ok(count)) => {
            out.push(0x80 | count);
            out.extend(digits);
        }
        // A length has at most eight bytes.
        (_, Err(_)) => {}
    }
    out.extend(content);
    out
}

#[cfg(test)]
mod tests;
