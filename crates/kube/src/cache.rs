//! What one kind holds, and so: which events are changes. No I/O, no clock.
//!
//! A list replaces everything at once: what it does not name is gone, what is equal says nothing.
//! An object that goes back to an older version within a watch means that the API server's store
//! went back in time: only a new list can be believed then.

use crate::print;
use meltemi_api::{Broken, Change, Object};
use meltemi_types::{Code, Diagnostic, ObjectRef, Origin};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An object as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) key: Arc<ObjectRef>,
    /// Its version; 0 when unknown.
    pub(crate) version: u64,
    pub(crate) claim: Claim,
    /// What there is to say about it although it is used.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Whether an object can be used.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Claim {
    Good(Object),
    Broken(Arc<Broken>),
}

impl Claim {
    /// How often its spec was changed, where the kind counts that.
    pub(crate) fn generation(&self) -> Option<i64> {
        match self {
            Self::Good(object) => object.meta().generation,
            Self::Broken(broken) => broken.generation,
        }
    }

    fn print(&self) -> u64 {
        match self {
            Self::Good(object) => print::object(object),
            Self::Broken(broken) => print::broken(broken),
        }
    }
}

/// What becomes of what is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnGone {
    /// It is gone.
    Delete,
    /// Its last good version stays in force, and somebody should know.
    Keep,
}

/// The store of the API server went back in time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Regressed;

/// What a list changed.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Relisted {
    pub(crate) changes: Vec<Change>,
    /// Differences that the watch should have told before the list did.
    pub(crate) missed: usize,
    /// The list is older than what was known.
    pub(crate) went_back: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    print: u64,
    version: u64,
    warned: bool,
    good: bool,
}

/// What is known of one kind.
#[derive(Debug)]
pub(crate) struct Cache {
    entries: BTreeMap<Arc<ObjectRef>, Entry>,
    listing: BTreeMap<Arc<ObjectRef>, (Entry, Vec<Change>)>,
    /// Everything up to this version was told.
    newest: u64,
    on_gone: OnGone,
}

impl Cache {
    /// Nothing is known.
    pub(crate) fn new(on_gone: OnGone) -> Self {
        Self {
            entries: BTreeMap::new(),
            listing: BTreeMap::new(),
            newest: 0,
            on_gone,
        }
    }

    /// True when nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// True when what is there is not only broken.
    pub(crate) fn has_good(&self) -> bool {
        self.entries.values().any(|entry| entry.good)
    }

    /// A list begins; an unfinished one before it never was.
    pub(crate) fn begin(&mut self) {
        self.listing.clear();
    }

    /// An object of the list.
    pub(crate) fn listed(&mut self, item: Item) {
        let before = self.entries.get(&item.key);
        let (entry, changes) = weigh(before, &item);
        self.listing.insert(item.key, (entry, changes));
    }

    /// An object left before the list was complete.
    pub(crate) fn unlisted(&mut self, key: &Arc<ObjectRef>) {
        self.listing.remove(key);
    }

    /// The list is complete, as of this version.
    pub(crate) fn finish(&mut self, version: u64) -> Relisted {
        let mut relisted = Relisted {
            went_back: version > 0 && version < self.newest,
            ..Relisted::default()
        };
        let known = self.newest;
        let before = std::mem::take(&mut self.entries);
        for (key, (entry, mut changes)) in std::mem::take(&mut self.listing) {
            if !changes.is_empty() && entry.version <= known {
                relisted.missed += 1;
            }
            relisted.changes.append(&mut changes);
            self.entries.insert(key, entry);
        }
        let gone = before
            .into_iter()
            .filter(|(key, _)| !self.entries.contains_key(key));
        let gone: Vec<_> = gone.collect();
        if version <= known {
            relisted.missed += gone.len();
        }
        for (key, entry) in gone {
            relisted.changes.extend(self.gone(key, &entry));
        }
        self.newest = version;
        relisted
    }

    /// An event of the watch: the object looks like this.
    pub(crate) fn put(&mut self, item: Item) -> Result<Vec<Change>, Regressed> {
        let before = self.entries.get(&item.key);
        if before.is_some_and(|entry| item.version < entry.version && item.version > 0) {
            return Err(Regressed);
        }
        let (entry, changes) = weigh(before, &item);
        self.newest = self.newest.max(item.version);
        self.entries.insert(item.key, entry);
        Ok(changes)
    }

    /// An event of the watch: the object is gone as of this version.
    pub(crate) fn delete(
        &mut self,
        key: &Arc<ObjectRef>,
        version: u64,
    ) -> Result<Vec<Change>, Regressed> {
        let Some(entry) = self.entries.get(key) else {
            return Ok(Vec::new());
        };
        if version < entry.version && version > 0 {
            return Err(Regressed);
        }
        self.newest = self.newest.max(version);
        let Some((key, entry)) = self.entries.remove_entry(key) else {
            return Ok(Vec::new());
        };
        Ok(self.gone(key, &entry))
    }

    /// A bookmark: everything up to this version was told.
    pub(crate) fn reached(&mut self, version: u64) -> Result<(), Regressed> {
        if version > 0 && version < self.newest {
            return Err(Regressed);
        }
        self.newest = self.newest.max(version);
        Ok(())
    }

    /// The changes when an object is gone.
    fn gone(&mut self, key: Arc<ObjectRef>, entry: &Entry) -> Vec<Change> {
        let mut changes = Vec::new();
        if entry.warned {
            changes.push(findings(&key, Vec::new()));
        }
        match self.on_gone {
            OnGone::Delete => changes.push(Change::Delete(key)),
            OnGone::Keep if entry.print == 0 => {
                self.entries.insert(key, entry.clone());
                return Vec::new();
            }
            OnGone::Keep => {
                changes.push(kept(&key));
                let gone = Entry {
                    print: 0,
                    version: 0,
                    warned: false,
                    good: entry.good,
                };
                self.entries.insert(key, gone);
            }
        }
        changes
    }
}

/// What an item changes about what was known.
fn weigh(before: Option<&Entry>, item: &Item) -> (Entry, Vec<Change>) {
    let warned = !item.warnings.is_empty();
    let good = matches!(item.claim, Claim::Good(_)) || before.is_some_and(|entry| entry.good);
    let entry = Entry {
        print: (item.claim.print() ^ print::warnings(&item.warnings)).max(1),
        version: item.version,
        warned,
        good,
    };
    let mut changes = Vec::new();
    if before.is_none_or(|before| before.print != entry.print) {
        changes.push(match &item.claim {
            Claim::Good(object) => Change::Upsert(object.clone()),
            Claim::Broken(broken) => Change::Broken(broken.clone()),
        });
        if warned || before.is_some_and(|before| before.warned) {
            changes.push(findings(&item.key, item.warnings.clone()));
        }
    }
    (entry, changes)
}

fn findings(key: &Arc<ObjectRef>, diagnostics: Vec<Diagnostic>) -> Change {
    Change::Findings {
        unit: format!("{} {key}", key.cluster).into(),
        diagnostics: diagnostics.into(),
    }
}

fn kept(key: &Arc<ObjectRef>) -> Change {
    let diagnostic = Diagnostic::error(
        Code::MeshConfigInvalid,
        Origin::object(key.clone(), None),
        "its ConfigMap is gone, or has lost the key mesh; the last good one stays in force",
        "create it again; an empty one stands for the defaults",
    );
    Change::Broken(Arc::new(Broken {
        object: key.clone(),
        selector: None,
        generation: None,
        diagnostics: [diagnostic].into(),
    }))
}

#[cfg(test)]
mod tests;
