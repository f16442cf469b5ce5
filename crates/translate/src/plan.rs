//! What `plan` lists and what `build` answers.

use meltemi_types::{Diagnostic, Origin};
use std::sync::Arc;

/// One resource to be: its name, everything it depends on, and where that came from.
#[derive(Clone, Debug)]
pub struct Item<I> {
    /// The resource's name, unique within its type for one class.
    pub name: Arc<str>,
    /// Everything the resource depends on; the cache key.
    pub input: I,
    /// The objects and fields it was made from, the deciding one first.
    pub origins: Arc<[Origin]>,
}

/// Everything one generator wants made, and what it found wrong while joining.
#[derive(Clone, Debug)]
pub struct Planned<I> {
    /// Resources to be; of two with one name the first is kept.
    pub items: Vec<Item<I>>,
    /// Findings.
    pub diagnostics: Vec<Diagnostic>,
}

impl<I> Default for Planned<I> {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl<I> From<Vec<Item<I>>> for Planned<I> {
    fn from(items: Vec<Item<I>>) -> Self {
        Self {
            items,
            diagnostics: Vec::new(),
        }
    }
}

impl<I> Planned<I> {
    /// Adds one resource to be.
    pub fn push(&mut self, name: impl Into<Arc<str>>, input: I, origins: impl Into<Arc<[Origin]>>) {
        self.items.push(Item {
            name: name.into(),
            input,
            origins: origins.into(),
        });
    }
}

/// A finished message and what was found wrong while making it.
#[derive(Clone, Debug)]
pub struct Built<T> {
    /// The message.
    pub message: T,
    /// Findings.
    pub diagnostics: Vec<Diagnostic>,
}

impl<T> From<T> for Built<T> {
    fn from(message: T) -> Self {
        Self {
            message,
            diagnostics: Vec::new(),
        }
    }
}
