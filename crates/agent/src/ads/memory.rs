//! What Envoy is known to have, by type and name, and what outlives a stream of it.
//!
//! Pure. A response counts once Envoy has accepted it; one that it refused leaves what was there, so
//! the control plane is never told that Envoy has what it has not.

use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::google::protobuf::Any;
use meltemi_xds::types::XdsType;
use std::collections::{BTreeMap, BTreeSet};

/// The most responses that wait for Envoy's word; a control plane that sends more without hearing
/// any is forgotten the oldest.
const WAITING: usize = 4096;

/// A resource that Envoy has.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) version: String,
    /// `None`: it said so itself, and we have never seen it.
    pub(super) body: Option<Any>,
}

/// All of one type.
pub(super) type Table = BTreeMap<String, Kept>;

/// What Envoy had at the end of a stream, by type.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// The protocol and the name of the node; another one has no use for it.
    pub(super) owner: Option<String>,
    pub(super) tables: BTreeMap<String, Held>,
}

/// One type at the end of a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) table: Table,
    /// The version of the whole (state of the world).
    pub(super) version: String,
}

/// A type in a conversation.
#[derive(Debug, Default)]
pub(super) struct Kind {
    /// What Envoy asks for by name.
    pub(super) names: BTreeSet<String>,
    /// It wants all there are.
    pub(super) all: bool,
    /// What it has.
    pub(super) held: Held,
}

impl Kind {
    pub(super) fn wants(&self, name: &str) -> bool {
        self.all || self.names.contains(name)
    }
}

/// What is known of Envoy in a conversation.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Who it says it is.
    pub(super) node: Option<Node>,
    pub(super) kinds: BTreeMap<String, Kind>,
    pub(super) nonces: Nonces,
    /// What the Envoy before had.
    pub(super) last: BTreeMap<String, Held>,
}

impl Known {
    /// Takes over what the stream before left, when it was of the same node and protocol.
    pub(super) fn remember(
        &mut self,
        protocol: &str,
        store: Store,
        adopt: impl Fn(&mut Held, &Held),
    ) {
        if self.owner(protocol) == store.owner {
            self.last = store.tables;
        }
        for (url, kind) in &mut self.kinds {
            if let Some(last) = self.last.get(url) {
                adopt(&mut kind.held, last);
            }
        }
    }

    /// What Envoy has now; of types of which it has nothing, what the one before had.
    pub(super) fn store(self, protocol: &str) -> Store {
        let owner = self.owner(protocol);
        let Self {
            node: _,
            kinds,
            nonces: _,
            last: mut tables,
        } = self;
        let kinds = kinds.into_iter().map(|(url, kind)| (url, kind.held));
        tables.extend(kinds.filter(|(_, held)| !held.table.is_empty()));
        Store { owner, tables }
    }

    fn owner(&self, protocol: &str) -> Option<String> {
        let node = self.node.as_ref()?;
        Some(format!("{protocol} {}", node.id))
    }

    /// One thing of each type, in the order in which they must be asked for.
    pub(super) fn of_each<T>(&self, mut make: impl FnMut(&str, &Kind) -> T) -> Vec<T> {
        let mut all: Vec<_> = self.kinds.iter().collect();
        all.sort_by_key(|(url, _)| XdsType::find(url).map_or(usize::MAX, XdsType::order));
        let each = all.into_iter().map(|(url, kind)| make(url, kind));
        each.collect()
    }
}

/// What Envoy will have when it accepts a response.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) type_url: String,
    pub(super) set: Vec<(String, Kept)>,
    pub(super) removed: Vec<String>,
    /// All there is of the type: what is not in it is gone.
    pub(super) whole: bool,
    pub(super) version: String,
}

impl Change {
    fn apply(self, held: &mut Held) {
        if self.whole {
            held.table.clear();
        }
        for name in &self.removed {
            held.table.remove(name);
        }
        held.table.extend(self.set);
        held.version = self.version;
    }
}

/// Nonces that say which connection to the control plane they are of, and what they stand for.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    /// Counts connections; 0 is ourselves, answering while there is none.
    connection: u64,
    count: u64,
    waiting: BTreeMap<(u64, u64), (String, Change)>,
}

/// What a nonce in a request stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// No response is answered.
    Nothing,
    /// One of this connection, with that nonce of the control plane.
    Theirs(String),
    /// One that the control plane does not know any more, or never did.
    Past,
}

impl Nonces {
    /// A new connection has begun: what was sent before is still answered, but not forwarded.
    pub(super) fn next_connection(&mut self) {
        self.connection += 1;
    }

    /// The nonce under which Envoy gets a response of the control plane.
    pub(super) fn wrap(&mut self, theirs: String, change: Change) -> String {
        self.remember(self.connection, theirs, change)
    }

    /// The nonce of a response of ours.
    pub(super) fn own(&mut self, change: Change) -> String {
        self.remember(0, String::new(), change)
    }

    fn remember(&mut self, connection: u64, theirs: String, change: Change) -> String {
        self.count += 1;
        if self.waiting.len() >= WAITING {
            self.waiting.pop_first();
        }
        self.waiting
            .insert((connection, self.count), (theirs, change));
        format!("{connection}.{}", self.count)
    }

    /// What `nonce` stands for. Accepted, it is in `kinds` from now on.
    pub(super) fn answer(
        &mut self,
        (nonce, refused): (&str, bool),
        kinds: &mut BTreeMap<String, Kind>,
    ) -> Answered {
        if nonce.is_empty() {
            return Answered::Nothing;
        }
        let parsed = nonce.split_once('.');
        let parsed = parsed.and_then(|(of, count)| Some((of.parse().ok()?, count.parse().ok()?)));
        let waiting = parsed.and_then(|key: (u64, u64)| self.waiting.remove_entry(&key));
        let Some(((of, _), (theirs, change))) = waiting else {
            return Answered::Past;
        };
        if !refused && let Some(kind) = kinds.get_mut(&change.type_url) {
            change.apply(&mut kind.held);
        }
        match of == self.connection && of != 0 {
            true => Answered::Theirs(theirs),
            false => Answered::Past,
        }
    }
}

/// True when a response of state of the world holds all there is of that type.
pub(super) fn is_whole(type_url: &str) -> bool {
    XdsType::find(type_url).is_some_and(|row| row.full_state)
}

/// True when Envoy asks for all of that type by naming none.
pub(super) fn is_wildcard(type_url: &str) -> bool {
    XdsType::find(type_url).is_some_and(|row| row.wildcard)
}
