//! A file that a flag names, as a source: mesh configuration or mesh networks, read once, then
//! followed like the files of a directory.
//!
//! It is looked at every second, by its content: where a ConfigMap is mounted, the name stays and
//! what is behind it is exchanged. A mistake in it leaves the last good version in force.

use crate::directory::{Options, unreadable};
use crate::error::OpenError;
use crate::ledger::{Ledger, Unit};
use meltemi_api::Change;
use meltemi_api::yaml::{self, Document, Source};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// The mesh configuration.
    MeshConfig,
    /// The networks of the mesh.
    MeshNetworks,
}

impl Content {
    fn document(self, bytes: &[u8], source: &Source) -> Document {
        match self {
            Self::MeshConfig => yaml::read_mesh_config(bytes, source),
            Self::MeshNetworks => yaml::read_mesh_networks(bytes, source),
        }
    }
}

/// A file that is followed.
#[derive(Debug)]
pub struct Single {
    path: PathBuf,
    unit: Unit,
    content: Content,
    options: Options,
    ledger: Ledger,
    taken: Vec<u8>,
    /// It was empty when it was last looked at: editors truncate before they write.
    empty: bool,
}

impl Single {
    /// The file, and what it says now.
    ///
    /// # Errors
    /// It does not exist or cannot be read.
    pub fn open(
        path: PathBuf,
        content: Content,
        options: Options,
    ) -> Result<(Self, Vec<Change>), OpenError> {
        let bytes = fs::read(&path).map_err(|error| OpenError::new(path.clone(), error))?;
        let mut single = Self {
            unit: path.display().to_string().into(),
            path,
            content,
            options,
            ledger: Ledger::default(),
            taken: Vec::new(),
            empty: false,
        };
        let changes = single.take(bytes);
        Ok((single, changes))
    }

    /// Follows the file until the receiver is dropped. A file that goes away stays in force until it
    /// is back.
    ///
    /// # Errors
    /// None; it is there for who supervises.
    pub async fn run(
        mut self,
        out: mpsc::Sender<Vec<Change>>,
    ) -> Result<(), std::convert::Infallible> {
        loop {
            tokio::select! {
                () = out.closed() => return Ok(()),
                () = tokio::time::sleep(LOOK) => {}
            }
            let changes = self.look();
            if !changes.is_empty() && out.send(changes).await.is_err() {
                return Ok(());
            }
        }
    }

    /// What has changed since it was looked at last.
    fn look(&mut self) -> Vec<Change> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let why = vec![unreadable(&self.unit, &error)];
                return self.ledger.say(&self.unit, why);
            }
        };
        let was_empty = std::mem::replace(&mut self.empty, bytes.is_empty());
        let settled = !bytes.is_empty() || was_empty;
        match settled && bytes != self.taken {
            true => self.take(bytes),
            // It can be read again, perhaps.
            false => self.ledger.say(&self.unit, Vec::new()),
        }
    }

    fn take(&mut self, bytes: Vec<u8>) -> Vec<Change> {
        let source = self.options.source(self.unit.clone());
        let document = self.content.document(&bytes, &source);
        self.taken = bytes;
        self.ledger.put(&self.unit, vec![document])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(changes: &[Change]) -> Vec<&'static str> {
        let kind = |change: &Change| match change {
            Change::Upsert(_) => "upsert",
            Change::Delete(_) => "delete",
            Change::Broken(_) => "broken",
            Change::Findings { .. } => "findings",
            Change::Synced { .. } => "synced",
        };
        changes.iter().map(kind).collect()
    }

    #[test]
    fn a_file_is_followed_and_a_mistake_in_it_takes_nothing_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mesh.yaml");
        fs::write(&path, "trustDomain: one\n").unwrap();
        let opened = Single::open(path.clone(), Content::MeshConfig, Options::default());
        let (mut file, first) = opened.unwrap();
        assert_eq!(kinds(&first), ["upsert"]);
        assert_eq!(kinds(&file.look()), [""; 0], "nothing has changed");
        let mut step = |text: &str, wanted: &[&str]| {
            fs::write(&path, text).unwrap();
            assert_eq!(kinds(&file.look()), wanted, "{text:?}");
        };
        step("trustDomain: two\n", &["upsert"]);
        step("trustDomain: [\n", &["broken"]);
        step("trustDomain: three\n", &["upsert"]);
        step("", &[]);
        step("trustDomain: four\n", &["upsert"]);
        step("", &[]);
        step("", &["upsert"]);
        step("trustDomain: five\n", &["upsert"]);
        fs::remove_file(&path).unwrap();
        assert_eq!(kinds(&file.look()), ["findings"]);
        assert_eq!(kinds(&file.look()), [""; 0], "it is said once");
        fs::write(&path, "trustDomain: five\n").unwrap();
        assert_eq!(kinds(&file.look()), ["findings"], "nothing is wrong now");
    }

    #[test]
    fn a_file_that_is_missing_at_start_is_refused() {
        let path = PathBuf::from("/nonexistent/mesh.yaml");
        let opened = Single::open(path, Content::MeshNetworks, Options::default());
        assert!(matches!(opened, Err(OpenError::Missing { .. })));
    }
}
