//! Label sets and selectors over them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The labels of a workload, sorted by key. Clones share. A slice and not a map: there are as
/// many of them as pods, and each has a few labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// The value of a label.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        let found = self.0.binary_search_by(|(name, _)| (**name).cmp(key));
        let (_, value) = self.0.get(found.ok()?)?;
        Some(value)
    }

    /// Pairs, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (&**k, &**v))
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Only the labels whose key `keep` accepts.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&str) -> bool) -> Self {
        self.iter().filter(|(k, _)| keep(k)).collect()
    }
}

impl<K: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(K, V)> for Labels {
    /// Of two labels with one key the last counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter().map(|(k, v)| (k.into(), v.into()));
        let sorted: BTreeMap<Arc<str>, Arc<str>> = pairs.collect();
        Self(sorted.into_iter().collect())
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::<String, String>::deserialize(deserializer)?
            .into_iter()
            .collect())
    }
}

/// Labels that a workload must carry, all of them (`matchLabels`). Empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(Labels);

impl Selector {
    /// A selector that wants all of these labels.
    #[must_use]
    pub fn new(labels: Labels) -> Self {
        Self(labels)
    }

    /// True when `labels` carries every label wanted.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(k, v)| labels.value(k) == Some(v))
    }

    /// True when it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The label keys it looks at, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(k, _)| k)
    }

    /// The labels wanted.
    #[must_use]
    pub fn labels(&self) -> &Labels {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_by_key() {
        let labels: Labels = [("b", "1"), ("a", "2"), ("b", "3")].into_iter().collect();
        let all: Vec<_> = labels.iter().collect();
        assert_eq!(all, [("a", "2"), ("b", "3")]);
        assert_eq!((labels.value("b"), labels.value("c")), (Some("3"), None));
        assert_eq!(labels.only(|key| key == "a").iter().count(), 1);
    }

    #[test]
    fn a_selector_wants_all() {
        let pod: Labels = [("app", "web"), ("version", "v1")].into_iter().collect();
        assert!(Selector::default().matches(&pod));
        assert!(Selector::new([("app", "web")].into_iter().collect()).matches(&pod));
        assert!(!Selector::new([("app", "api")].into_iter().collect()).matches(&pod));
        assert!(!Selector::new([("tier", "x")].into_iter().collect()).matches(&pod));
    }
}
