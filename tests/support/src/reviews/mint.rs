//! Tokens of service accounts as the kubelet projects them: three parts, of which the middle one
//! says whom it is for and how long; the signature is worth nothing.

use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a token says.
#[derive(Clone, Debug)]
pub struct Token<'a> {
    /// The namespace of its service account.
    pub namespace: &'a str,
    /// The service account.
    pub account: &'a str,
    /// The pod that it is bound to, if any.
    pub pod: Option<&'a str>,
    /// Whom it is for.
    pub audience: &'a str,
    /// Seconds from now until it ends; negative has ended.
    pub seconds: i64,
    /// Whether the API server knows it; one that was revoked it does not.
    pub known: bool,
}

impl<'a> Token<'a> {
    /// A projected token of a pod, for an hour.
    #[must_use]
    pub fn of(namespace: &'a str, account: &'a str, pod: &'a str) -> Self {
        Self {
            namespace,
            account,
            pod: Some(pod),
            audience: "istio-ca",
            seconds: 3600,
            known: true,
        }
    }

    /// The token, and what a review of it says.
    pub(super) fn mint(&self) -> (String, Option<Value>) {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let Self {
            namespace,
            account,
            pod,
            audience,
            seconds,
            known,
        } = self;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |span| i64::try_from(span.as_secs()).unwrap_or(0));
        let claims = json!({
            "aud": [audience], "exp": now + seconds,
            "jti": COUNT.fetch_add(1, Ordering::Relaxed),
            "sub": format!("system:serviceaccount:{namespace}:{account}"),
        });
        let header = base64url(json!({"alg": "none"}).to_string().as_bytes());
        let text = format!("{header}.{}.c2ln", base64url(claims.to_string().as_bytes()));
        let mut extra = json!({});
        if let Some(pod) = pod {
            extra = json!({
                "authentication.kubernetes.io/pod-name": [pod],
                "authentication.kubernetes.io/pod-uid": [format!("uid-{pod}")],
            });
        }
        let status = json!({
            "authenticated": true,
            "audiences": [audience],
            "user": {
                "username": format!("system:serviceaccount:{namespace}:{account}"),
                "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{namespace}")],
                "extra": extra,
            },
        });
        (text, known.then_some(status))
    }
}

/// Base 64 as JSON has bytes.
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = base64url(bytes).replace('-', "+").replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Base 64 for URLs, without padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let group = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..=three.len() {
            let letter = usize::try_from(group >> (18 - 6 * place) & 63).unwrap_or(0);
            text.push(char::from(LETTERS.get(letter).copied().unwrap_or(b'A')));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{base64, base64url};

    #[test]
    fn base64_is_as_everywhere() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
        ] {
            assert_eq!(base64url(bytes.as_bytes()), text);
        }
        assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }
}
