//! Asking the API server who shows a token: once for many callers, with a deadline, remembered for
//! a short while, and closed when it does not answer.
//!
//! Answers are remembered by the token's SHA-256, never by the token. A good one counts until the
//! token ends and no longer than the patience says, since the pod may be gone by then.

use crate::token::{TokenError, TokenUser, each, judge, plausible};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use meltemi_types::Secret;
use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Semaphore;

/// How long answers count, and what asking may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long a good token is not asked about again.
    pub good: Duration,
    /// The same for a refused one.
    pub refused: Duration,
    /// How long the API server may take.
    pub answer: Duration,
    /// How many questions are open at once.
    pub open: usize,
    /// How many tokens may wait for their question.
    pub waiting: usize,
    /// How many answers are remembered.
    pub remembered: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            good: Duration::from_secs(30),
            refused: Duration::from_secs(10),
            answer: Duration::from_secs(5),
            open: 16,
            waiting: 1024,
            remembered: 8192,
        }
    }
}

type Key = Box<[u8]>;
type Answer = Result<TokenUser, TokenError>;
type Pending = Shared<BoxFuture<'static, Answer>>;

/// Asks one API server about tokens for one audience.
pub struct TokenReviewer {
    client: Client,
    audience: String,
    patience: Patience,
    questions: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cache: Cache,
    pending: HashMap<Key, Pending>,
}

impl TokenReviewer {
    /// A reviewer of tokens for `audience`, or one of several with commas between them; an empty one
    /// is none, and nothing is accepted.
    #[must_use]
    pub fn new(client: Client, audience: &str, patience: Patience) -> Arc<Self> {
        Arc::new(Self {
            client,
            audience: audience.to_owned(),
            questions: Semaphore::new(patience.open),
            patience,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who shows the token.
    ///
    /// # Errors
    /// It proves nothing, or the API server does not say.
    pub async fn review(self: &Arc<Self>, token: &Secret<String>) -> Answer {
        let key = hash(token.expose());
        if let Some(known) = self.state().cache.get(&key, Instant::now()) {
            return known;
        }
        let until = plausible(token.expose(), &self.audience, SystemTime::now())?;
        let pending = {
            let mut state = self.state();
            // It may have been answered since.
            if let Some(known) = state.cache.get(&key, Instant::now()) {
                return known;
            }
            match state.pending.get(&key) {
                Some(pending) => pending.clone(),
                None if state.pending.len() >= self.patience.waiting => {
                    let why = "too many tokens are being checked".to_owned();
                    return Err(TokenError::Unavailable(why));
                }
                None => {
                    let pending = self.clone().ask(key.clone(), token.clone(), until);
                    state.pending.insert(key, pending.clone());
                    pending
                }
            }
        };
        pending.await
    }

    /// Asks, in a task of its own: who waits may go away, the answer is remembered all the same.
    fn ask(self: Arc<Self>, key: Key, token: Secret<String>, until: Option<SystemTime>) -> Pending {
        let task = tokio::spawn(async move {
            let asked = tokio::time::timeout(self.patience.answer, self.question(&token, until));
            let late = |_| Err(TokenError::Unavailable("the API server is slow".to_owned()));
            let answer = asked.await.unwrap_or_else(late);
            let mut state = self.state();
            let span = match &answer {
                Ok(_) => self.patience.good,
                Err(TokenError::Refused(_)) => self.patience.refused,
                Err(TokenError::Unavailable(_)) => Duration::ZERO,
            };
            let left = until.map(|end| end.duration_since(SystemTime::now()).unwrap_or_default());
            let span = left.map_or(span, |left| span.min(left));
            let now = Instant::now();
            state.pending.remove(&key);
            if !span.is_zero() {
                let most = self.patience.remembered;
                state
                    .cache
                    .put(key, (answer.clone(), now + span), (now, most));
            }
            answer
        });
        let lost = |_| Err(TokenError::Unavailable("the question was lost".to_owned()));
        async move { task.await.unwrap_or_else(lost) }
            .boxed()
            .shared()
    }

    async fn question(&self, token: &Secret<String>, until: Option<SystemTime>) -> Answer {
        let unavailable = |why: String| TokenError::Unavailable(why);
        let permit = self.questions.acquire().await;
        let _permit = permit.map_err(|e| unavailable(e.to_string()))?;
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.expose().clone()),
                audiences: Some(each(&self.audience).map(str::to_owned).collect()),
            },
            ..TokenReview::default()
        };
        let api: Api<TokenReview> = Api::all(self.client.clone());
        let answer = api.create(&PostParams::default(), &review).await;
        let status = match answer {
            Ok(answer) => answer.status.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "TokenReview failed; nobody is let in by a new token");
                let why = "the API server does not review it".to_owned();
                return Err(unavailable(why));
            }
        };
        if let Some(error) = &status.error {
            tracing::debug!(%error, "token refused");
        }
        judge(&status, &self.audience, until)
    }
}

/// SHA-256.
fn hash(token: &str) -> Key {
    let suite = TLS13_AES_128_GCM_SHA256;
    let common = match &suite {
        SupportedCipherSuite::Tls13(suite) => &suite.common,
        SupportedCipherSuite::Tls12(suite) => &suite.common,
    };
    common.hash_provider.hash(token.as_bytes()).as_ref().into()
}

/// Answers that still count, at most so many.
#[derive(Default)]
struct Cache(HashMap<Key, (Answer, Instant)>);

impl Cache {
    fn get(&self, key: &Key, now: Instant) -> Option<Answer> {
        let (answer, until) = self.0.get(key)?;
        (now < *until).then(|| answer.clone())
    }

    /// Remembers an answer. When it is full, what no longer counts goes, else what ends first.
    fn put(&mut self, key: Key, answer: (Answer, Instant), (now, most): (Instant, usize)) {
        if self.0.len() >= most {
            self.0.retain(|_, (_, until)| now < *until);
        }
        if self.0.len() >= most {
            let first = self.0.iter().min_by_key(|(_, (_, until))| *until);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                self.0.remove(&first);
            }
        }
        self.0.insert(key, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        vec![byte].into()
    }

    fn no() -> Answer {
        Err(TokenError::Refused("no".into()))
    }

    #[test]
    fn the_hash_is_sha256() {
        let text: String = hash("abc").iter().map(|b| format!("{b:02x}")).collect();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(text, known);
    }

    #[test]
    fn an_answer_counts_for_its_time() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut cache = Cache::default();
        cache.put(key(1), (no(), now + second), (now, 8));
        assert_eq!(cache.get(&key(1), now), Some(no()));
        assert_eq!(cache.get(&key(1), now + second), None);
        assert_eq!(cache.get(&key(2), now), None);
    }

    #[test]
    fn what_ends_first_makes_room() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut cache = Cache::default();
        for at in 1..=3 {
            cache.put(key(at), (no(), now + second * at.into()), (now, 2));
        }
        assert_eq!(cache.0.len(), 2);
        assert_eq!(cache.get(&key(1), now), None);
        cache.put(key(4), (no(), now + 9 * second), (now + 5 * second, 2));
        assert_eq!(cache.0.len(), 1, "what no longer counts goes first");
    }
}
