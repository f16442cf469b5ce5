//! What was found wrong with the resources of one type: of each by its name, because several may
//! say the same of one field, and what is made again must take back its own findings only.

use meltemi_types::Diagnostic;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Findings of one type of resources.
#[derive(Default)]
pub(super) struct Found {
    planned: Vec<Diagnostic>,
    /// Resources without findings have no entry.
    made: BTreeMap<Arc<str>, Arc<[Diagnostic]>>,
}

impl Found {
    /// Starts with what was found while joining objects.
    pub(super) fn planned(planned: Vec<Diagnostic>) -> Self {
        Self {
            planned,
            made: BTreeMap::new(),
        }
    }

    /// Keeps what was found while making one resource, in place of what was found before.
    pub(super) fn add(&mut self, name: &Arc<str>, found: Arc<[Diagnostic]>) {
        if found.is_empty() {
            self.made.remove(name);
        } else {
            self.made.insert(name.clone(), found);
        }
    }

    /// Takes over what was found of the resources `names` when they were made again, which is not
    /// joined again; what was found of others stays. True when anything differs.
    pub(super) fn renew(&mut self, names: &[Arc<str>], again: &Self) -> bool {
        let mut differs = false;
        for name in names {
            if self.made.get(name) != again.made.get(name) {
                let found = again.made.get(name).cloned().unwrap_or_default();
                self.add(name, found);
                differs = true;
            }
        }
        differs
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Diagnostic> {
        let made = self.made.values().flat_map(|found| found.iter());
        self.planned.iter().chain(made)
    }
}
