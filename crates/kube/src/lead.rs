//! Leading: asks for a lock, renews it, and says whether work may be done.
//!
//! The word is taken back before another can have the lock: when a renewal is refused, when the
//! lock is another's, and when renewals have failed for the deadline, whatever the API server does.

use crate::elect::{Candidate, Elector, Next, Timing};
use crate::lock::Lock;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// A request to the API server may take so long. Two of them and a look between them stay below
/// the lease.
const PATIENCE: Duration = Duration::from_secs(4);

/// One candidate for one lock.
pub struct Campaign {
    lock: Lock,
    me: Candidate,
    elector: Elector,
    timing: Timing,
    leads: watch::Sender<bool>,
}

impl Campaign {
    /// Nothing is asked for yet. `leads` is true while work may be done.
    #[must_use]
    pub fn new(lock: Lock, me: Candidate, leads: watch::Sender<bool>) -> Self {
        let timing = Timing::default();
        Self {
            elector: Elector::new(me.clone(), timing, lock.is_shared()),
            lock,
            me,
            timing,
            leads,
        }
    }

    /// Asks for the lock and renews it for ever.
    pub async fn run(&mut self) {
        loop {
            self.turn().await;
            let leads = self.elector.term(Instant::now()).is_some();
            self.tell(leads);
            // Who waits looks twice as often, so that a lock given back is not free for long.
            let pause = match leads {
                true => self.timing.retry,
                false => self.timing.retry / 2,
            };
            sleep(pause).await;
        }
    }

    /// Gives the lock back. What the leader does must have ended.
    pub async fn give_back(mut self) {
        self.tell(false);
        let Some(record) = self.elector.release() else {
            return;
        };
        let Ok(Ok(Some((found, version)))) = timeout(PATIENCE, self.lock.read()).await else {
            return;
        };
        if found.holder == *self.me.name {
            let written = self.lock.write(&record, Some(&version));
            if let Ok(Err(error)) = timeout(PATIENCE, written).await {
                self.complain(&error);
            }
        }
    }

    /// One look, and one write.
    async fn turn(&mut self) {
        let found = match timeout(PATIENCE, self.lock.read()).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return self.complain(&error),
            Err(_) => return self.unanswered(),
        };
        let began = Instant::now();
        let Next::Write(record, over) = self.elector.read(began, found.as_ref()) else {
            return;
        };
        match timeout(PATIENCE, self.lock.write(&record, over.as_deref())).await {
            Ok(Ok(())) => self.elector.stored(began, &record),
            Ok(Err(error)) => self.complain(&error),
            Err(_) => self.unanswered(),
        }
    }

    fn tell(&self, now: bool) {
        self.leads.send_if_modified(|before| {
            let changed = *before != now;
            if changed {
                tracing::info!(lock = self.lock.name(), leads = now, "leadership changed");
            }
            *before = now;
            changed
        });
    }

    fn complain(&self, error: &kube::Error) {
        let lock = self.lock.name();
        if let kube::Error::Api(status) = error
            && matches!(status.code, 404 | 409)
        {
            tracing::debug!(lock, "somebody else was faster");
        } else {
            tracing::warn!(lock, %error, "the lock cannot be asked for");
        }
    }

    fn unanswered(&self) {
        tracing::warn!(lock = self.lock.name(), "the API server does not answer");
    }
}
