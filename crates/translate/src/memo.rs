//! Build once: finished resources by everything they depend on.
//!
//! The memo can be deleted and the program stays right; it can never be wrong, because `build`
//! takes only the input. Entries whose resource nobody holds any more are swept.

use meltemi_proto::resource::Encoded;
use meltemi_types::Diagnostic;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

/// What became of one input.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The resource; `None` when a check found that Envoy would refuse it.
    pub encoded: Option<Arc<Encoded>>,
    /// Findings.
    pub diagnostics: Arc<[Diagnostic]>,
}

/// Finished resources of one type by input.
#[derive(Debug)]
pub struct Memo<I> {
    entries: HashMap<I, Outcome>,
    builds: u64,
    encodes: u64,
}

impl<I> Default for Memo<I> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            builds: 0,
            encodes: 0,
        }
    }
}

impl<I: Eq + Hash + Clone> Memo<I> {
    /// The outcome for `input`, from before or made now by `build`.
    pub fn get_or(&mut self, input: &I, build: impl FnOnce(&I) -> Outcome) -> Outcome {
        if let Some(outcome) = self.entries.get(input) {
            return outcome.clone();
        }
        let outcome = build(input);
        self.builds += 1;
        self.encodes += u64::from(outcome.encoded.is_some());
        self.entries.insert(input.clone(), outcome.clone());
        outcome
    }

    /// Drops every entry whose resource is held by nobody else, when there are many more entries
    /// than `live` resources.
    pub fn sweep(&mut self, live: usize) {
        if self.entries.len() > 2 * live + 1024 {
            self.entries
                .retain(|_, o| o.encoded.as_ref().is_some_and(|e| Arc::strong_count(e) > 1));
        }
    }

    /// How often something was built, since the start.
    #[must_use]
    pub fn builds(&self) -> u64 {
        self.builds
    }

    /// How often something was encoded, since the start.
    #[must_use]
    pub fn encodes(&self) -> u64 {
        self.encodes
    }
}
