//! What the tasks of one source share: the client, where changes go, who is not in sync yet, and
//! whether the API server's store went back in time.

use crate::status::Seen;
use crate::tuning::Tuning;
use kube::Client;
use meltemi_api::Change;
use meltemi_types::ClusterId;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, Semaphore, mpsc, watch};

/// How many lists run at once, so that a start does not look like an attack.
const LISTS: usize = 4;

/// Nobody listens any more.
#[derive(Debug)]
pub(crate) struct Stopped;

/// The newest thing that is known to have happened. A store that does not know of it has
/// forgotten it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Witness {
    /// Where the object is.
    pub(crate) path: String,
    /// Its version; 0: nothing is known.
    pub(crate) version: u64,
    /// It was deleted with that version.
    pub(crate) gone: bool,
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
    witness: Mutex<Witness>,
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
            witness: Mutex::default(),
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

    /// An object was seen in this version, or its end.
    pub(crate) fn witnessed(&self, version: u64, gone: bool, path: impl FnOnce() -> String) {
        let mut witness = self.witness.lock().unwrap_or_else(PoisonError::into_inner);
        if version > witness.version {
            *witness = Witness {
                path: path(),
                version,
                gone,
            };
        }
    }

    /// The newest thing that is known to have happened.
    pub(crate) fn witness(&self) -> Witness {
        let witness = self.witness.lock();
        witness.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A connection is lost: whether the API server is there, and is the same, should be asked.
    pub(crate) fn doubt(&self) {
        self.doubt.notify_one();
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
        *self.witness.lock().unwrap_or_else(PoisonError::into_inner) = Witness::default();
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Changes whenever the store went back in time.
    pub(crate) fn epoch(&self) -> watch::Receiver<u64> {
        self.epoch.subscribe()
    }
}
