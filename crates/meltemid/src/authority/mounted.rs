//! Shows a certificate that somebody else has signed and mounted (platform.md 4.8), and believes
//! client certificates of the roots beside it. The files are read again every ten seconds; what is
//! no whole changes nothing.

use crate::args::ServingFiles;
use crate::clock;
use meltemi_ca::{Mounted, Revoked, Tls};
use meltemi_runtime::drain::Drain;
use meltemi_runtime::ready::Gate;
use meltemi_types::Secret;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the files are read again.
const EVERY: Duration = Duration::from_secs(10);
/// While there is nothing to show.
const AGAIN: Duration = Duration::from_secs(1);

/// Why there is no certificate, or no new one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("{path}: {source}; mount the Secret istiod-tls, or name the file")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{}: {source}", .chain.display())]
    Unusable {
        chain: PathBuf,
        source: meltemi_ca::Error,
    },
}

/// Shows what is mounted.
pub(crate) struct Shown {
    pub(crate) files: ServingFiles,
    /// What the TLS server shows; `None` until there is something.
    pub(crate) tls: watch::Sender<Option<Arc<Tls>>>,
    /// Who vouches for what is shown, for those who must be told (the API server); the namespaces
    /// learn it of somebody else.
    pub(crate) vouches: watch::Sender<Arc<str>>,
    /// Opened with the first certificate.
    pub(crate) gate: Gate,
}

/// What was read.
#[derive(PartialEq, Eq)]
pub(super) struct Read {
    chain: String,
    key: Secret<String>,
    roots: String,
}

impl Shown {
    /// Runs until drained.
    pub(crate) async fn run(self, mut drain: Drain) -> Result<(), Infallible> {
        let mut shown: Option<(Read, Arc<Tls>)> = None;
        let mut said = String::new();
        loop {
            match self.renew(&mut shown) {
                Ok(()) => said.clear(),
                Err(error) => {
                    let text = error.to_string();
                    if text != said {
                        tracing::warn!(%error, "the certificate that is shown stays as it is");
                        said = text;
                    }
                }
            }
            let pause = match shown {
                Some(_) => EVERY,
                None => AGAIN,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = drain.started() => return Ok(()),
            }
        }
    }

    fn renew(&self, shown: &mut Option<(Read, Arc<Tls>)>) -> Result<(), Trouble> {
        let read = Read::of(&self.files, None)?;
        if shown.as_ref().is_some_and(|(old, _)| *old == read) {
            return Ok(());
        }
        let unusable = |source| unusable(&self.files, source);
        let mounted = read.whole(&self.files)?;
        let vouches = mounted.pem();
        let Mounted { leaf, roots } = mounted;
        let trust = (&roots[..], &Revoked::default());
        let tls = match shown.take() {
            None => {
                let tls = Arc::new(Tls::trusting(&leaf, trust).map_err(unusable)?);
                self.tls.send_replace(Some(tls.clone()));
                self.gate.open();
                tls
            }
            Some((old, tls)) => {
                let changed = tls.trust(trust).and_then(|()| tls.show(&leaf));
                if let Err(error) = changed {
                    *shown = Some((old, tls));
                    return Err(unusable(error));
                }
                tls
            }
        };
        let until = clock::rfc3339(leaf.validity.until);
        tracing::info!(
            until,
            roots = roots.len(),
            "xDS is served over TLS with a certificate of somebody else"
        );
        *shown = Some((read, tls));
        self.vouches.send_replace(vouches.into());
        Ok(())
    }
}

impl Read {
    /// What these files hold; the roots are `own` where none of their files is there.
    pub(super) fn of(files: &ServingFiles, own: Option<&str>) -> Result<Self, Trouble> {
        let ServingFiles { chain, key, roots } = files;
        let there = roots.iter().find(|path| path.exists());
        Ok(Self {
            chain: text(chain)?,
            key: Secret::new(text(key)?),
            roots: match (there, own) {
                (None, Some(own)) => own.to_owned(),
                (there, _) => text(there.or(roots.first()).unwrap_or(chain))?,
            },
        })
    }

    /// The certificate with its key and its roots, when they fit together and count now.
    pub(super) fn whole(&self, files: &ServingFiles) -> Result<Mounted, Trouble> {
        let read = Mounted::read(&self.chain, &self.key, &self.roots, clock::wall());
        read.map_err(|source| unusable(files, source))
    }
}

/// What is in the files cannot be shown.
pub(super) fn unusable(files: &ServingFiles, source: meltemi_ca::Error) -> Trouble {
    Trouble::Unusable {
        chain: files.chain.clone(),
        source,
    }
}

fn text(path: &Path) -> Result<String, Trouble> {
    std::fs::read_to_string(path).map_err(|source| Trouble::Io {
        path: path.to_path_buf(),
        source,
    })
}
