//! Who claims which object, what was said about it last, and so: what to say now. No I/O.
//!
//! The first claim by file name, then position, is the object; further claims are duplicates
//! that say so, and take over when the first one goes.

use meltemi_api::yaml::{Document, Outcome};
use meltemi_api::{Broken, Change, Object};
use meltemi_types::{Code, Diagnostic, Location, ObjectRef, Origin};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A file as the user named it.
pub(crate) type Unit = Arc<str>;

/// The state of one source.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    files: BTreeMap<Unit, Record>,
    claims: BTreeMap<Arc<ObjectRef>, BTreeSet<(Unit, usize)>>,
    said: BTreeMap<Arc<ObjectRef>, Claim>,
    found: BTreeMap<Unit, Arc<[Diagnostic]>>,
}

/// What a file says.
#[derive(Debug, Default)]
struct Record {
    claims: Vec<Claimed>,
    /// What is wrong with text that claims no object, or with the file as a whole.
    loose: Vec<Diagnostic>,
}

/// A claim and what goes with it.
#[derive(Debug)]
struct Claimed {
    claim: Claim,
    location: Location,
    warnings: Vec<Diagnostic>,
}

/// What a document says about an object.
#[derive(Clone, Debug, PartialEq)]
enum Claim {
    Good(Object),
    Broken(Arc<Broken>),
}

impl Claim {
    fn key(&self) -> &Arc<ObjectRef> {
        match self {
            Self::Good(object) => object.key(),
            Self::Broken(broken) => &broken.object,
        }
    }

    fn change(&self) -> Change {
        match self {
            Self::Good(object) => Change::Upsert(object.clone()),
            Self::Broken(broken) => Change::Broken(broken.clone()),
        }
    }
}

impl Ledger {
    /// True when the file claims objects.
    pub(crate) fn holds(&self, unit: &str) -> bool {
        self.files
            .get(unit)
            .is_some_and(|record| !record.claims.is_empty())
    }

    /// The file now holds these documents. Where one of them is unclear, the objects that are
    /// missed stay: it may be them.
    pub(crate) fn put(&mut self, unit: &Unit, documents: Vec<Document>) -> Vec<Change> {
        let mut record = Record::default();
        let mut unclear = false;
        for document in documents {
            unclear |= record.add(document);
        }
        if unclear {
            let now: BTreeSet<_> = record.keys().cloned().collect();
            let before = self.files.remove(unit).unwrap_or_default();
            let old: BTreeSet<_> = before.keys().cloned().collect();
            record.claims.extend(
                before
                    .claims
                    .into_iter()
                    .filter(|claimed| !now.contains(claimed.claim.key())),
            );
            return self.replace(unit, record, old);
        }
        let before = self.files.remove(unit).unwrap_or_default();
        let old = before.keys().cloned().collect();
        self.replace(unit, record, old)
    }

    /// The file is gone, and what it claimed.
    pub(crate) fn remove(&mut self, unit: &Unit) -> Vec<Change> {
        self.put(unit, Vec::new())
    }

    /// Something is wrong with a file or directory as a whole; its objects stay. No diagnostics:
    /// it is well again.
    pub(crate) fn say(&mut self, unit: &Unit, diagnostics: Vec<Diagnostic>) -> Vec<Change> {
        let mut record = self.files.remove(unit).unwrap_or_default();
        record.loose = diagnostics;
        let keys = record.keys().cloned().collect();
        self.replace(unit, record, keys)
    }

