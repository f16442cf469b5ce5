//! A directory as a source: which files were seen, what is left to look at, and when.
//!
//! A file is read again only when its size, times or identity changed, and taken in only when
//! its content did. Empty and missing files wait for [`SETTLE`] before they are believed.

use crate::error::{FollowError, OpenError};
use crate::follow;
use crate::ledger::{Ledger, Unit};
use crate::scan::{self, Stamp};
use meltemi_api::Change;
use meltemi_api::yaml::{self, Admission, Source, Strangers};
use meltemi_types::{ClusterId, Code, Diagnostic, Location, Namespace};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_64;

/// How long an empty, missing or still changing file is left alone.
pub(crate) const SETTLE: Duration = Duration::from_millis(100);

/// How the objects of a directory are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The cluster that the objects belong to. Default `Kubernetes`.
    pub cluster: ClusterId,
    /// The namespace whose ConfigMap `istio` is the mesh config. Default `istio-system`.
    pub root_namespace: Namespace,
    /// What to make of kinds that nothing is known about. Default: they are mistakes.
    pub strangers: Strangers,
    /// Whether an API server has let the objects in. Default: not yet.
    pub admission: Admission,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cluster: ClusterId::default(),
            root_namespace: Namespace::istio_system(),
            strangers: Strangers::Refuse,
            admission: Admission::Pending,
        }
    }
}

impl Options {
    pub(crate) fn source(&self, file: Unit) -> Source {
        Source {
            cluster: self.cluster.clone(),
            file,
            root_namespace: self.root_namespace.clone(),
            strangers: self.strangers,
            admission: self.admission,
        }
    }
}

/// A directory of YAML files that exists.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    options: Options,
    ledger: Ledger,
    seen: BTreeMap<PathBuf, Seen>,
    due: BTreeMap<PathBuf, Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    stamp: Stamp,
    /// It was written so shortly before that a further write may have left the same stamp.
    fresh: bool,
    hash: u64,
}

/// How a look at a file came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The file is as its writer left it: read it now.
    Now,
    /// It may be in the middle of being written: only when it has been left alone.
    Settled,
}

impl Directory {
    /// A directory, before anything in it is read.
    ///
    /// # Errors
    /// It does not exist, is not a directory, or cannot be listed.
    pub fn open(path: impl Into<PathBuf>, options: Options) -> Result<Self, OpenError> {
        let root = path.into();
        fs::read_dir(&root).map_err(|error| OpenError::new(root.clone(), error))?;
        Ok(Self {
            root,
            options,
            ledger: Ledger::default(),
            seen: BTreeMap::new(),
            due: BTreeMap::new(),
        })
    }

