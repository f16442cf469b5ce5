//! What every stream holds, for `/debug/syncz`: a snapshot of plain data.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use meltemi_types::{ProxyKind, TypeUrl};

use crate::session::Flavor;
use crate::source::ClientId;

/// One stream.
#[derive(Clone, Debug)]
pub struct ClientStatus {
    /// The stream.
    pub id: ClientId,
    /// What people call the client: `POD.NAMESPACE`.
    pub key: Arc<str>,
    /// The node id it sent.
    pub node_id: Arc<str>,
    /// What kind of proxy it is.
    pub kind: ProxyKind,
    /// Where it comes from.
    pub peer: Option<SocketAddr>,
    /// Which protocol it speaks.
    pub flavor: Flavor,
    /// Since when.
    pub connected: SystemTime,
    /// The generation that it has confirmed in full.
    pub synced: Option<u64>,
    /// The types it asked for, in push order.
    pub types: Vec<TypeStatus>,
}

/// One type on one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeStatus {
    /// `cds`.
    pub short: &'static str,
    /// The full type address.
    pub type_url: TypeUrl,
    /// True when the client wants everything.
    pub wildcard: bool,
    /// How many names it asked for.
    pub names: usize,
    /// How many names it confirmed.
    pub held: usize,
    /// The last response.
    pub sent_nonce: Option<Arc<str>>,
    /// The last response that it accepted.
    pub acked_nonce: Option<Arc<str>>,
    /// True when nothing is on its way or left to send.
    pub settled: bool,
    /// When the last response was handed over; `None` when there was none.
    pub sent_at: Option<SystemTime>,
    /// What the client said when it last refused something; cleared once nothing refused is
    /// wanted any more.
    pub last_error: Option<Arc<str>>,
    /// The resources that are kept at an older version.
    pub quarantined: Vec<Arc<str>>,
}

/// How far a client is with one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has what it should have.
    Synced,
    /// It has been sent something and not answered yet, or there is more to send.
    Stale,
    /// Nothing was ever sent.
    NotSent,
    /// It has refused something that is still wanted.
    Error,
}

impl Progress {
    /// Istio's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Synced => "SYNCED",
            Self::Stale => "STALE",
            Self::NotSent => "NOT_SENT",
            Self::Error => "ERROR",
        }
    }
}

impl TypeStatus {
    /// How far the client is. One that came back with everything is in sync without a response.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match (&self.last_error, self.settled, &self.sent_nonce) {
            (Some(_), _, _) => Progress::Error,
            (None, true, _) => Progress::Synced,
            (None, false, None) => Progress::NotSent,
            (None, false, Some(_)) => Progress::Stale,
        }
    }
}

/// Every stream there is. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Clients(Arc<Mutex<BTreeMap<ClientId, ClientStatus>>>);

impl Clients {
    /// The streams as they are now, oldest first.
    #[must_use]
    pub fn snapshot(&self) -> Vec<ClientStatus> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn add(&self, client: ClientStatus) {
        self.lock().insert(client.id, client);
    }

    pub(crate) fn edit(&self, id: ClientId, edit: impl FnOnce(&mut ClientStatus)) {
        if let Some(client) = self.lock().get_mut(&id) {
            edit(client);
        }
    }

    pub(crate) fn remove(&self, id: ClientId) {
        self.lock().remove(&id);
    }

    /// A panic under the lock leaves plain data, so the lock goes on.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<ClientId, ClientStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
