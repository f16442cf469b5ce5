//! Tokens that somebody forged, and those that nobody did.

use super::*;
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData};
use serde_json::json;

const ISSUER: &str = "https://issuer.example";

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn expected() -> Expected {
    Expected {
        issuer: ISSUER.to_owned(),
        audiences: vec!["mesh".to_owned(), "istio-ca".to_owned()],
    }
}

fn good() -> Value {
    json!({
        "iss": ISSUER, "aud": "istio-ca", "sub": "system:serviceaccount:shop:web",
        "iat": 1_799_999_000, "exp": 1_800_000_600,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

/// A key of an issuer.
struct Own(KeyPair);

impl Own {
    fn p256() -> Self {
        Self(KeyPair::generate().unwrap())
    }

    fn rsa() -> Self {
        Self(KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap())
    }

    fn algorithm(&self) -> &'static str {
        match self.0.is_compatible(&PKCS_RSA_SHA256) {
            true => "RS256",
            false => "ES256",
        }
    }

    fn jwk(&self, id: &str) -> Value {
        let raw = self.0.der_bytes();
        if self.algorithm() == "ES256" {
            let (x, y) = raw[1..].split_at(32);
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            return json!({"kty": "EC", "crv": "P-256", "kid": id, "x": x, "y": y, "use": "sig"});
        }
        // SEQUENCE, INTEGER of 257 bytes, INTEGER of 3 bytes.
        let n = URL_SAFE_NO_PAD.encode(&raw[9..9 + 256]);
        let e = URL_SAFE_NO_PAD.encode(&raw[raw.len() - 3..]);
        json!({"kty": "RSA", "kid": id, "n": n, "e": e, "alg": "RS256"})
    }

    fn keys(&self, id: &str) -> KeySet {
        KeySet::read(&json!({"keys": [self.jwk(id)]}).to_string()).unwrap()
    }

    fn token(&self, id: &str, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "typ": "JWT", "kid": id});
        let signed = unsigned(&header, claims);
        let mut signature = rcgen::SigningKey::sign(&self.0, signed.as_bytes()).unwrap();
        if self.algorithm() == "ES256" {
            signature = raw(&signature);
        }
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Two numbers of 32 bytes, of the DER that certificates have.
fn raw(der: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = &der[2..];
    while !rest.is_empty() {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = &number[number.len().saturating_sub(32)..];
        out.extend(vec![0; 32 - number.len()]);
        out.extend(number);
        rest = &rest[2 + length..];
    }
    out
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

fn verify(token: &str, keys: &KeySet) -> Result<(Bearer, SystemTime), BadJwt> {
    Jwt::read(token).unwrap().verify(keys, &expected(), now())
}

#[test]
fn both_kinds_of_keys_verify() {
    for own in [Own::p256(), Own::rsa()] {
        let token = own.token("1", &good());
        let (bearer, until) = verify(&token, &own.keys("1")).unwrap();
        assert_eq!(
            (bearer.namespace.as_str(), bearer.account.as_str()),
            ("shop", "web")
        );
        assert_eq!(until, now() + Duration::from_secs(600));
        assert_eq!(bearer.pod, None);
        for claims in [
            with("aud", json!(["other", "mesh"])),
            with("exp", json!(1_800_000_000.5)),
            with("nbf", json!(1_800_000_030)),
        ] {
            verify(&own.token("1", &claims), &own.keys("1")).unwrap();
        }
    }
}

#[test]
fn what_a_token_says_must_be_so() {
    let own = Own::p256();
    let audience = || BadJwt::Audience(expected().audiences);
    let issuer = || BadJwt::Issuer(ISSUER.to_owned());
    for (claims, why) in [
        (with("exp", json!(1_800_000_000)), BadJwt::Time),
        (with("exp", json!("soon")), BadJwt::Time),
        (with("exp", Value::Null), BadJwt::Time),
        (with("nbf", json!(1_800_000_061)), BadJwt::Time),
        (with("nbf", json!("now")), BadJwt::Time),
        (with("aud", json!("other")), audience()),
        (with("aud", json!([])), audience()),
        (with("aud", Value::Null), audience()),
        (with("iss", json!("https://issuer.example/")), issuer()),
        (with("iss", Value::Null), issuer()),
        (with("sub", json!("web")), BadJwt::Subject),
        (
            with("sub", json!("system:serviceaccount:shop")),
            BadJwt::Subject,
        ),
        (
            with("sub", json!("system:serviceaccount:shop:a:b")),
            BadJwt::Subject,
        ),
        (
            with("sub", json!("system:serviceaccount:../shop:web")),
            BadJwt::Subject,
        ),
        (
            with("sub", json!("system:serviceaccount:shop:web/../a")),
            BadJwt::Subject,
        ),
        (with("sub", Value::Null), BadJwt::Subject),
    ] {
        let refused = verify(&own.token("1", &claims), &own.keys("1"));
        assert_eq!(refused.unwrap_err(), why, "{claims}");
    }
    let nobody = Expected {
        audiences: Vec::new(),
        ..expected()
    };
    let token = Jwt::read(&own.token("1", &good())).unwrap();
    assert!(token.verify(&own.keys("1"), &nobody, now()).is_err());
}

#[test]
fn who_has_not_the_key_signs_nothing() {
    let (own, other, rsa) = (Own::p256(), Own::p256(), Own::rsa());
    let keys = own.keys("1");
    let unsigned_by = |refused: Result<_, BadJwt>| {
        assert_eq!(refused.unwrap_err(), BadJwt::Unsigned(ISSUER.to_owned()));
    };
    unsigned_by(verify(&other.token("1", &good()), &keys));
    let strange = verify(&own.token("2", &good()), &keys).unwrap_err();
    assert_eq!(strange, BadJwt::UnknownKey(ISSUER.to_owned()));
    // The claims of another token.
    let token = own.token("1", &good());
    let (_, signature) = token.rsplit_once('.').unwrap();
    let header = json!({"alg": "ES256", "kid": "1"});
    let admin = with("sub", json!("system:serviceaccount:istio-system:admin"));
    unsigned_by(verify(
        &format!("{}.{signature}", unsigned(&header, &admin)),
        &keys,
    ));
    // A signature in the form of certificates, a short one, and none.
    for broken in ["", "AAAA", &URL_SAFE_NO_PAD.encode([0; 64])] {
        let text = format!("{}.{broken}", unsigned(&header, &good()));
        unsigned_by(verify(&text, &keys));
    }
    // The token does not choose the algorithm: the public key is no shared secret.
    let public = rsa.keys("1");
    for algorithm in ["none", "HS256", "RS384", "PS256", "ES256", "EdDSA", ""] {
        let header = json!({"alg": algorithm, "kid": "1"});
        let text = format!("{}.{signature}", unsigned(&header, &good()));
        let refused = verify(&text, &public).unwrap_err();
        assert_eq!(refused, BadJwt::Algorithm(algorithm.to_owned()));
    }
    let critical = json!({"alg": "ES256", "kid": "1", "crit": ["b64"], "b64": false});
    let text = format!("{}.{signature}", unsigned(&critical, &good()));
    assert!(matches!(verify(&text, &keys), Err(BadJwt::Algorithm(_))));
}

#[test]
fn a_token_without_a_key_may_be_of_any() {
    let (one, two) = (Own::p256(), Own::rsa());
    let both = json!({"keys": [one.jwk("1"), two.jwk("2")]});
    let both = KeySet::read(&both.to_string()).unwrap();
    let header = json!({"alg": "ES256"});
    let signed = unsigned(&header, &good());
    let signature = rcgen::SigningKey::sign(&one.0, signed.as_bytes()).unwrap();
    let text = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(raw(&signature)));
    verify(&text, &both).unwrap();
}

#[test]
fn keys_that_sign_nothing_are_left_out() {
    let own = Own::p256();
    let mut encrypts = own.jwk("1");
    encrypts["use"] = json!("enc");
    let mut short = own.jwk("2");
    short["x"] = json!("AAAA");
    let shared = json!({"kty": "oct", "kid": "3", "k": "c2VjcmV0"});
    for keys in [json!([]), json!([encrypts, short, shared]), json!("x")] {
        assert!(KeySet::read(&json!({"keys": keys}).to_string()).is_err());
    }
    assert!(KeySet::read("{").is_err() && KeySet::read("{}").is_err());
    let mixed = json!({"keys": [encrypts, own.jwk("4"), shared]});
    let mixed = KeySet::read(&mixed.to_string()).unwrap();
    assert!(mixed.may_know(Some("4")) && mixed.may_know(None));
    assert!(!mixed.may_know(Some("1")) && !mixed.may_know(Some("3")));
}

#[test]
fn what_is_no_token_is_none() {
    for text in [
        "",
        "a",
        "a.b",
        "a.b.c",
        "..",
        "e30.e30",
        &"a".repeat(LONGEST + 1),
    ] {
        assert!(Jwt::read(text).is_none(), "{text}");
    }
    let bound = with("kubernetes.io", json!({"namespace": "shop"}));
    let own = Own::p256();
    assert!(Jwt::read(&own.token("1", &bound)).unwrap().is_kubernetes());
    assert!(!Jwt::read(&own.token("1", &good())).unwrap().is_kubernetes());
}