    /// Reads everything, says so with [`Change::Synced`], and follows the directory until the
    /// receiver is dropped. Changes that belong together (of one file, of one moment) come in one
    /// batch.
    ///
    /// # Errors
    /// The thread that follows the directory cannot start or ended by itself. A directory that
    /// goes away is no error: what it said stays until it is back.
    pub async fn run(self, out: mpsc::Sender<Vec<Change>>) -> Result<(), FollowError> {
        follow::run(self, out).await
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Everything that the directory holds, for the first time.
    pub(crate) fn first(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = self.sweep(Look::Now, now);
        changes.push(Change::Synced {
            source: self.unit(&self.root),
        });
        changes
    }

    /// Looks at every file whose metadata changed.
    pub(crate) fn sweep(&mut self, look: Look, now: Instant) -> Vec<Change> {
        let root = self.unit(&self.root);
        let scan = match scan::scan(&self.root) {
            Ok(scan) => scan,
            Err(error) => return self.ledger.say(&root, vec![unreadable(&root, &error)]),
        };
        let mut changes = self.ledger.say(
            &root,
            scan.unreadable
                .iter()
                .map(|(path, error)| unreadable(&self.unit(path), error))
                .collect(),
        );
        for (path, stamp) in &scan.files {
            // A file that waits has its own time.
            if !self.is_seen(path, stamp) {
                changes.extend(self.look(path, look, now));
            }
        }
        let missing: Vec<_> = self
            .seen
            .keys()
            .filter(|path| !scan.files.contains_key(*path) && !scan.hides(path))
            .cloned()
            .collect();
        for path in missing {
            changes.extend(self.look(&path, look, now));
        }
        changes
    }

    /// Looks at one file.
    pub(crate) fn look(&mut self, path: &Path, look: Look, now: Instant) -> Vec<Change> {
        let unit = self.unit(path);
        if !self.due.contains_key(path)
            && fs::metadata(path).is_ok_and(|metadata| self.is_seen(path, &Stamp::of(&metadata)))
        {
            return Vec::new();
        }
        match load(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.missing(path, &unit, now),
            Err(error) => {
                self.due.remove(path);
                let _ = self.seen.remove(path);
                let diagnostic = unreadable(&unit, &error);
                self.ledger.say(&unit, vec![diagnostic])
            }
            Ok(loaded) => {
                let due = self.is_due(path, now);
                let blank = loaded.bytes.iter().all(u8::is_ascii_whitespace);
                let emptied = blank && self.ledger.holds(&unit) && !due;
                let writing = look == Look::Settled && loaded.is_fresh() && !due;
                if loaded.torn || emptied || writing {
                    self.due.entry(path.to_owned()).or_insert(now + SETTLE);
                    return Vec::new();
                }
                self.due.remove(path);
                self.take(path, &unit, &loaded)
            }
        }
    }

    /// Looks at the files whose time has come.
    pub(crate) fn look_due(&mut self, now: Instant) -> Vec<Change> {
        let ready: Vec<_> = self
            .due
            .iter()
            .filter(|(_, due)| **due <= now)
            .map(|(path, _)| path.clone())
            .collect();
        let mut changes = Vec::new();
        for path in ready {
            changes.extend(self.look(&path, Look::Settled, now));
        }
        changes
    }

    /// Leaves a file alone for a moment, then looks.
    pub(crate) fn look_later(&mut self, path: &Path, now: Instant) {
        self.due.insert(path.to_owned(), now + SETTLE);
    }

    /// When [`Directory::look_due`] has something to do.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    /// True for a file, or a directory of files, that was read.
    pub(crate) fn knows(&self, path: &Path) -> bool {
        self.seen.keys().any(|file| file.starts_with(path))
    }

    /// True when the file was read as it is.
    fn is_seen(&self, path: &Path, stamp: &Stamp) -> bool {
        self.seen
            .get(path)
            .is_some_and(|seen| !seen.fresh && seen.stamp == *stamp)
    }

    fn is_due(&self, path: &Path, now: Instant) -> bool {
        self.due.get(path).is_some_and(|due| *due <= now)
    }

    fn missing(&mut self, path: &Path, unit: &Unit, now: Instant) -> Vec<Change> {
        if self.ledger.holds(unit) && !self.is_due(path, now) {
            self.due.entry(path.to_owned()).or_insert(now + SETTLE);
            return Vec::new();
        }
        self.due.remove(path);
        self.seen.remove(path);
        self.ledger.remove(unit)
    }

    fn take(&mut self, path: &Path, unit: &Unit, loaded: &Loaded) -> Vec<Change> {
        let hash = xxh3_64(&loaded.bytes);
        let seen = Seen {
            stamp: loaded.stamp,
            fresh: loaded.is_fresh(),
            hash,
        };
        let before = self.seen.insert(path.to_owned(), seen);
        if before.is_some_and(|before| before.hash == hash) {
            return Vec::new();
        }
        let documents = yaml::read(&loaded.bytes, &self.options.source(unit.clone()));
        self.ledger.put(unit, documents)
    }

    fn unit(&self, path: &Path) -> Unit {
        path.display().to_string().into()
    }
}

/// A file's content at one moment.
struct Loaded {
    bytes: Vec<u8>,
    stamp: Stamp,
    /// It changed while it was read.
    torn: bool,
    modified: Option<std::time::SystemTime>,
}

impl Loaded {
    /// True when the file was written a moment ago.
    fn is_fresh(&self) -> bool {
        let age = self.modified.map(|modified| modified.elapsed());
        matches!(age, Some(Ok(age)) if age < SETTLE)
    }
}

fn load(path: &Path) -> io::Result<Loaded> {
    let before = Stamp::of(&fs::metadata(path)?);
    let bytes = fs::read(path)?;
    let metadata = fs::metadata(path)?;
    let stamp = Stamp::of(&metadata);
    Ok(Loaded {
        bytes,
        stamp,
        torn: before != stamp,
        modified: metadata.modified().ok(),
    })
}

pub(crate) fn unreadable(unit: &Unit, error: &io::Error) -> Diagnostic {
    let location = Location {
        file: Arc::clone(unit),
        line: 0,
        column: 0,
    };
    Diagnostic::in_text(
        Code::UnreadableFile,
        location,
        format!("cannot be read: {error}"),
        "make it readable, or remove it; its objects stay as they were last read",
    )
}
