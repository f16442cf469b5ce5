//! A SPIFFE bundle (the format of the SPIFFE trust domain and bundle specification): a key set of which
//! the keys with `use: x509-svid` carry one root each. Pure; who fetches it is for others to say.

use crate::authority::parse;
use crate::path::{may_sign, pem_of};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use std::time::Duration;

/// So many keys of a bundle are read.
const MOST_KEYS: usize = 64;
/// What a key for certificates is used for; others are for tokens.
const USE: &str = "x509-svid";

/// The roots of a trust domain, as its owner publishes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeBundle {
    /// PEM, in the order of the bundle.
    pub roots: String,
    /// How often its owner wants it to be read again.
    pub refresh: Option<Duration>,
}

impl SpiffeBundle {
    /// Reads it.
    ///
    /// # Errors
    /// It is no bundle, it has a key for certificates without exactly one certificate of an authority,
    /// or none at all: what was known is better than a part.
    pub fn read(text: &str) -> Result<Self, String> {
        let bundle: Value = serde_json::from_str(text).map_err(|why| format!("no JSON: {why}"))?;
        let keys = bundle.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or("there is no list of keys")?;
        if keys.len() > MOST_KEYS {
            return Err(format!("there are more than {MOST_KEYS} keys"));
        }
        let mut roots = String::new();
        for key in keys {
            if key.get("use").and_then(Value::as_str) == Some(USE) {
                roots.push_str(&root(key)?);
            }
        }
        if roots.is_empty() {
            return Err(format!("no key has use {USE}"));
        }
        let refresh = bundle.get("spiffe_refresh_hint").and_then(Value::as_u64);
        Ok(Self {
            roots,
            refresh: refresh.map(Duration::from_secs),
        })
    }
}

fn root(key: &Value) -> Result<String, String> {
    let chain = key.get("x5c").and_then(Value::as_array);
    let [Value::String(text)] = chain.map_or(&[][..], Vec::as_slice) else {
        return Err("a key for certificates has not exactly one in x5c".to_owned());
    };
    let der = STANDARD.decode(text);
    let der = CertificateDer::from(der.map_err(|why| format!("x5c is no base 64: {why}"))?);
    let parsed = parse("x5c", &der).map_err(|why| why.to_string())?;
    match may_sign(&parsed) {
        true => Ok(pem_of(&der)),
        false => Err("a certificate in x5c is not one of an authority".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;
    use rustls::pki_types::pem::PemObject;
    use serde_json::json;
    use std::time::UNIX_EPOCH;

    fn root(name: &str) -> (String, String) {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let made = Authority::self_signed(&name.parse().unwrap(), now).unwrap();
        let der = CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap();
        (pem_of(&der), STANDARD.encode(&der))
    }

    #[test]
    fn roots_are_those_of_the_keys_for_certificates() {
        let ((a, der_a), (b, der_b)) = (root("a"), root("b"));
        let text = json!({"spiffe_refresh_hint": 600, "spiffe_sequence": 3, "keys": [
            {"use": "x509-svid", "kty": "EC", "x5c": [der_a]},
            {"use": "jwt-svid", "kty": "EC", "kid": "1"},
            {"use": "x509-svid", "kty": "EC", "x5c": [der_b]},
        ]});
        let bundle = SpiffeBundle::read(&text.to_string()).unwrap();
        assert_eq!(bundle.roots, format!("{a}{b}"));
        assert_eq!(bundle.refresh, Some(Duration::from_secs(600)));
    }

    #[test]
    fn a_bundle_is_read_whole_or_not_at_all() {
        let (_, good) = root("a");
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec!["a.b".to_owned()]).unwrap();
        let leaf = STANDARD.encode(leaf.self_signed(&key).unwrap().der());
        let with = |x5c: Value| {
            json!({"keys": [{"use": "x509-svid", "x5c": [good]}, {"use": "x509-svid", "x5c": x5c}]})
                .to_string()
        };
        for (bad, words) in [
            ("<html>".to_owned(), "no JSON"),
            (json!({"roots": []}).to_string(), "no list"),
            (
                json!({"keys": [{"use": "jwt-svid"}]}).to_string(),
                "no key has use",
            ),
            (with(json!([])), "exactly one"),
            (with(json!([good, good])), "exactly one"),
            (with(json!(["?"])), "base 64"),
            (with(json!([leaf])), "not one of an authority"),
        ] {
            let why = SpiffeBundle::read(&bad).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }
}
