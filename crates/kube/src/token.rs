//! What a service account's token says, before and after the API server was asked. Pure.
//!
//! Before: what cannot be good is not worth a question (reliability.md T32). After: the answer must
//! name the audience that was asked for, or the token is one for the API server itself (T14).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::authentication::v1::{TokenReviewStatus, UserInfo};
use meltemi_types::{Namespace, ServiceAccount};
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A token may be this long, in bytes.
const LONGEST: usize = 16 << 10;
/// How far the clocks of two machines may differ.
const SKEW: Duration = Duration::from_secs(60);
/// The group of every service account.
const ACCOUNTS: &str = "system:serviceaccounts";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// Who a token is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenUser {
    /// The namespace of the service account.
    pub namespace: Namespace,
    /// The service account.
    pub account: ServiceAccount,
    /// The pod that the token is bound to; a token that a person asked for has none.
    pub pod: Option<BoundPod>,
    /// When the token ends, as it says.
    pub until: Option<SystemTime>,
}

/// The pod that a token is bound to: with the pod it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundPod {
    /// Its name.
    pub name: Arc<str>,
    /// Which of all pods that ever had the name.
    pub uid: Arc<str>,
}

/// Why nobody is known by a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It proves nothing.
    #[error("{0}")]
    Refused(String),
    /// The API server does not say at the moment.
    #[error("the token cannot be checked now: {0}; try again")]
    Unavailable(String),
}

fn refused<T>(why: impl Into<String>) -> Result<T, TokenError> {
    Err(TokenError::Refused(why.into()))
}

/// The claims that are looked at before asking.
#[derive(Debug, Deserialize)]
struct Claims {
    #[serde(default)]
    aud: Audiences,
    #[serde(default)]
    exp: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

impl Default for Audiences {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Audiences {
    fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => several,
        }
    }
}

/// The audiences in a list with commas.
pub(crate) fn each(audience: &str) -> impl Iterator<Item = &str> {
    let all = audience.split(',').map(str::trim);
    all.filter(|one| !one.is_empty())
}

fn names(audience: &str, one: &str) -> bool {
    each(audience).any(|wanted| wanted == one)
}

/// When the token says that it ends, unless it says itself that it cannot be good.
pub(crate) fn plausible(
    token: &str,
    audience: &str,
    now: SystemTime,
) -> Result<Option<SystemTime>, TokenError> {
    let Some(claims) = claims(token) else {
        return refused("the token is no service account token; show the projected one");
    };
    if !claims.aud.all().iter().any(|one| names(audience, one)) {
        return refused(format!(
            "the token is for {:?}, not for {audience:?}; project one with that audience",
            claims.aud.all()
        ));
    }
    let until = claims
        .exp
        .map(|exp| UNIX_EPOCH + Duration::from_secs(exp.min(1 << 40)));
    match until {
        Some(until) if until + SKEW < now => {
            refused("the token has expired; read the projected file again")
        }
        _ => Ok(until),
    }
}

