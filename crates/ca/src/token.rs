//! Tokens of a development authority: what the kubelet projects into a pod, signed by a key in a
//! directory (JWT, RFC 7519, with EdDSA), so that a laptop has callers that are known.
//!
//! One algorithm, one key, and an end: a header that names anything else is no token of ours. The
//! time is an argument.

use crate::error::Error;
use crate::validity::unix;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meltemi_types::{Namespace, ServiceAccount};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData, SigningKey};
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Who made a token.
const ISSUER: &str = "meltemi-development";
/// What every name of a service account begins with.
pub(crate) const PREFIX: &str = "system:serviceaccount:";
/// The longest token that is read, in bytes.
const LONGEST: usize = 8 * 1024;
/// The longest life of a token.
pub const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);

/// The key of tokens.
pub struct TokenKey(KeyPair);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey([redacted])")
    }
}

/// Who shows a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The namespace of the service account.
    pub namespace: Namespace,
    /// The service account.
    pub account: ServiceAccount,
    /// The pod, if the token is bound to one.
    pub pod: Option<String>,
}

/// Why a token proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It is not of this form, or not signed by this key.
    #[error("the token is not signed by the development key; make one with `meltemi token`")]
    Unsigned,
    /// It is for somebody else.
    #[error("the token is not for {0:?}; make one with that audience")]
    Audience(String),
    /// It has ended.
    #[error("the token has expired; make another one")]
    Expired,
}

impl TokenKey {
    /// A new key, in PEM.
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn generate() -> Result<String, Error> {
        Ok(KeyPair::generate_for(&PKCS_ED25519)?.serialize_pem())
    }

    /// Reads a key in PEM.
    ///
    /// # Errors
    /// It is none.
    pub fn read(pem: &str) -> Result<Self, Error> {
        let unreadable = |why: String| Error::Unreadable {
            part: "token-key.pem",
            why,
        };
        let key = KeyPair::from_pem(pem).map_err(|why| unreadable(why.to_string()))?;
        match key.is_compatible(&PKCS_ED25519) {
            true => Ok(Self(key)),
            false => Err(unreadable("it is no Ed25519 key".to_owned())),
        }
    }

