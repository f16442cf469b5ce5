//! Hears of files that were replaced: by a rename, by a write, or by the kubelet, which turns a
//! symbolic link in the same directory.
//!
//! One inotify instance serves the whole process, because the kernel grants few to a user that many
//! pods share. Events only say when to look; who looks also does so twice a minute, so a lost event
//! or a directory that appeared later delays a change and never hides it.

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long a change is left to settle: `FILE_DEBOUNCE_DURATION`.
const SETTLE: Duration = Duration::from_millis(100);
/// How often files are looked at without an event.
const SWEEP: Duration = Duration::from_secs(30);

/// The files that somebody follows.
#[derive(Clone)]
pub struct Files(Arc<Inner>);

struct Inner {
    watched: Mutex<(Option<RecommendedWatcher>, BTreeSet<PathBuf>)>,
    changed: watch::Sender<()>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Files")
    }
}

impl Default for Files {
    fn default() -> Self {
        Self::new()
    }
}

impl Files {
    /// Follows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let (changed, _) = watch::channel(());
        let tell = changed.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| matters(&event.kind)) {
                tell.send_replace(());
            }
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(%error, "files are looked at twice a minute only");
        });
        let watched = Mutex::new((watcher.ok(), BTreeSet::new()));
        Self(Arc::new(Inner { watched, changed }))
    }

    /// Follows `path` too.
    pub(crate) fn follow(&self, path: &Path) {
        let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        let mut watched = self
            .0
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (watcher, directories) = &mut *watched;
        if directories.contains(directory) {
            return;
        }
        let watcher = watcher.as_mut();
        if watcher.is_some_and(|it| it.watch(directory, RecursiveMode::NonRecursive).is_ok()) {
            directories.insert(directory.to_owned());
        }
    }

    /// Says when it is time to look.
    pub(crate) fn changes(&self) -> Changes {
        Changes(self.0.changed.subscribe())
    }
}

/// Reading a file must not look like a change of it.
fn matters(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

/// When it is time to look.
#[derive(Clone, Debug)]
pub(crate) struct Changes(watch::Receiver<()>);

impl Changes {
    /// Returns when something changed and has settled, or when nothing was said for long.
    pub(crate) async fn next(&mut self) {
        let told = tokio::time::timeout(SWEEP, self.0.changed()).await;
        if matches!(told, Ok(Ok(()))) {
            tokio::time::sleep(SETTLE).await;
            self.0.mark_unchanged();
        } else if told.is_ok() {
            // Nobody can say anything any more.
            tokio::time::sleep(SWEEP).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn a_turned_link_is_a_change_and_reading_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let of = |name: &str| dir.path().join(name);
        fs::create_dir(of("one")).unwrap();
        fs::write(of("one/key.pem"), "1").unwrap();
        std::os::unix::fs::symlink("one", of("..data")).unwrap();
        std::os::unix::fs::symlink("..data/key.pem", of("key.pem")).unwrap();
        let files = Files::new();
        files.follow(&of("key.pem"));
        let mut changes = files.changes();
        assert_eq!(fs::read_to_string(of("key.pem")).unwrap(), "1");
        let quiet = tokio::time::timeout(Duration::from_millis(300), changes.next()).await;
        assert!(quiet.is_err(), "reading is no change");
        fs::create_dir(of("two")).unwrap();
        fs::write(of("two/key.pem"), "2").unwrap();
        std::os::unix::fs::symlink("two", of("..new")).unwrap();
        fs::rename(of("..new"), of("..data")).unwrap();
        let told = tokio::time::timeout(Duration::from_secs(10), changes.next()).await;
        told.expect("the kubelet's way is heard of");
        assert_eq!(fs::read_to_string(of("key.pem")).unwrap(), "2");
    }
}