fn claims(token: &str) -> Option<Claims> {
    let parts: Vec<&str> = token.split('.').collect();
    let [_, payload, _] = parts[..] else {
        return None;
    };
    if token.len() > LONGEST {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// Whom the API server's answer names.
pub(crate) fn judge(
    status: &TokenReviewStatus,
    audience: &str,
    until: Option<SystemTime>,
) -> Result<TokenUser, TokenError> {
    if status.authenticated != Some(true) {
        return refused("the API server does not accept the token");
    }
    let audiences = status.audiences.as_deref().unwrap_or_default();
    if !audiences.iter().any(|one| names(audience, one)) {
        return refused(format!(
            "the API server does not confirm the audience {audience:?}"
        ));
    }
    let Some(user) = &status.user else {
        return refused("the API server names no user");
    };
    let groups = user.groups.as_deref().unwrap_or_default();
    let name = user.username.as_deref().unwrap_or_default();
    let account = name.strip_prefix("system:serviceaccount:");
    let account = account.and_then(|account| account.split_once(':'));
    let (Some((namespace, account)), true) = (account, groups.iter().any(|g| g == ACCOUNTS)) else {
        return refused(format!("{name:?} is no service account"));
    };
    let invalid = |e: meltemi_types::Invalid| TokenError::Refused(e.to_string());
    Ok(TokenUser {
        namespace: namespace.parse().map_err(invalid)?,
        account: account.parse().map_err(invalid)?,
        pod: bound(user),
        until,
    })
}

/// The pod of the token; name and uid, or it is not bound.
fn bound(user: &UserInfo) -> Option<BoundPod> {
    let extra = user.extra.as_ref()?;
    let one = |key| match extra.get(key)?.as_slice() {
        [one] if !one.is_empty() => Some(Arc::from(one.as_str())),
        _ => None,
    };
    Some(BoundPod {
        name: one(POD_NAME)?,
        uid: one(POD_UID)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn token(claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2ln", part(&json!({"alg": "RS256"})), part(claims))
    }

    fn why(result: Result<impl std::fmt::Debug, TokenError>) -> String {
        match result {
            Err(TokenError::Refused(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_be_good_is_not_asked_about() {
        let read = |claims: Value| plausible(&token(&claims), "istio-ca", now());
        let good = json!({"aud": ["other", "istio-ca"], "exp": 1_800_000_100});
        let until = now() + Duration::from_secs(100);
        assert_eq!(read(good), Ok(Some(until)));
        assert_eq!(read(json!({"aud": "istio-ca"})), Ok(None));
        let default = json!({"aud": ["https://kubernetes.default.svc"]});
        assert!(why(read(default)).contains("not for \"istio-ca\""));
        assert!(why(read(json!({}))).contains("not for"));
        let old = json!({"aud": "istio-ca", "exp": 1_799_999_000});
        assert!(why(read(old)).contains("expired"));
        for junk in ["", "a", "a.b", "a.b.c", "a.b.c.d", "..", "a.e30.c"] {
            assert!(plausible(junk, "istio-ca", now()).is_err(), "{junk:?}");
        }
        let huge = format!("a.{}.c", "a".repeat(LONGEST));
        assert!(plausible(&huge, "istio-ca", now()).is_err());
    }

    fn status(change: &dyn Fn(&mut Value)) -> TokenReviewStatus {
        let mut status = json!({
            "authenticated": true,
            "audiences": ["istio-ca"],
            "user": {
                "username": "system:serviceaccount:shop:web",
                "groups": ["system:serviceaccounts", "system:authenticated"],
                "extra": {POD_NAME: ["web-0"], POD_UID: ["1-2-3"]},
            },
        });
        change(&mut status);
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn a_bound_token_is_of_its_pod() {
        let user = judge(&status(&|_| ()), "istio-ca", None).unwrap();
        assert_eq!(
            (user.namespace.as_str(), user.account.as_str()),
            ("shop", "web")
        );
        let pod = user.pod.unwrap();
        assert_eq!((&*pod.name, &*pod.uid), ("web-0", "1-2-3"));
    }

    #[test]
    fn half_a_pod_is_none() {
        for key in [POD_NAME, POD_UID] {
            let cut = status(&|s| {
                s["user"]["extra"].as_object_mut().unwrap().remove(key);
            });
            assert_eq!(judge(&cut, "istio-ca", None).unwrap().pod, None, "{key}");
        }
        let none = status(&|s| s["user"]["extra"] = Value::Null);
        assert_eq!(judge(&none, "istio-ca", None).unwrap().pod, None);
    }

    #[test]
    fn every_other_answer_is_a_refusal() {
        type Change<'a> = &'a dyn Fn(&mut Value);
        let cases: [(Change<'_>, &str); 7] = [
            (&|s| s["authenticated"] = json!(false), "does not accept"),
            (&|s| s["authenticated"] = Value::Null, "does not accept"),
            (&|s| s["audiences"] = Value::Null, "confirm the audience"),
            (
                &|s| s["audiences"] = json!(["other"]),
                "confirm the audience",
            ),
            (&|s| s["user"] = Value::Null, "no user"),
            (&|s| s["user"]["groups"] = json!([]), "no service account"),
            (
                &|s| s["user"]["username"] = json!("admin"),
                "no service account",
            ),
        ];
        for (change, words) in cases {
            let why = why(judge(&status(change), "istio-ca", None));
            assert!(why.contains(words), "{why}");
        }
    }
}
