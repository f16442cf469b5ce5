//! Who came first. Istio lets the oldest object win and breaks ties by name, then namespace.

use meltemi_types::{Namespace, ObjectName};

/// Sort key of an object: creation time (unknown first), then name, then namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Age {
    /// Unix seconds of creation; `None` where the source knows none.
    pub created: Option<i64>,
    /// The object's name.
    pub name: ObjectName,
    /// The object's namespace.
    pub namespace: Option<Namespace>,
}
