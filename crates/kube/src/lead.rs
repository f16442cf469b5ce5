//! Leading: asks for a lock, renews it, and says whether work may be done.
//!
//! The word is taken back before another can have the lock: when a renewal is refused, when the
//! lock is another's, and when renewals have failed for the deadline, whatever the API server does.

use crate::elect::{Candidate, Elector, Next, Timing};
use crate::lock::Lock;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// A request to the API server may take so long. Two of them and a look between them stay below
/// the lease.
const PATIENCE: Duration = Duration::from_secs(4);

/// Says just before a write whether it may be done. It counts on the monotonic clock, so a process
/// that was stopped and goes on knows at once that its time is over.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<Mutex<Option<Instant>>>);

impl Fence {
    /// True when this replica leads and goes on to do so for that long, whatever happens.
    #[must_use]
    pub fn holds(&self, long: Duration) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() + long < until)
    }

    /// Leads for that long from now on, or no longer. Who campaigns says so at each renewal; tests
    /// say what they like.
    pub fn hold(&self, long: Option<Duration>) {
        self.set(long.map(|long| Instant::now() + long));
    }

    fn set(&self, until: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// One candidate for one lock.
pub struct Campaign {
    lock: Lock,
    me: Candidate,
    elector: Elector,
    timing: Timing,
    leads: watch::Sender<bool>,
    fence: Fence,
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
            fence: Fence::default(),
        }
    }

    /// What those who write ask before each write.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Asks for the lock and renews it for ever.
    pub async fn run(&mut self) {
        loop {
            self.turn().await;
            self.fence.set(self.elector.until());
            let now = Instant::now();
            let leads = self.elector.term(now).is_some();
            self.tell(leads);
            sleep(self.pause(leads, now)).await;
        }
    }

    /// Who waits looks twice as often, so that a lock given back is not free for long, and when
    /// the lock of a dead leader becomes anybody's.
    fn pause(&self, leads: bool, now: Instant) -> Duration {
        if leads {
            return self.timing.retry;
        }
        let often = self.timing.retry / 2;
        let expires = self.elector.expires_in(now);
        expires.map_or(often, |expires| expires.min(often))
    }

    /// Gives the lock back. What the leader does must have ended.
    pub async fn give_back(mut self) {
        self.fence.set(None);
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
