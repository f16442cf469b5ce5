//! Users' YAML (and JSON) in, objects and diagnostics out. The only door for either; behind it
//! are granit-parser to read and serde_yaml to write.
//!
//! One mistake costs one document: the text is cut at its separators first. Every problem of a
//! document is reported, with field path, line and column. `kind: List` is opened.

mod class;
mod document;
mod header;
mod mesh_config;
mod object;
mod positions;
mod problem;
mod reader;
mod removed;
mod scalar;
mod split;
pub(crate) mod stored;
mod suggest;
mod tree;
mod typed;

pub use header::Header;
pub use typed::{Typed, read_as};
mod whole;

pub use whole::{Content, Whole, read_whole};

use crate::object::Object;
use meltemi_types::{ClusterId, Code, Diagnostic, Location, Namespace, ObjectRef, Selector};
use serde::Serialize;
use std::sync::Arc;

/// The largest text that is read.
pub const MAX_BYTES: usize = 64 << 20;

/// Where a text comes from, and what to make of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The cluster that its objects belong to.
    pub cluster: ClusterId,
    /// The file as the user named it, for locations.
    pub file: Arc<str>,
    /// The namespace whose ConfigMap `istio` is the mesh config.
    pub root_namespace: Namespace,
    /// What to make of kinds of groups that are neither ours nor Kubernetes'.
    pub strangers: Strangers,
    /// Whether an API server has let the objects in.
    pub admission: Admission,
}

/// What to make of kinds that nothing is known about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strangers {
    /// They are mistakes: in a directory that exists for the mesh.
    Refuse,
    /// They are somebody else's: in a directory of everything.
    Ignore,
}

/// Whether an API server has let objects in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nobody has looked yet: what an API server would refuse in Kubernetes objects is an error.
    Pending,
    /// They exist: what an API server would refuse in Kubernetes objects is worth a warning.
    Done,
    /// They come out of an API server: as [`Admission::Done`], there are no lines to point at, and
    /// fields that we do not know are those of a newer version, except in security kinds, where
    /// to leave a restriction out would be to open something.
    Stored,
}

impl Source {
    /// A file of a mesh directory of the default cluster, with root namespace `istio-system`.
    #[must_use]
    pub fn new(file: impl Into<Arc<str>>) -> Self {
        Self {
            cluster: ClusterId::default(),
            file: file.into(),
            root_namespace: Namespace::istio_system(),
            strangers: Strangers::Refuse,
            admission: Admission::Pending,
        }
    }

    fn location(&self, line: u32, column: u32) -> Location {
        Location {
            file: self.file.clone(),
            line,
            column,
        }
    }
}

/// One document of a text, or one item of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Where it starts.
    pub location: Location,
    /// Who it says it is.
    pub header: Header,
    /// What came of it.
    pub outcome: Outcome,
    /// What is wrong with it, by line. Errors unless the outcome is an object, left out or foreign.
    pub diagnostics: Vec<Diagnostic>,
}

/// What came of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// An object; the diagnostics are warnings.
    Object(Object),
    /// An object of a watched kind that cannot be used.
    Broken {
        /// Which one.
        object: Arc<ObjectRef>,
        /// See [`crate::Broken::selector`].
        selector: Option<Selector>,
    },
    /// A kind that is recognised, but has no effect yet: a warning says so.
    LeftOut,
    /// A kind that is none of our business; nothing is said about it.
    Foreign,
    /// There is no telling which object was meant: not YAML, no name, a misspelt kind.
    Unclear,
}

/// Reads all documents of a text. Never fails: what cannot be read is a document that says so.
#[must_use]
pub fn read(bytes: &[u8], source: &Source) -> Vec<Document> {
    let text = match text(bytes, source) {
        Ok(text) => text,
        Err(document) => return vec![*document],
    };
    split::split(text)
        .into_iter()
        .flat_map(|part| document::part(part, source))
        .collect()
}

/// The bytes as text, unless they are too many or none.
fn text<'a>(bytes: &'a [u8], source: &Source) -> Result<&'a str, Box<Document>> {
    if bytes.len() > MAX_BYTES {
        let message = format!("larger than {MAX_BYTES} bytes");
        let location = source.location(0, 0);
        return Err(Box::new(not_yaml(location, &message, "split the file")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let location = source.location(u32::try_from(line).unwrap_or(0), 0);
        Box::new(not_yaml(
            location,
            "not UTF-8 text",
            "save the file as UTF-8",
        ))
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Reads mesh configuration that is a file of its own, as `--meshConfig` names it: the fields of
/// `MeshConfig` and nothing around them.
#[must_use]
pub fn read_mesh_config(bytes: &[u8], source: &Source) -> Document {
    match text(bytes, source) {
        Ok(text) => mesh_config::bare(text, source),
        Err(document) => *document,
    }
}

/// Reads mesh networks that are a file of their own. The outcome is [`Outcome::LeftOut`] when they
/// can be used: they are no object.
#[must_use]
pub fn read_mesh_networks(bytes: &[u8], source: &Source) -> Document {
    match text(bytes, source) {
        Ok(text) => mesh_config::networks(text, source),
        Err(document) => *document,
    }
}

/// Text that names no object.
fn not_yaml(location: Location, message: &str, remedy: &str) -> Document {
    Document {
        diagnostics: vec![Diagnostic::in_text(
            Code::NotYaml,
            location.clone(),
            message,
            remedy,
        )],
        location,
        header: Header::default(),
        outcome: Outcome::Unclear,
    }
}

/// Writes a value as YAML.
///
/// # Errors
/// The value has map keys that are no scalars, or its own serializer fails.
pub fn write<T: Serialize>(value: &T) -> Result<String, WriteError> {
    serde_yaml::to_string(value).map_err(WriteError)
}

/// A value that has no YAML form.
#[derive(Debug, thiserror::Error)]
#[error("cannot be written as YAML")]
pub struct WriteError(#[source] serde_yaml::Error);

#[cfg(test)]
mod tests;
