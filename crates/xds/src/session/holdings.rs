//! What a client holds of one type, in as little memory as will do: every stream keeps such books
//! for every resource, and most of them say "what was sent", which names itself.

use std::cmp::Ordering;
use std::sync::Arc;

use meltemi_proto::resource::Encoded;

use super::held::Held;
use super::ledger::Batch;

/// Batches up to this size are put in one by one, larger ones are merged.
const FEW: usize = 8;

/// What a client holds of one type, sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Holdings {
    slots: Vec<Slot>,
}

/// One name; two words.
#[derive(Debug)]
enum Slot {
    /// The resource of its own name.
    Sent(Arc<Encoded>),
    /// Anything else, which is rare.
    Other(Box<(Arc<str>, Held)>),
}

impl Slot {
    fn new(name: Arc<str>, held: Held) -> Self {
        match held {
            Held::Sent(resource) if resource.name == name => Self::Sent(resource),
            Held::Sent(_) | Held::Reported(_) | Held::Absent | Held::Unsure(_) => {
                Self::Other(Box::new((name, held)))
            }
        }
    }

    fn name(&self) -> &Arc<str> {
        match self {
            Self::Sent(resource) => &resource.name,
            Self::Other(other) => &other.0,
        }
    }

    fn held(&self) -> Held {
        match self {
            Self::Sent(resource) => Held::Sent(resource.clone()),
            Self::Other(other) => other.1.clone(),
        }
    }
}

impl Holdings {
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.slots
            .binary_search_by(|slot| (**slot.name()).cmp(name))
    }

    /// What it holds under that name.
    pub(crate) fn get(&self, name: &str) -> Option<Held> {
        let place = self.place(name).ok()?;
        self.slots.get(place).map(Slot::held)
    }

    /// It holds this under that name.
    pub(crate) fn insert(&mut self, name: Arc<str>, held: Held) {
        let place = self.place(&name);
        let slot = Slot::new(name, held);
        match place {
            Ok(at) => {
                if let Some(old) = self.slots.get_mut(at) {
                    *old = slot;
                }
            }
            Err(at) => self.slots.insert(at, slot),
        }
    }

    /// There is nothing to say about that name any more.
    pub(crate) fn remove(&mut self, name: &str) {
        if let Ok(at) = self.place(name) {
            self.slots.remove(at);
        }
    }

    /// Writes a batch in; what `keep` denies is forgotten.
    pub(crate) fn commit(
        &mut self,
        items: Batch,
        keep: impl Fn(&str, Option<&Arc<Encoded>>) -> bool,
    ) {
        if items.len() <= FEW {
            for (name, brought) in items {
                if keep(&name, brought.as_ref()) {
                    self.insert(name, brought.into());
                } else {
                    self.remove(&name);
                }
            }
            return;
        }
        let mut merged = Vec::with_capacity(self.slots.len() + items.len());
        let mut old = std::mem::take(&mut self.slots).into_iter().peekable();
        for (name, brought) in items {
            while let Some(before) = old.next_if(|slot| **slot.name() < *name) {
                merged.push(before);
            }
            old.next_if(|slot| (**slot.name()).cmp(&name) == Ordering::Equal);
            if keep(&name, brought.as_ref()) {
                merged.push(Slot::new(name, brought.into()));
            }
        }
        merged.extend(old);
        merged.shrink_to_fit();
        self.slots = merged;
    }

    /// The names, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.slots.iter().map(Slot::name)
    }

    /// The resources that were sent, as far as they are certain.
    pub(crate) fn sent(&self) -> impl Iterator<Item = (Arc<str>, Arc<Encoded>)> + '_ {
        self.slots
            .iter()
            .filter_map(|slot| match slot.held().certain() {
                Held::Sent(resource) => Some((slot.name().clone(), resource.clone())),
                Held::Reported(_) | Held::Absent | Held::Unsure(_) => None,
            })
    }

    /// How many names there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_proto::urls::CLUSTER;
    use proptest::collection::btree_map;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn brought(kind: u8, name: &Arc<str>) -> Option<Arc<Encoded>> {
        let name = match kind {
            0 => return None,
            1 => "another".into(),
            _ => name.clone(),
        };
        Some(Arc::new(Encoded::new(name, CLUSTER, vec![kind])))
    }

    fn shown(held: &Held) -> String {
        match held {
            Held::Absent => "absent".to_owned(),
            Held::Unsure(last) => format!("unsure, {}", shown(last)),
            Held::Reported(version) => format!("reported {version}"),
            Held::Sent(resource) => format!("sent {} {:?}", resource.name, resource.body),
        }
    }

    proptest! {
        /// Batches of any size leave what a map would hold.
        #[test]
        fn batches_are_written_as_into_a_map(
            batches in prop::collection::vec(btree_map(0u8..40, (0u8..6, any::<bool>()), 0..24), 1..6),
        ) {
            let mut holdings = Holdings::default();
            let mut map: BTreeMap<Arc<str>, String> = BTreeMap::new();
            for batch in batches {
                let mut items = Batch::new();
                let mut denied = std::collections::BTreeSet::new();
                for (number, (kind, keep)) in batch {
                    let name: Arc<str> = format!("n{number:02}").into();
                    let brought = brought(kind, &name);
                    if keep {
                        map.insert(name.clone(), shown(&brought.clone().into()));
                    } else {
                        map.remove(&name);
                        denied.insert(name.clone());
                    }
                    items.insert(name, brought);
                }
                holdings.commit(items, |name, _| !denied.contains(name));
                let now: BTreeMap<_, _> = holdings
                    .names()
                    .map(|name| (name.clone(), shown(&holdings.get(name).unwrap())))
                    .collect();
                prop_assert_eq!(&now, &map);
                prop_assert_eq!(holdings.len(), map.len());
                prop_assert!(holdings.names().is_sorted());
            }
        }
    }

    #[test]
    fn a_name_costs_two_words() {
        assert_eq!(size_of::<Slot>(), 2 * size_of::<usize>());
    }
}