    /// Puts the file's new record in place of one that claimed `old`, and tells the difference.
    fn replace(
        &mut self,
        unit: &Unit,
        record: Record,
        old: BTreeSet<Arc<ObjectRef>>,
    ) -> Vec<Change> {
        let mut touched = old;
        let mut units = BTreeSet::from([unit.clone()]);
        for key in &touched {
            if let Some(claims) = self.claims.get_mut(key) {
                claims.retain(|(claimant, _)| claimant != unit);
            }
        }
        for (index, key) in record.keys().enumerate() {
            let claims = self.claims.entry(key.clone()).or_default();
            claims.insert((unit.clone(), index));
            touched.insert(key.clone());
        }
        if !record.claims.is_empty() || !record.loose.is_empty() {
            self.files.insert(unit.clone(), record);
        }
        let mut changes = Vec::new();
        let mut gone = Vec::new();
        for key in touched {
            let claims = self.claims.get(&key).into_iter().flatten();
            units.extend(claims.map(|(claimant, _)| claimant.clone()));
            match self.winner(&key).cloned() {
                Some(claim) => {
                    if self.said.get(&key) != Some(&claim) {
                        changes.push(claim.change());
                        self.said.insert(key, claim);
                    }
                }
                None => {
                    self.claims.remove(&key);
                    if self.said.remove(&key).is_some() {
                        gone.push(Change::Delete(key));
                    }
                }
            }
        }
        changes.append(&mut gone);
        for unit in units {
            changes.extend(self.findings(unit));
        }
        changes
    }

    fn winner(&self, key: &Arc<ObjectRef>) -> Option<&Claim> {
        Some(&self.first(key)?.claim)
    }

    fn first(&self, key: &Arc<ObjectRef>) -> Option<&Claimed> {
        let (unit, index) = self.claims.get(key)?.first()?;
        self.files.get(unit)?.claims.get(*index)
    }

    /// What there is to say about a file, when it is not what was said before.
    fn findings(&mut self, unit: Unit) -> Option<Change> {
        let mut diagnostics = Vec::new();
        if let Some(record) = self.files.get(&unit) {
            diagnostics.extend(record.loose.iter().cloned());
            for (index, claimed) in record.claims.iter().enumerate() {
                diagnostics.extend(claimed.warnings.iter().cloned());
                let key = claimed.claim.key();
                let first = self.claims.get(key).and_then(BTreeSet::first);
                if first.is_some_and(|(file, at)| *file == unit && *at == index) {
                    continue;
                }
                diagnostics.extend(self.first(key).map(|first| duplicate(claimed, first)));
                if let Claim::Broken(broken) = &claimed.claim {
                    diagnostics.extend(broken.diagnostics.iter().cloned());
                }
            }
        }
        let before = self.found.get(&unit).map(|found| &**found);
        if before.unwrap_or_default() == diagnostics {
            return None;
        }
        let diagnostics: Arc<[Diagnostic]> = diagnostics.into();
        if diagnostics.is_empty() {
            self.found.remove(&unit);
        } else {
            self.found.insert(unit.clone(), diagnostics.clone());
        }
        Some(Change::Findings { unit, diagnostics })
    }
}

impl Record {
    fn keys(&self) -> impl Iterator<Item = &Arc<ObjectRef>> {
        self.claims.iter().map(|claimed| claimed.claim.key())
    }

    /// Takes a document in; true when it is unclear which object it is.
    fn add(&mut self, document: Document) -> bool {
        let Document {
            location,
            header: _,
            outcome,
            diagnostics,
        } = document;
        let (claim, warnings) = match outcome {
            Outcome::Object(object) => (Claim::Good(object), diagnostics),
            Outcome::Broken { object, selector } => {
                let broken = Broken {
                    object,
                    selector,
                    generation: None,
                    diagnostics: diagnostics.into(),
                };
                (Claim::Broken(Arc::new(broken)), Vec::new())
            }
            Outcome::LeftOut | Outcome::Foreign => {
                self.loose.extend(diagnostics);
                return false;
            }
            Outcome::Unclear => {
                self.loose.extend(diagnostics);
                return true;
            }
        };
        self.claims.push(Claimed {
            claim,
            location,
            warnings,
        });
        false
    }
}

fn duplicate(claimed: &Claimed, first: &Claimed) -> Diagnostic {
    let origin = Origin::object(claimed.claim.key().clone(), Some(claimed.location.clone()));
    Diagnostic::error(
        Code::DuplicateObject,
        origin,
        format!("the same object is in {}, which is used", first.location),
        "remove or rename one of the two",
    )
}

#[cfg(test)]
mod tests;
