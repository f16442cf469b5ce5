//! Callers with a token of another issuer than the API server (`JWT_RULE`, platform.md 4.2): verified
//! here, with keys that are remembered.
//!
//! The issuer is asked for its keys when a token names one that is not known, or when what is
//! remembered is old; never more often than every ten seconds, since anybody can name a key. While
//! the issuer is away, what is remembered counts.

use super::fetch::Fetch;
use crate::clock;
use meltemi_ca::Bearer;
use meltemi_ca::jwt::{Expected, Jwt, KeySet};
use meltemi_types::Secret;
use meltemi_xds::{Account, Caller, Identity, Unknown};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Not more often than that.
const PACE: Duration = Duration::from_secs(10);
/// The same when what is remembered is only old: whoever waits for that is known.
const CALM: Duration = Duration::from_secs(60);
/// Keys older than that are asked for again, so that one that was taken back ends.
const FRESH: Duration = Duration::from_secs(20 * 60);

/// Where the keys are.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// In the rule itself.
    Given(KeySet),
    /// At an address.
    Remote(Fetch),
}

/// What users say of an issuer.
#[derive(Clone, Debug)]
pub(crate) struct JwtRule {
    pub(crate) expected: Expected,
    pub(crate) source: Source,
}

/// An issuer whose tokens count.
#[derive(Debug)]
pub(crate) struct Issuer {
    rule: JwtRule,
    held: RwLock<Held>,
    /// One asks at a time.
    asking: Mutex<()>,
}

/// What is remembered.
#[derive(Clone, Debug, Default)]
struct Held {
    keys: Arc<KeySet>,
    /// When they came; `None` before that.
    since: Option<Instant>,
    /// When they were asked for last.
    tried: Option<Instant>,
}

impl Held {
    /// True when a token with this key can be judged.
    fn knows(&self, id: Option<&str>, now: Instant) -> bool {
        let fresh = |since| now.duration_since(since) < FRESH;
        self.since.is_some_and(fresh) && self.keys.may_know(id)
    }

    /// True when it is time to ask because of a token with this key.
    fn may_ask(&self, id: Option<&str>, now: Instant) -> bool {
        let pace = match self.keys.may_know(id) {
            true => CALM,
            false => PACE,
        };
        self.tried
            .is_none_or(|tried| now.duration_since(tried) >= pace)
    }
}

impl Issuer {
    pub(crate) fn new(rule: JwtRule) -> Self {
        Self {
            rule,
            held: RwLock::default(),
            asking: Mutex::default(),
        }
    }

    /// The token, if it says that it is of this issuer. An API server's is for the API server to
    /// judge, whoever its issuer is.
    pub(crate) fn takes(&self, token: &Secret<String>) -> Option<Jwt> {
        let jwt = Jwt::read(token.expose())?;
        let own = jwt.issuer() == Some(&self.rule.expected.issuer);
        (own && !jwt.is_kubernetes()).then_some(jwt)
    }

    /// Who shows the token.
    pub(crate) async fn know(&self, jwt: Jwt) -> Result<Caller, Unknown> {
        let keys = self.keys(jwt.key_id()).await?;
        let verified = jwt.verify(&keys, &self.rule.expected, clock::wall());
        let (bearer, until) = verified.map_err(|bad| Unknown::Unproved(bad.to_string()))?;
        let Bearer {
            namespace,
            account: name,
            pod: _, // such a token is bound to none
        } = bearer;
        Ok(Caller {
            identity: Identity::Proxy {
                account: Account { namespace, name },
                pod: None,
            },
            until: Some(until),
        })
    }

    fn held(&self) -> Held {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.clone()
    }

    fn hold(&self, next: Held) {
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// The keys, asked for again when a token names one that is not known.
    async fn keys(&self, id: Option<&str>) -> Result<Arc<KeySet>, Unknown> {
        let fetch = match &self.rule.source {
            Source::Given(keys) => return Ok(Arc::new(keys.clone())),
            Source::Remote(fetch) => fetch,
        };
        let held = self.held();
        if held.knows(id, clock::now()) {
            return Ok(held.keys);
        }
        let _alone = self.asking.lock().await;
        // Somebody else may have asked meanwhile.
        let mut held = self.held();
        let now = clock::now();
        if held.knows(id, now) {
            return Ok(held.keys);
        }
        if held.may_ask(id, now) {
            held.tried = Some(now);
            match fetch.keys().await {
                Ok(keys) => {
                    held.keys = Arc::new(keys);
                    held.since = Some(now);
                }
                Err(error) => tracing::warn!(%error, "the keys of an issuer cannot be read"),
            }
            self.hold(held.clone());
        }
        match held.since {
            Some(_) => Ok(held.keys),
            None => {
                let issuer = &self.rule.expected.issuer;
                let why = format!("the keys of {issuer} are not known yet");
                Err(Unknown::Undecided(why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_grow_old_and_nobody_is_asked_all_the_time() {
        let (now, second) = (clock::now(), Duration::from_secs(1));
        let point = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let key = format!(
            r#"{{"kty": "EC", "crv": "P-256", "kid": "1", "x": "{point}", "y": "{point}"}}"#
        );
        let keys = KeySet::read(&format!(r#"{{"keys": [{key}]}}"#)).unwrap();
        let mut held = Held::default();
        assert!(!held.knows(Some("1"), now) && held.may_ask(Some("1"), now));
        held = Held {
            keys: Arc::new(keys),
            since: Some(now),
            tried: Some(now),
        };
        assert!(held.knows(Some("1"), now) && held.knows(None, now));
        assert!(!held.knows(Some("2"), now));
        assert!(!held.knows(Some("1"), now + FRESH));
        let new = Some("2");
        assert!(!held.may_ask(new, now + PACE - second) && held.may_ask(new, now + PACE));
        let old = Some("1");
        assert!(!held.may_ask(old, now + PACE) && held.may_ask(old, now + CALM));
    }
}
