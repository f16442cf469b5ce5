//! The metadata of an object, as far as the mesh uses it, and where its fields stand.

use meltemi_types::{FieldPath, Labels, Location, Namespace, ObjectRef};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Metadata of an object, without what the mesh never reads (owners, managed fields, finalizers).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Cluster, kind, namespace and name.
    pub object: Arc<ObjectRef>,
    /// The labels.
    pub labels: Labels,
    /// The annotations.
    pub annotations: BTreeMap<Arc<str>, Arc<str>>,
    /// `creationTimestamp` in unix seconds; files rarely have one.
    pub created: Option<i64>,
    /// `generation`: counts changes of the spec at the API server.
    pub generation: Option<i64>,
    /// The API server's id of this very object.
    pub uid: Option<Arc<str>>,
    /// The API server's version of the object; opaque.
    pub resource_version: Option<Arc<str>>,
    /// Where the object starts, when it was read from a file.
    pub location: Option<Location>,
}

impl Meta {
    /// Metadata that says who the object is and nothing else.
    #[must_use]
    pub fn new(object: ObjectRef) -> Self {
        Self {
            object: Arc::new(object),
            labels: Labels::default(),
            annotations: BTreeMap::new(),
            created: None,
            generation: None,
            uid: None,
            resource_version: None,
            location: None,
        }
    }

    /// The namespace; `None` for cluster-scoped kinds.
    #[must_use]
    pub fn namespace(&self) -> Option<&Namespace> {
        self.object.namespace.as_ref()
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.object.name.as_str()
    }

    /// The value of an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(|value| &**value)
    }
}

/// Which line and column each field of an object stands at. Empty when the object came from an
/// API server; clones share.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Positions(Option<Arc<[Position]>>);

/// A path, a line and a column.
type Position = (Box<str>, u32, u32);

impl Positions {
    /// Positions by field path. The first of two equal paths counts.
    #[must_use]
    pub fn new(mut entries: Vec<(Box<str>, u32, u32)>) -> Self {
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries.dedup_by(|b, a| a.0 == b.0);
        Self((!entries.is_empty()).then(|| entries.into()))
    }

    /// The same fields, each at the line and column that `place` makes of the former ones.
    pub(crate) fn map(&self, place: impl Fn(u32, u32) -> (u32, u32)) -> Self {
        let moved = |(path, line, column): &Position| {
            let (line, column) = place(*line, *column);
            (path.clone(), line, column)
        };
        let entries = self.0.as_deref().unwrap_or_default();
        Self::new(entries.iter().map(moved).collect())
    }

    /// Line and column of the field, or of the nearest field above it that is known.
    #[must_use]
    pub fn nearest(&self, path: &FieldPath) -> Option<(u32, u32)> {
        let entries = self.0.as_deref()?;
        let mut path = path.as_str();
        loop {
            let found = entries.binary_search_by(|entry| (*entry.0).cmp(path));
            if let Some((_, line, column)) = found.ok().and_then(|at| entries.get(at)) {
                return Some((*line, *column));
            }
            if path.is_empty() {
                return None;
            }
            path = path.get(..path.rfind(['.', '[']).unwrap_or(0))?;
        }
    }

    /// True when no position is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl std::fmt::Debug for Positions {
    /// Only how many there are: the entries would drown everything else.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Positions({})", self.0.as_deref().map_or(0, <[_]>::len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_field_above_answers() {
        let positions = Positions::new(vec![
            ("spec".into(), 5, 1),
            ("spec.http".into(), 6, 3),
            ("spec.http[1]".into(), 9, 5),
        ]);
        let at = |path: &str| positions.nearest(&FieldPath::new(path));
        assert_eq!(at("spec.http[1].route[0].weight"), Some((9, 5)));
        assert_eq!(at("spec.http[0]"), Some((6, 3)));
        assert_eq!(at("spec.hosts[0]"), Some((5, 1)));
        assert_eq!(at("metadata.name"), None);
        assert_eq!(Positions::default().nearest(&FieldPath::spec()), None);
    }
}
