//! Tells of changes in folders. Without inotify only the sweep is left.

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long nothing may have changed before it is looked at: files are written in steps.
const QUIET: Duration = Duration::from_millis(100);
/// How long that may be put off.
const LONGEST: Duration = Duration::from_secs(2);

/// Changes, while the value lives.
pub(super) struct Changes {
    _watcher: Option<RecommendedWatcher>,
    heard: mpsc::Receiver<()>,
    /// Keeps the channel open where nothing can be watched.
    _tell: mpsc::Sender<()>,
}

/// Watches folders; one that cannot be watched is left to the sweep.
pub(super) fn changes(folders: &[PathBuf]) -> Changes {
    let (tell, heard) = mpsc::channel(1);
    let told = tell.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let is_reading = event.is_ok_and(|event| event.kind.is_access());
        if !is_reading {
            // Full: somebody will look anyway.
            let _waiting = told.try_send(());
        }
    });
    let watcher = watcher.map(|mut watcher| {
        for folder in folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::warn!(path = %folder.display(), %error, "changes are noticed late");
            }
        }
        watcher
    });
    Changes {
        _watcher: watcher.ok(),
        heard,
        _tell: tell,
    }
}

/// Ends when something has changed and it is quiet again, or after a time.
pub(super) async fn next(changes: &mut Changes, sweep: Duration) {
    let Ok(Some(())) = timeout(sweep, changes.heard.recv()).await else {
        return;
    };
    let settled = async { while timeout(QUIET, changes.heard.recv()).await.is_ok() {} };
    // Looking too early does no harm: what comes later is looked at again.
    let _busy = timeout(LONGEST, settled).await;
}
