//! Resources as they go on the wire, and all resources of one type as one immutable set.
//!
//! The version of a resource is a hash of its bytes, so it survives restarts and is the same on
//! every replica. A set remembers which names differ from the set before it, so a stream that
//! holds the set before sends just those.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use meltemi_types::{Origin, TypeUrl};
use xxhash_rust::xxh3::xxh3_128;

/// One resource as it goes on the wire, made once and shared by every stream.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The name that proxies ask for.
    pub name: Arc<str>,
    /// The full type address, `type.googleapis.com/...`.
    pub type_url: TypeUrl,
    /// 32 hex digits: the hash of the body.
    pub version: Arc<str>,
    /// The encoded message.
    pub body: Bytes,
    /// The objects and fields it was made from, the deciding one first; not sent to proxies.
    pub origins: Arc<[Origin]>,
}

impl fmt::Debug for Encoded {
    /// Without the body: it may be a private key, and says nothing to people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded")
            .field("name", &self.name)
            .field("type_url", &self.type_url)
            .field("version", &self.version)
            .field("bytes", &self.body.len())
            .field("origins", &self.origins)
            .finish()
    }
}

impl Encoded {
    /// A resource with the version that its body gives it.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, type_url: TypeUrl, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let version = format!("{:032x}", xxh3_128(&body)).into();
        Self {
            name: name.into(),
            type_url,
            version,
            body,
            origins: Arc::from([]),
        }
    }

    /// The same resource, made from these objects.
    #[must_use]
    pub fn with_origins(self, origins: Arc<[Origin]>) -> Self {
        Self { origins, ..self }
    }
}

/// All resources of one type for one class of proxies at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TypeSet {
    /// Counts the sets of this type and class, from 1; means nothing outside this process.
    pub revision: u64,
    /// By name.
    pub resources: BTreeMap<Arc<str>, Arc<Encoded>>,
    /// What differs from the set before; absent on a first set.
    pub changed: Option<Changed>,
}

/// The names that differ between a set and the one it was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The revision of the set it was made from.
    pub since: u64,
    /// Added, changed or removed, sorted.
    pub names: Arc<[Arc<str>]>,
}

impl TypeSet {
    /// The set that follows `previous`: the very same one when nothing differs, else one with the
    /// next revision that shares every unchanged resource. Where only origins differ the revision
    /// stays, because no proxy has to be told.
    #[must_use]
    pub fn next(
        previous: Option<&Arc<Self>>,
        mut resources: BTreeMap<Arc<str>, Arc<Encoded>>,
    ) -> Arc<Self> {
        let Some(previous) = previous else {
            return Arc::new(Self {
                revision: 1,
                resources,
                changed: None,
            });
        };
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut moved = false;
        for (name, resource) in &mut resources {
            match previous
                .resources
                .get(name)
                .map(|old| (old, Difference::of(old, resource)))
            {
                Some((old, Difference::Nothing)) => *resource = Arc::clone(old),
                Some((_, Difference::Origins)) => moved = true,
                Some((_, Difference::Body)) | None => names.push(Arc::clone(name)),
            }
        }
        let removed = previous
            .resources
            .keys()
            .filter(|name| !resources.contains_key(*name));
        names.extend(removed.cloned());
        if names.is_empty() && !moved {
            return Arc::clone(previous);
        }
        if names.is_empty() {
            return Arc::new(Self {
                resources,
                ..Self::clone(previous)
            });
        }
        names.sort_unstable();
        let changed = Changed {
            since: previous.revision,
            names: names.into(),
        };
        Arc::new(Self {
            revision: previous.revision + 1,
            resources,
            changed: Some(changed),
        })
    }
}

enum Difference {
    Nothing,
    Origins,
    Body,
}

impl Difference {
    fn of(old: &Arc<Encoded>, new: &Arc<Encoded>) -> Self {
        if Arc::ptr_eq(old, new) {
            Self::Nothing
        } else if old.version != new.version || old.type_url != new.type_url {
            Self::Body
        } else if old.origins != new.origins {
            Self::Origins
        } else {
            Self::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::urls;
    use meltemi_types::ObjectRef;

    fn resources(entries: &[(&str, &str)]) -> BTreeMap<Arc<str>, Arc<Encoded>> {
        let encode = |(name, body): &(&str, &str)| {
            let encoded = Encoded::new(*name, urls::CLUSTER, body.as_bytes().to_vec());
            (Arc::clone(&encoded.name), Arc::new(encoded))
        };
        entries.iter().map(encode).collect()
    }

    #[test]
    fn the_version_is_a_hash_of_the_body() {
        let one = Encoded::new("a", urls::CLUSTER, Bytes::from_static(b"x"));
        let two = Encoded::new("b", urls::CLUSTER, Bytes::from_static(b"x"));
        let other = Encoded::new("a", urls::CLUSTER, Bytes::from_static(b"y"));
        assert_eq!(one.version.len(), 32);
        assert_eq!(one.version, two.version);
        assert_ne!(one.version, other.version);
    }

    #[test]
    fn an_equal_set_is_the_same_set() {
        let first = TypeSet::next(None, resources(&[("a", "1"), ("b", "1")]));
        let second = TypeSet::next(Some(&first), resources(&[("a", "1"), ("b", "1")]));
        assert_eq!((first.revision, &first.changed), (1, &None));
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn a_change_names_what_differs_and_shares_the_rest() {
        let first = TypeSet::next(None, resources(&[("a", "1"), ("b", "1"), ("d", "1")]));
        let second = TypeSet::next(
            Some(&first),
            resources(&[("a", "1"), ("b", "2"), ("c", "1")]),
        );
        assert_eq!(second.revision, 2);
        let changed = second.changed.as_ref().unwrap();
        assert_eq!(changed.since, 1);
        assert_eq!(
            changed.names.iter().map(AsRef::as_ref).collect::<Vec<_>>(),
            ["b", "c", "d"]
        );
        assert!(Arc::ptr_eq(&first.resources["a"], &second.resources["a"]));
    }

    #[test]
    fn other_origins_keep_the_revision() {
        let object = ObjectRef {
            cluster: "home".parse().unwrap(),
            kind: "VirtualService".into(),
            namespace: None,
            name: "a".parse().unwrap(),
        };
        let origin = Origin::object(Arc::new(object), None);
        let plain = Encoded::new("a", urls::CLUSTER, Bytes::from_static(b"1"));
        let traced = plain.clone().with_origins([origin.clone()].into());
        let set = |encoded: Encoded| [(Arc::clone(&encoded.name), Arc::new(encoded))].into();
        let first = TypeSet::next(None, set(plain));
        let second = TypeSet::next(Some(&first), set(traced));
        assert_eq!((second.revision, &second.changed), (1, &None));
        assert_eq!(*second.resources["a"].origins, [origin]);
    }
}
