//! What a source says. A directory and an API server speak with the same words, so everything
//! behind them is the same.

use crate::object::Object;
use meltemi_types::{Diagnostic, ObjectRef, Selector};
use std::sync::Arc;

/// One thing a source says.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The object is there and looks like this. Ends an earlier [`Change::Broken`] of it.
    Upsert(Object),
    /// The object is gone, broken or not.
    Delete(Arc<ObjectRef>),
    /// The object's newest text cannot be used: its last good version stays in force.
    Broken(Arc<Broken>),
    /// What there is to say about a unit of the source (a file) and its usable objects: warnings,
    /// text that is no object. Replaces what was said about that unit before.
    Findings {
        /// The unit: a file as the user named it.
        unit: Arc<str>,
        /// Empty when there is nothing to say any more.
        diagnostics: Arc<[Diagnostic]>,
    },
    /// The source has been read whole once: what it did not name does not exist.
    Synced {
        /// The source: a directory, or a cluster's API server.
        source: Arc<str>,
    },
}

/// An object whose newest text cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which object.
    pub object: Arc<ObjectRef>,
    /// For the security kinds, the workloads that the object selects, when the text says so
    /// beyond doubt. `None`: assume every workload of its namespace (of the mesh, in the root
    /// namespace). Other kinds do not fail closed and have `None`.
    pub selector: Option<Selector>,
    /// Its `generation`, where an API server says it.
    pub generation: Option<i64>,
    /// Why; never empty. Kept until the object's next [`Change`].
    pub diagnostics: Arc<[Diagnostic]>,
}
