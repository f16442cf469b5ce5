//! What the tasks of one source share: the client, where changes go, who is not in sync yet, and
//! whether the API server's store went back in time.

use crate::status::Seen;
use crate::tuning::Tuning;
use kube::Client;
use meltemi_api::Change;
use meltemi_api::kinds::Kind;
use meltemi_types::ClusterId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, Semaphore, mpsc, watch};

/// How many lists run at once, so that a start does not look like an attack.
const LISTS: usize = 4;

/// Nobody listens any more.
#[derive(Debug)]
pub(crate) struct Stopped;

/// The newest thing that is known to have happened to a kind. A store that does not know of it has
/// forgotten it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Witness {
    /// Where the object is.
    pub(crate) path: String,
    /// Its version.
    pub(crate) version: u64,
    /// How often its spec was changed by then, where the kind counts that.
    pub(crate) generation: Option<i64>,
    /// It was deleted with that version.
    pub(crate) gone: bool,
}

/// The witnesses of all kinds.
pub(crate) type Witnesses = BTreeMap<Kind, Witness>;

/// What the store must know, now and when somebody began to doubt it: what is seen in between may
/// come from a store that has forgotten, and says nothing about it.
#[derive(Debug, Default)]
struct Known {
    now: Witnesses,
    doubted: Option<Witnesses>,
}

/// What the tasks share.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) cluster: ClusterId,
    pub(crate) tuning: Tuning,
    pub(crate) lists: Semaphore,
    /// What was seen of objects that may get a status.
    pub(crate) seen: Seen,
    source: Arc<str>,
    out: mpsc::Sender<Vec<Change>>,
    unsynced: AtomicUsize,
    epoch: watch::Sender<u64>,
    highest: AtomicU64,
    known: Mutex<Known>,
    doubt: Notify,
    back: watch::Sender<()>,
}

/// What a source is made of.
pub(crate) struct Parts {
    pub(crate) client: Client,
    pub(crate) cluster: ClusterId,
    pub(crate) tuning: Tuning,
    pub(crate) seen: Seen,
    pub(crate) source: Arc<str>,
    pub(crate) out: mpsc::Sender<Vec<Change>>,
    /// Counts how often the store went back in time.
    pub(crate) epoch: watch::Sender<u64>,
    /// How many targets must be in sync before the source is.
    pub(crate) targets: usize,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            client: parts.client,
            cluster: parts.cluster,
            tuning: parts.tuning,
            lists: Semaphore::new(LISTS),
            seen: parts.seen,
            source: parts.source,
            out: parts.out,
            unsynced: AtomicUsize::new(parts.targets),
            epoch: parts.epoch,
            highest: AtomicU64::new(0),
            known: Mutex::default(),
            doubt: Notify::new(),
            back: watch::Sender::new(()),
        }
    }

    /// Sends changes on.
    pub(crate) async fn send(&self, changes: Vec<Change>) -> Result<(), Stopped> {
        if changes.is_empty() {
            return Ok(());
        }
        for change in &changes {
            if let Change::Delete(object) = change {
                self.seen.remove(object);
            }
        }
        self.out.send(changes).await.map_err(|_| Stopped)
    }

    /// Ends when nobody listens any more.
    pub(crate) async fn closed(&self) {
        self.out.closed().await;
    }

    /// One more target is in sync, and its changes are sent. The last one says so.
    pub(crate) async fn synced(&self) -> Result<(), Stopped> {
        if self.unsynced.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        let source = self.source.clone();
        self.send(vec![Change::Synced { source }]).await
    }

    /// The newest version that any list or watch named.
    pub(crate) fn highest(&self) -> u64 {
        self.highest.load(Ordering::Acquire)
    }

    /// A list or watch named this version.
    pub(crate) fn saw(&self, version: u64) {
        self.highest.fetch_max(version, Ordering::AcqRel);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object of the kind was seen, or its end.
    pub(crate) fn witnessed(&self, kind: Kind, version: u64, witness: impl FnOnce() -> Witness) {
        let mut known = self.known();
        if known.now.get(&kind).is_none_or(|old| version > old.version) {
            known.now.insert(kind, witness());
        }
    }

    /// A connection is lost: whether the API server is there, and is the same, should be asked.
    pub(crate) fn doubt(&self) {
        let mut known = self.known();
        if known.doubted.is_none() {
            known.doubted = Some(known.now.clone());
        }
        self.doubt.notify_one();
    }

    /// What the store is to be asked for, if somebody doubts. Whoever takes it asks, or gives it
    /// back.
    pub(crate) fn take_doubted(&self) -> Option<Witnesses> {
        self.known().doubted.take()
    }

    /// The store could not be asked.
    pub(crate) fn give_back(&self, witnesses: Witnesses) {
        self.known().doubted = Some(witnesses);
    }

    /// Ends when somebody doubts.
    pub(crate) async fn doubted(&self) {
        self.doubt.notified().await;
    }

    /// The API server was away and is there again.
    pub(crate) fn came_back(&self) {
        self.back.send_replace(());
    }

    /// Changes whenever the API server was away and is there again.
    pub(crate) fn back(&self) -> watch::Receiver<()> {
        self.back.subscribe()
    }

    /// The store went back in time: everybody lists again.
    pub(crate) fn went_back(&self) {
        tracing::warn!("the API server's store went back in time; everything is listed again");
        metrics::counter!("meltemi_kube_restores_total").increment(1);
        self.highest.store(0, Ordering::Release);
        self.seen.clear();
        *self.known() = Known::default();
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Changes whenever the store went back in time.
    pub(crate) fn epoch(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }
}
