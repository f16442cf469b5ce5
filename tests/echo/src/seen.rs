//! How many requests of each key arrived: `fail_first` and mirrored traffic are judged by it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Counts per key, for the life of the process.
#[derive(Default)]
pub(crate) struct Seen(Mutex<BTreeMap<String, u64>>);

impl Seen {
    /// Counts one more and says how many there were before it.
    pub(crate) fn count(&self, key: &str) -> u64 {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = counts.entry(key.to_owned()).or_default();
        let before = *entry;
        *entry += 1;
        before
    }

    /// How many there were so far.
    pub(crate) fn so_far(&self, key: &str) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(key).copied().unwrap_or_default()
    }
}
