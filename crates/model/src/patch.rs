//! The slot for user patches (EnvoyFilter, WasmPlugin, Telemetry): part of every generator's
//! input and so of its key. Nothing fills it yet.

use meltemi_types::Origin;
use std::sync::Arc;

/// One change that a user wants made to a finished resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Patch {
    /// Who asked for it.
    pub origin: Origin,
    /// Where it applies and what it does, as canonical JSON.
    pub operation: Arc<str>,
}

/// No patches.
#[must_use]
pub fn none() -> Arc<[Patch]> {
    Arc::from([])
}