    /// A token for `audience`, from `now` for `life`, at most [`LONGEST_LIFE`].
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn mint(
        &self,
        bearer: &Bearer,
        audience: &str,
        (now, life): (SystemTime, Duration),
    ) -> Result<String, Error> {
        let Bearer {
            namespace,
            account,
            pod,
        } = bearer;
        let now = unix(now);
        let mut place = json!({
            "namespace": namespace.as_str(),
            "serviceaccount": {"name": account.as_str()},
        });
        if let (Some(pod), Some(place)) = (pod, place.as_object_mut()) {
            place.insert("pod".to_owned(), json!({"name": pod}));
        }
        let claims = json!({
            "iss": ISSUER, "aud": [audience], "iat": now,
            "exp": now + life.min(LONGEST_LIFE).as_secs(),
            "sub": format!("{PREFIX}{namespace}:{account}"),
            "kubernetes.io": place,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header()), part(&claims));
        let signature = self.0.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Who shows the token, and until when.
    ///
    /// # Errors
    /// It proves nothing.
    pub fn verify(
        &self,
        token: &str,
        audience: &str,
        now: SystemTime,
    ) -> Result<(Bearer, SystemTime), BadToken> {
        let claims = self.claims(token).ok_or(BadToken::Unsigned)?;
        let text = |path: &str| claims.pointer(path).and_then(Value::as_str);
        if text("/iss") != Some(ISSUER) {
            return Err(BadToken::Unsigned);
        }
        let audiences = claims.get("aud").and_then(Value::as_array);
        let named = audiences.is_some_and(|all| all.iter().any(|one| one == audience));
        if !named || audience.is_empty() {
            return Err(BadToken::Audience(audience.to_owned()));
        }
        let until = claims.get("exp").and_then(Value::as_u64);
        let until = UNIX_EPOCH + Duration::from_secs(until.unwrap_or(0).min(1 << 40));
        if until < now {
            return Err(BadToken::Expired);
        }
        let account = text("/sub").and_then(|sub| sub.strip_prefix(PREFIX));
        let (namespace, account) = account
            .and_then(|account| account.split_once(':'))
            .ok_or(BadToken::Unsigned)?;
        let bearer = Bearer {
            namespace: namespace.parse().map_err(|_| BadToken::Unsigned)?,
            account: account.parse().map_err(|_| BadToken::Unsigned)?,
            pod: text("/kubernetes.io/pod/name").map(str::to_owned),
        };
        Ok((bearer, until))
    }

    /// What a token says that this key has signed.
    fn claims(&self, token: &str) -> Option<Value> {
        if token.len() > LONGEST {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let read = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let head: Value = serde_json::from_slice(&read(head)?).ok()?;
        if head != header() {
            return None;
        }
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        let known = algorithms.mapping.iter();
        let (_, algorithm) = known
            .copied()
            .find(|(scheme, _)| *scheme == SignatureScheme::ED25519)?;
        let key = self.0.der_bytes();
        let verified =
            algorithm
                .first()?
                .verify_signature(key, signed.as_bytes(), &read(signature)?);
        verified.ok()?;
        serde_json::from_slice(&read(claims)?).ok()
    }
}

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "JWT"})
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn key() -> TokenKey {
        TokenKey::read(&TokenKey::generate().unwrap()).unwrap()
    }

    fn bearer() -> Bearer {
        Bearer {
            namespace: "shop".parse().unwrap(),
            account: "web".parse().unwrap(),
            pod: Some("web-0".to_owned()),
        }
    }

    #[test]
    fn a_token_is_of_its_bearer_for_its_time() {
        let key = key();
        let token = key.mint(&bearer(), "istio-ca", (now(), HOUR)).unwrap();
        let read = key.verify(&token, "istio-ca", now()).unwrap();
        assert_eq!(read, (bearer(), now() + HOUR));
        let late = key.verify(&token, "istio-ca", now() + 2 * HOUR);
        assert_eq!(late, Err(BadToken::Expired));
        for audience in ["", "other"] {
            let other = key.verify(&token, audience, now());
            assert!(matches!(other, Err(BadToken::Audience(_))));
        }
        let long = key.mint(&bearer(), "a", (now(), 1000 * HOUR)).unwrap();
        let (_, until) = key.verify(&long, "a", now()).unwrap();
        assert_eq!(until, now() + LONGEST_LIFE);
    }

    #[test]
    fn what_the_key_has_not_signed_is_no_token() {
        let (own, other) = (key(), key());
        let token = own.mint(&bearer(), "istio-ca", (now(), HOUR)).unwrap();
        let unsigned = Err(BadToken::Unsigned);
        assert_eq!(other.verify(&token, "istio-ca", now()), unsigned);
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let (rest, signature) = token.rsplit_once('.').unwrap();
        let (head, claims) = rest.split_once('.').unwrap();
        let none = part(&json!({"alg": "none", "typ": "JWT"}));
        let admin = part(
            &json!({"iss": ISSUER, "aud": ["istio-ca"], "exp": 1_900_000_000,
            "sub": "system:serviceaccount:istio-system:admin"}),
        );
        for forged in [
            format!("{none}.{claims}."),
            format!("{none}.{claims}.{signature}"),
            format!("{head}.{admin}.{signature}"),
            format!("{head}.{claims}."),
            format!("{head}.{claims}"),
            String::new(),
            "a.b.c".to_owned(),
            format!("{token}x"),
            "a".repeat(LONGEST + 1),
        ] {
            assert_eq!(own.verify(&forged, "istio-ca", now()), unsigned, "{forged}");
        }
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let p256 = KeyPair::generate().unwrap().serialize_pem();
        let why = TokenKey::read(&p256).unwrap_err().to_string();
        assert!(why.contains("token-key.pem"), "{why}");
    }
}
