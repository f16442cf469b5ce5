//! Equal parts of different objects, kept once: the pods of a Deployment have the same labels and
//! ports, and all that run on a node have its name.

use meltemi_types::{Labels, Port, PortName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Parts that were read and may come again. Belongs to whoever reads the objects of one kind.
#[derive(Debug, Default)]
pub struct Pool {
    texts: BTreeSet<Arc<str>>,
    labels: BTreeSet<Labels>,
    ports: BTreeSet<Arc<BTreeMap<PortName, Port>>>,
}

impl Pool {
    /// Drops all parts: what was read keeps its own, what is read from now on is shared anew.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn text(&mut self, text: &str) -> Arc<str> {
        match self.texts.get(text) {
            Some(known) => known.clone(),
            None => share(&mut self.texts, text.into()),
        }
    }

    pub(super) fn labels(&mut self, labels: Labels) -> Labels {
        share(&mut self.labels, labels)
    }

    pub(super) fn ports(
        &mut self,
        ports: Arc<BTreeMap<PortName, Port>>,
    ) -> Arc<BTreeMap<PortName, Port>> {
        share(&mut self.ports, ports)
    }
}

/// The equal part that is known, or this one, which is known from now on.
fn share<T: Clone + Ord>(known: &mut BTreeSet<T>, part: T) -> T {
    if let Some(known) = known.get(&part) {
        return known.clone();
    }
    known.insert(part.clone());
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_parts_are_one() {
        let mut pool = Pool::default();
        let first = pool.text("node-1");
        assert!(Arc::ptr_eq(&first, &pool.text("node-1")));
        pool.forget();
        assert!(!Arc::ptr_eq(&first, &pool.text("node-1")));
    }
}
