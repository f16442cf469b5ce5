//! Diagnostics on stderr: each is said once when it appears, and once when it is gone.

use meltemi_types::Diagnostic;
use std::collections::BTreeSet;

/// What was already said.
#[derive(Debug, Default)]
pub(crate) struct Report {
    said: BTreeSet<Diagnostic>,
}

impl Report {
    /// Says what is new, in the fixed one-line form.
    pub(crate) fn update(&mut self, now: BTreeSet<Diagnostic>) {
        for diagnostic in now.difference(&self.said) {
            eprintln!("{diagnostic}");
        }
        for diagnostic in self.said.difference(&now) {
            let origin = diagnostic
                .origin
                .as_ref()
                .map(|o| format!("{o}: "))
                .unwrap_or_default();
            eprintln!("fixed[{}]: {origin}{}", diagnostic.code, diagnostic.message);
        }
        self.said = now;
    }
}
