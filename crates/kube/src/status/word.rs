//! What there is to say about one object, and what to write of it.

use super::addresses::{self, Allocated};
use super::decide::{self, Verdict};
use super::patch::{self, Plan};
use super::seen::Known;
use meltemi_types::ObjectRef;

/// What there is to say about one object of one generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// What is wrong with it, and what proxies make of it.
    Verdict(Verdict),
    /// The addresses that it has.
    Allocated(Allocated),
}

impl From<Verdict> for Word {
    fn from(verdict: Verdict) -> Self {
        Self::Verdict(verdict)
    }
}

impl From<Allocated> for Word {
    fn from(allocated: Allocated) -> Self {
        Self::Allocated(allocated)
    }
}

impl Word {
    /// The generation of the object that it is about.
    pub(crate) fn generation(&self) -> i64 {
        match self {
            Self::Verdict(verdict) => verdict.generation,
            Self::Allocated(allocated) => allocated.generation,
        }
    }

    /// What to write over what is known of an object of that group; `None` when it says so already.
    /// `by` says it at `now`, RFC 3339.
    pub(super) fn plan(
        &self,
        object: &ObjectRef,
        known: (&Known, &str),
        (by, now): (&str, &str),
    ) -> Option<Plan> {
        match self {
            Self::Verdict(verdict) => {
                patch::plan(object, &decide::decide(object, verdict, by), known, now)
            }
            Self::Allocated(allocated) => addresses::plan(object, allocated, known),
        }
    }
}
