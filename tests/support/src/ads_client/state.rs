//! What a client holds and has counted.

use super::Keep;
use super::needs::needs;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// One resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its version; over SotW, which has none per resource, a hash of the bytes.
    pub version: String,
    /// Its bytes, unless only versions are kept.
    pub body: Bytes,
    /// The names it depends on: endpoints of a cluster, routes of a listener.
    pub needs: Vec<String>,
}

/// The subscription of one type.
#[derive(Clone, Debug, Default)]
pub struct Kind {
    /// What is subscribed to; empty means all.
    pub names: BTreeSet<String>,
    /// What is held, by name.
    pub held: BTreeMap<String, Held>,
    /// The nonce of the last response of this stream.
    pub nonce: String,
    /// The version of the last response (SotW).
    pub version: String,
    /// Has there been any response?
    pub answered: bool,
}

impl Kind {
    pub(super) fn new(names: BTreeSet<String>) -> Self {
        Self {
            names,
            ..Self::default()
        }
    }

    /// Takes a response in.
    pub(super) fn apply(&mut self, update: &Update, keep: Keep) {
        self.answered = true;
        self.nonce.clone_from(&update.nonce);
        self.version.clone_from(&update.version);
        if update.whole {
            let named: BTreeSet<_> = update.changed.iter().map(|r| r.name.as_str()).collect();
            self.held.retain(|name, _| named.contains(name.as_str()));
        }
        for resource in &update.changed {
            let body = match keep {
                Keep::Bodies => resource.body.clone(),
                Keep::Versions => Bytes::new(),
            };
            let needs = needs(&update.type_url, &resource.body);
            let held = Held {
                version: resource.version.clone(),
                body,
                needs,
            };
            self.held.insert(resource.name.clone(), held);
        }
        for name in &update.removed {
            self.held.remove(name);
        }
    }
}

/// A resource as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its name.
    pub name: String,
    /// See [`Held::version`].
    pub version: String,
    /// Its bytes.
    pub body: Bytes,
}

/// One response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Of this type.
    pub type_url: String,
    /// New and changed resources; over SotW all that were sent.
    pub changed: Vec<Arrived>,
    /// Names that are gone (delta).
    pub removed: Vec<String>,
    /// Its nonce.
    pub nonce: String,
    /// Its version.
    pub version: String,
    /// Is what is not named gone? True for clusters and listeners over SotW.
    pub whole: bool,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Responses.
    pub responses: u64,
    /// Resources in them.
    pub resources: u64,
    /// Bytes of these resources.
    pub bytes: u64,
    /// Removed names.
    pub removed: u64,
    /// Responses that were refused.
    pub refused: u64,
}

impl Counts {
    pub(super) fn add(&mut self, update: &Update) {
        self.responses += 1;
        self.resources += update.changed.len() as u64;
        self.bytes += update
            .changed
            .iter()
            .map(|r| r.body.len() as u64)
            .sum::<u64>();
        self.removed += update.removed.len() as u64;
    }
}
