//! Reading once, for command lines: files, directories, standard input.

use crate::directory::Options;
use crate::error::OpenError;
use crate::ledger::Ledger;
use crate::scan;
use meltemi_api::Change;
use meltemi_api::yaml::{self, Document};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Something that a user named.
#[derive(Clone, Debug)]
pub enum Input {
    /// A file of any name, or a directory.
    Path(PathBuf),
    /// Bytes that were read already, such as standard input.
    Text {
        /// The name for locations, for example `-`.
        name: Arc<str>,
        /// The content.
        bytes: Vec<u8>,
    },
}

/// The name of a file and what it holds.
pub type Named = (Arc<str>, Vec<u8>);

/// All documents, in the order of the inputs; directories by file name.
///
/// # Errors
/// An input does not exist or cannot be read.
pub fn documents(inputs: &[Input], options: &Options) -> Result<Vec<Document>, OpenError> {
    let units = texts(inputs)?;
    Ok(units
        .iter()
        .flat_map(|(name, bytes)| yaml::read(bytes, &options.source(name.clone())))
        .collect())
}

/// What a source made of these inputs would say, from the start until it is in sync. The first
/// of two equal objects is used; inputs count in their order.
///
/// # Errors
/// An input does not exist or cannot be read.
pub fn read(inputs: &[Input], options: &Options) -> Result<Vec<Change>, OpenError> {
    let mut ledger = Ledger::default();
    let mut changes = Vec::new();
    for (name, bytes) in texts(inputs)? {
        let documents = yaml::read(&bytes, &options.source(name.clone()));
        changes.extend(ledger.put(&name, documents));
    }
    changes.push(Change::Synced {
        source: "input".into(),
    });
    Ok(changes)
}

/// The mesh configuration in a file of its own, as a flag names it: what there is to say about it.
///
/// # Errors
/// The file does not exist or cannot be read.
pub fn read_mesh_config(path: &Path, options: &Options) -> Result<Vec<Change>, OpenError> {
    let bytes = fs::read(path).map_err(|e| OpenError::new(path.to_owned(), e))?;
    let name: Arc<str> = path.display().to_string().into();
    let document = yaml::read_mesh_config(&bytes, &options.source(name.clone()));
    Ok(Ledger::default().put(&name, vec![document]))
}

/// The texts of the inputs, each with the name of its file; directories by file name.
///
/// # Errors
/// An input does not exist or cannot be read.
pub fn texts(inputs: &[Input]) -> Result<Vec<Named>, OpenError> {
    let mut units = Vec::new();
    for input in inputs {
        match input {
            Input::Text { name, bytes } => units.push((name.clone(), bytes.clone())),
            Input::Path(path) => {
                let failed = |error| OpenError::new(path.clone(), error);
                let files = match fs::metadata(path).map_err(failed)?.is_dir() {
                    true => scan::scan(path)
                        .map_err(failed)?
                        .files
                        .into_keys()
                        .collect(),
                    false => vec![path.clone()],
                };
                for file in files {
                    let bytes = fs::read(&file).map_err(|e| OpenError::new(file.clone(), e))?;
                    units.push((file.display().to_string().into(), bytes));
                }
            }
        }
    }
    Ok(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_files_and_text_are_read_in_order() {
        let root = tempfile::tempdir().unwrap();
        let text =
            |name: &str| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
        fs::write(root.path().join("b.yaml"), text("b")).unwrap();
        fs::write(root.path().join("a.yaml"), text("a")).unwrap();
        let inputs = [
            Input::Text {
                name: "-".into(),
                bytes: text("z").into(),
            },
            Input::Path(root.path().to_owned()),
        ];
        let documents = documents(&inputs, &Options::default()).unwrap();
        let names: Vec<_> = documents
            .iter()
            .map(|document| document.header.name.as_deref().unwrap())
            .collect();
        assert_eq!(names, ["z", "a", "b"]);
        let changes = read(&inputs, &Options::default()).unwrap();
        assert_eq!(changes.len(), 4);
        assert!(matches!(changes.last(), Some(Change::Synced { .. })));
    }

    #[test]
    fn mesh_configuration_is_an_object_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("mesh.txt");
        fs::write(&path, "connectTimeout: 3s\n").unwrap();
        let changes = read_mesh_config(&path, &Options::default()).unwrap();
        let [Change::Upsert(object)] = &changes[..] else {
            panic!("{changes:?}");
        };
        assert_eq!(object.kind(), meltemi_api::Kind::MeshConfig);
        fs::write(&path, "connectTimeout: [").unwrap();
        let changes = read_mesh_config(&path, &Options::default()).unwrap();
        let upsert = |change: &Change| matches!(change, Change::Upsert(_));
        assert!(!changes.is_empty() && !changes.iter().any(upsert));
    }

    #[test]
    fn what_does_not_exist_is_named() {
        let error = documents(&[Input::Path("/no/such".into())], &Options::default()).unwrap_err();
        assert!(matches!(error, OpenError::Missing { .. }));
        assert_eq!(
            error.to_string(),
            "/no/such does not exist; create it, or name another"
        );
    }
}
