//! The roots that the control plane publishes, as the pod has them in a file.
//!
//! They are believed beside those that came with the certificate, so that a root that is being
//! introduced is believed before the first peer shows a certificate of it, and not at the next
//! renewal. A file that is broken, or gone, changes nothing.

use super::material::certified;
use crate::files::Files;
use crate::upstream::read;
use meltemi_runtime::drain::Drain;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// Roots in PEM; empty until there are any.
pub type Roots = watch::Receiver<Arc<[u8]>>;

/// Follows the file.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    files: Files,
    told: watch::Sender<Arc<[u8]>>,
}

impl Bundle {
    /// Knows nothing before it runs.
    #[must_use]
    pub fn new(path: PathBuf, files: Files) -> (Self, Roots) {
        let (told, roots) = watch::channel(Arc::from([]));
        let bundle = Self { path, files, told };
        (bundle, roots)
    }

    /// Runs until drained.
    ///
    /// # Errors
    /// None.
    pub async fn run(self, mut drain: Drain) -> Result<(), Infallible> {
        self.files.follow(&self.path);
        let mut changes = self.files.changes();
        loop {
            self.look();
            tokio::select! {
                () = changes.next() => {}
                () = drain.started() => return Ok(()),
            }
        }
    }

    fn look(&self) {
        let path = self.path.display();
        let pem = match read(&self.path) {
            Ok(pem) => pem,
            Err(error) => {
                tracing::warn!(%path, %error, "the roots of the mesh stay as they are");
                return;
            }
        };
        match certified("roots", &pem) {
            Ok(roots) if roots.is_empty() => {
                tracing::warn!(%path, "no root is in the file; the roots of the mesh stay");
            }
            Ok(_) => {
                let news = |told: &mut Arc<[u8]>| {
                    let differs = **told != *pem;
                    if differs {
                        *told = pem.into();
                    }
                    differs
                };
                self.told.send_if_modified(news);
            }
            Err(error) => tracing::warn!(%path, %error, "the roots of the mesh stay as they are"),
        }
    }
}
