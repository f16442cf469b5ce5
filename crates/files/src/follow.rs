//! Following a directory: inotify says where to look, a sweep each second misses nothing.
//!
//! A file that was closed after writing, or renamed to its name, is read at once. One that is
//! still open is read when it was left alone for a moment. A thread of its own does the I/O, so
//! that neither slow disks nor large files stop anything else.

use crate::directory::{Directory, Look};
use crate::error::FollowError;
use crate::scan;
use meltemi_api::Change;
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// How often everything is looked at, in case an event was missed.
const SWEEP: Duration = Duration::from_secs(1);

/// What wakes the thread.
enum Wake {
    /// A file is complete.
    Complete(PathBuf),
    /// A file is being written, or something appeared.
    Writing(PathBuf),
    /// Something else changed: a name came or went, events were lost.
    Changed(Option<PathBuf>),
    /// Nobody listens any more.
    Stop,
}

/// Tells the thread to end when the future that runs it is dropped.
struct StopOnDrop(Sender<Wake>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.send(Wake::Stop);
    }
}

pub(crate) async fn run(
    directory: Directory,
    out: mpsc::Sender<Vec<Change>>,
) -> Result<(), FollowError> {
    let (wake, inbox) = channel();
    let _stop = StopOnDrop(wake.clone());
    let (ended, end) = oneshot::channel();
    let listener = out.clone();
    thread::Builder::new()
        .name("files".into())
        .spawn(move || {
            Follower {
                directory,
                wake,
                watcher: None,
                out,
            }
            .run(&inbox);
            // The receiver is gone when the future was dropped.
            let _ = ended.send(());
        })
        .map_err(FollowError::Thread)?;
    tokio::select! {
        () = listener.closed() => Ok(()),
        result = end => result.map_err(|_| FollowError::Ended),
    }
}

struct Follower {
    directory: Directory,
    wake: Sender<Wake>,
    watcher: Option<Watching>,
    out: mpsc::Sender<Vec<Change>>,
}

/// The watcher, and which directory it watches: a path may lead to another one later.
struct Watching {
    _watcher: RecommendedWatcher,
    identity: (u64, u64),
}

impl Follower {
    fn run(mut self, inbox: &Receiver<Wake>) {
        // Watch first: what changes while reading is read again.
        self.watch();
        let changes = self.directory.first(Instant::now());
        if !self.send(changes) {
            return;
        }
        let mut sweep = Instant::now() + SWEEP;
        loop {
            let until = self
                .directory
                .next_due()
                .map_or(sweep, |due| due.min(sweep));
            let timeout = until.saturating_duration_since(Instant::now());
            let changes = match inbox.recv_timeout(timeout) {
                Ok(wake) => match self.wakes(wake, inbox) {
                    Some(changes) => changes,
                    None => return,
                },
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut changes = changes;
            let now = Instant::now();
            changes.extend(self.directory.look_due(now));
            if now >= sweep {
                self.watch();
                changes.extend(self.directory.sweep(Look::Settled, now));
                sweep = Instant::now() + SWEEP;
            }
            if !self.send(changes) {
                return;
            }
        }
    }

    /// True while somebody listens.
    fn send(&self, changes: Vec<Change>) -> bool {
        if changes.is_empty() {
            return !self.out.is_closed();
        }
        self.out.blocking_send(changes).is_ok()
    }

    /// Takes in an event and those that wait behind it; `None` to stop.
    fn wakes(&mut self, first: Wake, inbox: &Receiver<Wake>) -> Option<Vec<Change>> {
        let now = Instant::now();
        let mut changes = Vec::new();
        let mut all = false;
        for wake in std::iter::once(first).chain(inbox.try_iter()) {
            match wake {
                Wake::Stop => return None,
                Wake::Complete(path) if self.counts(&path) => {
                    changes.extend(self.directory.look(&path, Look::Now, now));
                }
                Wake::Complete(path) => all |= self.matters(&path),
                Wake::Writing(path) if self.counts(&path) => {
                    let link = path.symlink_metadata().is_ok_and(|m| m.is_symlink());
                    if link {
                        changes.extend(self.directory.look(&path, Look::Now, now));
                    } else {
                        self.directory.look_later(&path, now);
                    }
                }
                Wake::Writing(path) => all |= self.matters(&path),
                Wake::Changed(Some(path)) => all |= self.matters(&path),
                Wake::Changed(None) => all = true,
            }
        }
        if all {
            changes.extend(self.directory.sweep(Look::Now, now));
        }
        Some(changes)
    }

    fn counts(&self, path: &Path) -> bool {
        scan::counts(self.directory.root(), path)
    }

    /// True when a name that is no file of ours can still change what we see: a directory, or a
    /// link such as Kubernetes' `..data`.
    fn matters(&self, path: &Path) -> bool {
        match path.symlink_metadata() {
            Ok(metadata) => metadata.is_dir() || metadata.is_symlink(),
            Err(_) => self.directory.knows(path),
        }
    }

    /// Watches the directory that the path leads to now.
    fn watch(&mut self) {
        let root = self.directory.root();
        let Ok(metadata) = fs::metadata(root) else {
            self.watcher = None;
            return;
        };
        let identity = (metadata.dev(), metadata.ino());
        if self.watcher.as_ref().map(|watching| watching.identity) == Some(identity) {
            return;
        }
        let wake = self.wake.clone();
        let names = Names {
            // What the watcher puts in front of the names below a relative root.
            watched: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()),
            root: root.to_owned(),
        };
        let watcher = notify::recommended_watcher(move |event| tell(event, &names, &wake));
        let watching = watcher.and_then(|mut watcher| {
            watcher.watch(root, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        self.watcher = match watching {
            Ok(watcher) => Some(Watching {
                _watcher: watcher,
                identity,
            }),
            Err(error) => {
                tracing::warn!(path = %root.display(), %error, "directory is polled, not watched");
                None
            }
        };
    }
}

/// The root as the watcher names it, and as the user did.
struct Names {
    watched: PathBuf,
    root: PathBuf,
}

impl Names {
    /// The path as a sweep finds it; `None` for the root itself.
    fn below(&self, path: &Path) -> Option<PathBuf> {
        let rest = path
            .strip_prefix(&self.watched)
            .or_else(|_| path.strip_prefix(&self.root))
            .ok()?;
        (!rest.as_os_str().is_empty()).then(|| self.root.join(rest))
    }
}

/// Translates an event. Reading is an event as well, and none of our business.
fn tell(event: notify::Result<notify::Event>, names: &Names, wake: &Sender<Wake>) {
    let send = |message| {
        // An error means that the follower has ended.
        let _ = wake.send(message);
    };
    let Ok(event) = event else {
        return send(Wake::Changed(None));
    };
    if event.need_rescan() {
        return send(Wake::Changed(None));
    }
    if matches!(
        event.kind,
        EventKind::Access(AccessKind::Open(_) | AccessKind::Read)
    ) {
        return;
    }
    for path in event.paths {
        let Some(path) = names.below(&path) else {
            send(Wake::Changed(None));
            continue;
        };
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Metadata(_))
            | EventKind::Remove(_) => send(Wake::Complete(path)),
            EventKind::Create(CreateKind::Folder) => send(Wake::Changed(Some(path))),
            EventKind::Create(_) | EventKind::Modify(_) => send(Wake::Writing(path)),
            EventKind::Access(_) => {}
            EventKind::Any | EventKind::Other => send(Wake::Changed(Some(path))),
        }
    }
}

#[cfg(test)]
mod tests;
