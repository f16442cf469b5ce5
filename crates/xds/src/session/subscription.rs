//! What a client wants of one type: everything, some names, or both.

use std::collections::BTreeSet;
use std::sync::Arc;

/// The name that means everything.
pub(crate) const ALL: &str = "*";

/// What a client wants of one type.
#[derive(Debug, Default)]
pub(crate) struct Subscription {
    /// Everything there is.
    pub(crate) wildcard: bool,
    /// Once a client has named something, an empty list no longer means everything.
    pub(crate) spoken: bool,
    /// What it named.
    pub(crate) names: BTreeSet<Arc<str>>,
}

impl Subscription {
    /// True when the client wants that name.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// True when the client wants that name and said so.
    pub(crate) fn explicit(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}
