//! Who the workload is: a key and a certificate, from a certificate authority or from files, renewed
//! before they end (platform.md 3.11).
//!
//! What is held stays until its successor is in hand, also past its end, also when the authority is
//! away for days: nothing to show would be worse.

mod ask;
mod bundle;
mod course;
mod key;
mod material;
mod mounted;
mod output;
mod schedule;

pub use ask::Authority;
pub use bundle::{Bundle, Roots};
pub use key::Algorithm;
pub use material::{Material, Unusable};
pub(crate) use material::{certified, pair};
pub use mounted::Mounted;
pub use schedule::Grace;

use crate::backoff::draw;
use crate::families;
use crate::files::Files;
use course::Course;
use meltemi_runtime::drain::Drain;
use schedule::Moment;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// The wait after files did not fit together.
const UNFIT: Duration = Duration::from_secs(1);

/// How often the time that is left is measured.
const MEASURE: Duration = Duration::from_secs(5);

/// The newest material; `None` until there is any.
pub type Held = watch::Receiver<Option<Arc<Material>>>;

/// Where key and certificate come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// An authority signs a key that is made here.
    Authority(Box<Authority>),
    /// Somebody else puts them into files.
    Mounted(Mounted),
}

/// Where they come from, and where they go.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where they come from.
    pub source: Source,
    /// The directory where they are also written: `OUTPUT_CERTS`.
    pub output: Option<PathBuf>,
}

/// Keeps key and certificate.
#[derive(Debug)]
pub struct Identity {
    settings: Settings,
    files: Files,
    held: watch::Sender<Option<Arc<Material>>>,
}

impl Identity {
    /// Holds nothing before it runs.
    #[must_use]
    pub fn new(settings: Settings, files: Files) -> (Self, Held) {
        let (held, receiver) = watch::channel(None);
        let identity = Self {
            settings,
            files,
            held,
        };
        (identity, receiver)
    }

    /// Runs until drained.
    ///
    /// # Errors
    /// None: what fails is tried again.
    pub async fn run(self, mut drain: Drain) -> Result<(), Infallible> {
        let course = async {
            match &self.settings.source {
                Source::Authority(authority) => self.renew(authority).await,
                Source::Mounted(mounted) => self.follow(mounted).await,
            }
        };
        tokio::select! {
            () = course => {}
            () = self.measure() => {}
            () = drain.started() => {}
        }
        Ok(())
    }

    /// Says how long the certificate still counts.
    async fn measure(&self) {
        let mut ticks = tokio::time::interval(MEASURE);
        loop {
            ticks.tick().await;
            let Some(until) = self.held.borrow().as_ref().map(|held| held.not_after) else {
                continue;
            };
            let left = match until.duration_since(SystemTime::now()) {
                Ok(left) => left.as_secs_f64(),
                Err(over) => -over.duration().as_secs_f64(),
            };
            metrics::gauge!(families::ENDS, "resource_name" => "default").set(left);
        }
    }

    /// Asks the authority, again when half of the life is over.
    async fn renew(&self, authority: &Authority) {
        let mut course = Course::new(authority.grace);
        loop {
            metrics::counter!(families::ASKED).increment(1);
            match authority.ask().await {
                Ok(material) => {
                    let life = (material.not_before, material.not_after);
                    self.hold(material);
                    course.issued(life, (draw(), Moment::now())).sleep().await;
                }
                Err(error) => {
                    metrics::counter!(families::REFUSED).increment(1);
                    let held = self.held.borrow().is_some();
                    let (wait, due) = course.refused((draw(), draw()), Moment::now());
                    tracing::warn!(%error, held, ?wait, "no certificate was issued");
                    due.sleep().await;
                }
            }
        }
    }

    /// Reads the files whenever they change.
    async fn follow(&self, mounted: &Mounted) {
        for path in mounted.paths() {
            self.files.follow(path);
        }
        let mut changes = self.files.changes();
        loop {
            match mounted.read() {
                Ok(material) => {
                    let same = |held: &Arc<Material>| held.same(&material);
                    if !self.held.borrow().as_ref().is_some_and(same) {
                        self.hold(material);
                    }
                    changes.next().await;
                }
                Err(error) => {
                    let held = self.held.borrow().is_some();
                    tracing::warn!(%error, held, "the mounted certificate is not used");
                    // Not always an event: the directory may appear first.
                    let _ = tokio::time::timeout(UNFIT, changes.next()).await;
                    for path in mounted.paths() {
                        self.files.follow(path);
                    }
                }
            }
        }
    }

    fn hold(&self, material: Material) {
        tracing::info!(serial = material.serial, "the workload has a certificate");
        let material = Arc::new(material);
        self.held.send_replace(Some(material.clone()));
        if let Some(directory) = &self.settings.output
            && let Err(error) = output::write(directory, &material)
        {
            let directory = directory.display();
            tracing::warn!(%error, %directory, "the files keep the certificate before");
        }
    }
}

#[cfg(test)]
mod tests;
