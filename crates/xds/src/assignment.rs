//! What one proxy should have now: for each type a few layers of shared resources.
//!
//! A layer is shared by every proxy of a class (outbound) or by the replicas of a workload
//! (inbound). Names in the layers of one type are disjoint; should they not be, the first layer
//! wins. Layers that did not change are the same pointer, and a stream then looks at nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use meltemi_proto::resource::{Encoded, TypeSet};
use meltemi_types::TypeUrl;

/// One set of resources and whose it is.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Whose set it is. The revisions of one type and class form one line, so
    /// `changed.since` of a set may be believed only when the set held before is of the same class.
    pub class: u64,
    /// The resources.
    pub set: Arc<TypeSet>,
}

impl Layer {
    /// The layer of a class.
    #[must_use]
    pub fn new(class: u64, set: Arc<TypeSet>) -> Self {
        Self { class, set }
    }
}

/// What one proxy should have now.
#[derive(Clone, Debug, Default)]
pub struct Assignment {
    /// Counts what the source published; it comes back in [`Event::Synced`](crate::Event::Synced).
    pub generation: u64,
    types: BTreeMap<TypeUrl, Vec<Layer>>,
}

impl Assignment {
    /// An assignment without resources.
    #[must_use]
    pub fn new(generation: u64) -> Self {
        Self {
            generation,
            types: BTreeMap::new(),
        }
    }

    /// Adds a layer below those that the type has.
    #[must_use]
    pub fn with(mut self, type_url: TypeUrl, layer: Layer) -> Self {
        self.types.entry(type_url).or_default().push(layer);
        self
    }

    /// The layers of a type, the first wins.
    #[must_use]
    pub fn layers(&self, type_url: &str) -> &[Layer] {
        self.types.get(type_url).map_or(&[], Vec::as_slice)
    }

    /// The types that have layers.
    pub fn types(&self) -> impl Iterator<Item = TypeUrl> + '_ {
        self.types.keys().copied()
    }

    /// One resource.
    #[must_use]
    pub fn get(&self, type_url: &str, name: &str) -> Option<&Arc<Encoded>> {
        find(self.layers(type_url), name)
    }

    /// Every resource of a type, by name.
    #[must_use]
    pub fn resources(&self, type_url: &str) -> BTreeMap<&str, &Arc<Encoded>> {
        let layers = self.layers(type_url).iter().rev();
        layers
            .flat_map(|layer| &layer.set.resources)
            .map(|(name, resource)| (&**name, resource))
            .collect()
    }
}

/// The resource of that name in the first layer that has one.
pub(crate) fn find<'a>(layers: &'a [Layer], name: &str) -> Option<&'a Arc<Encoded>> {
    layers
        .iter()
        .find_map(|layer| layer.set.resources.get(name))
}

/// What can differ between two assignments of one type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// Nothing does.
    None,
    /// These names at most.
    Names(BTreeSet<Arc<str>>),
    /// Anything.
    Unknown,
}

/// Compares layers without looking at resources.
pub(crate) fn difference(old: &[Layer], new: &[Layer]) -> Difference {
    if old.len() != new.len() {
        return Difference::Unknown;
    }
    let mut names = BTreeSet::new();
    for (old, new) in old.iter().zip(new) {
        if Arc::ptr_eq(&old.set, &new.set) {
            continue;
        }
        match &new.set.changed {
            Some(changed) if changed.since == old.set.revision && old.class == new.class => {
                names.extend(changed.names.iter().cloned());
            }
            Some(_) | None => return Difference::Unknown,
        }
    }
    if names.is_empty() {
        Difference::None
    } else {
        Difference::Names(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_proto::urls::CLUSTER;

    fn set(previous: Option<&Arc<TypeSet>>, entries: &[(&str, &str)]) -> Arc<TypeSet> {
        let encode = |(name, body): &(&str, &str)| {
            let encoded = Encoded::new(*name, CLUSTER, body.as_bytes().to_vec());
            (encoded.name.clone(), Arc::new(encoded))
        };
        TypeSet::next(previous, entries.iter().map(encode).collect())
    }

    #[test]
    fn the_first_layer_wins() {
        let own = Layer::new(1, set(None, &[("a", "own")]));
        let shared = Layer::new(2, set(None, &[("a", "shared"), ("b", "shared")]));
        let assignment = Assignment::new(1).with(CLUSTER, own).with(CLUSTER, shared);
        assert_eq!(&assignment.get(CLUSTER, "a").unwrap().body[..], b"own");
        let all = assignment.resources(CLUSTER);
        assert_eq!(
            all.keys().copied().collect::<Vec<_>>(),
            ["a", "b"],
            "both layers"
        );
        assert_eq!(&all["a"].body[..], b"own");
    }

    #[test]
    fn a_successor_names_what_differs() {
        let first = set(None, &[("a", "1"), ("b", "1")]);
        let second = set(Some(&first), &[("a", "1"), ("b", "2")]);
        let layer = |class, set: &Arc<TypeSet>| [Layer::new(class, set.clone())];
        assert_eq!(
            difference(&layer(1, &first), &layer(1, &first)),
            Difference::None
        );
        assert_eq!(
            difference(&layer(1, &first), &layer(1, &second)),
            Difference::Names(BTreeSet::from(["b".into()]))
        );
    }

    /// Revisions count from 1 in each class, so equal numbers of two classes mean nothing.
    #[test]
    fn a_set_of_another_class_is_no_successor() {
        let first = set(None, &[("a", "1")]);
        let other = set(Some(&set(None, &[("z", "1")])), &[("z", "2")]);
        let (old, new) = ([Layer::new(1, first)], [Layer::new(2, other)]);
        assert_eq!(difference(&old, &new), Difference::Unknown);
        assert_eq!(difference(&old, &[]), Difference::Unknown);
    }
}
