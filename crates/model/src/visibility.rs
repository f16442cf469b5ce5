//! `exportTo`: which namespaces may see a thing.

use meltemi_types::Namespace;
use std::collections::BTreeSet;

/// The namespaces that may see a service, route table or traffic rule.
///
/// Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/> (`exportTo`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExportTo {
    /// Everybody (`*`).
    #[default]
    Public,
    /// These namespaces only (`.` is already the object's own).
    Namespaces(BTreeSet<Namespace>),
    /// Nobody (`~`).
    Nobody,
}

impl ExportTo {
    /// Reads the values of an `exportTo` list; an empty list is `default`.
    #[must_use]
    pub fn read<'a>(
        values: impl IntoIterator<Item = &'a str>,
        own: &Namespace,
        default: &ExportTo,
    ) -> Self {
        let mut names = BTreeSet::new();
        let mut nobody = false;
        for value in values {
            match value.trim() {
                "*" => return Self::Public,
                "~" => nobody = true,
                "." => {
                    names.insert(own.clone());
                }
                other => names.extend(other.parse::<Namespace>().ok()),
            }
        }
        match (names.is_empty(), nobody) {
            (false, _) => Self::Namespaces(names),
            (true, true) => Self::Nobody,
            (true, false) => default.clone(),
        }
    }

    /// True when `namespace` may see it.
    #[must_use]
    pub fn allows(&self, namespace: &Namespace) -> bool {
        match self {
            Self::Public => true,
            Self::Namespaces(names) => names.contains(namespace),
            Self::Nobody => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn export_to_reads_dot_star_tilde() {
        let own: Namespace = "shop".parse().unwrap();
        let other: Namespace = "bank".parse().unwrap();
        let read = |v: &[&str]| ExportTo::read(v.iter().copied(), &own, &ExportTo::Public);
        assert!(read(&[]).allows(&other));
        assert!(read(&["."]).allows(&own) && !read(&["."]).allows(&other));
        assert!(read(&[".", "bank"]).allows(&other));
        assert!(read(&["~", "*"]).allows(&other));
        assert!(!read(&["~"]).allows(&own));
    }
}
