//! Which object, which field, which line: where every generated thing came from.

use crate::names::{ClusterId, Namespace, ObjectName};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// An object by cluster, kind, namespace and name. Cluster-scoped kinds have no namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectRef {
    /// Which cluster's API server (or directory) it came from.
    pub cluster: ClusterId,
    /// The kind, for example `VirtualService`.
    pub kind: Arc<str>,
    /// The namespace; `None` for cluster-scoped kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
    /// The name.
    pub name: ObjectName,
}

impl fmt::Display for ObjectRef {
    /// `Kind namespace/name`, or `Kind name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// A path inside an object: `spec.http[0].route[1].weight`. Empty is the object itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct FieldPath(Arc<str>);

impl FieldPath {
    /// The object itself.
    #[must_use]
    pub fn root() -> Self {
        Self("".into())
    }

    /// `spec`, where the path of most things starts.
    #[must_use]
    pub fn spec() -> Self {
        Self("spec".into())
    }

    /// The path as written.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self(path.into())
    }

    /// This path and a field below it.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        if self.0.is_empty() {
            Self(name.into())
        } else {
            Self(format!("{}.{name}", self.0).into())
        }
    }

    /// This path and an element of it.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0).into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// A place in a file. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Location {
    /// The file as the user named it.
    pub file: Arc<str>,
    /// The line, from 1; 0 when unknown.
    pub line: u32,
    /// The column, from 1; 0 when unknown.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => f.write_str(&self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// Where a generated thing came from: an object, a field of it, and the line when it is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Origin {
    /// The object.
    pub object: Arc<ObjectRef>,
    /// The field.
    pub path: FieldPath,
    /// The file and line, when the object was read from a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
}

impl Origin {
    /// The whole object.
    #[must_use]
    pub fn object(object: Arc<ObjectRef>, location: Option<Location>) -> Self {
        Self {
            object,
            path: FieldPath::root(),
            location,
        }
    }

    /// The same object, at another field. The line stays the object's.
    #[must_use]
    pub fn at(&self, path: FieldPath) -> Self {
        Self {
            object: self.object.clone(),
            path,
            location: self.location.clone(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.fmt(f)?;
        if !self.path.as_str().is_empty() {
            write!(f, " {}", self.path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_grow() {
        let path = FieldPath::spec()
            .field("http")
            .index(0)
            .field("route")
            .index(1);
        assert_eq!(path.as_str(), "spec.http[0].route[1]");
        assert_eq!(FieldPath::root().field("spec").as_str(), "spec");
    }

    #[test]
    fn an_origin_prints_kind_namespace_name_and_path() {
        let object = Arc::new(ObjectRef {
            cluster: ClusterId::default(),
            kind: "VirtualService".into(),
            namespace: Some("shop".parse().unwrap()),
            name: "reviews".parse().unwrap(),
        });
        let origin = Origin::object(object, None).at(FieldPath::spec());
        assert_eq!(origin.to_string(), "VirtualService shop/reviews spec");
    }
}
