//! Comparing shared values by address.
//!
//! Sound as a cache key because snapshots share unchanged `Arc`s, and because the stored key keeps
//! its `Arc` alive, so that no address is used again while the entry exists.

use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// An `Arc` that is equal only to itself.
#[derive(Debug)]
pub struct ById<T: ?Sized>(pub Arc<T>);

impl<T: ?Sized> Clone for ById<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: ?Sized> PartialEq for ById<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T: ?Sized> Eq for ById<T> {}

impl<T: ?Sized> Hash for ById<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).cast::<()>().hash(state);
    }
}

impl<T: ?Sized> Deref for ById<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: ?Sized> From<&Arc<T>> for ById<T> {
    fn from(value: &Arc<T>) -> Self {
        Self(value.clone())
    }
}
