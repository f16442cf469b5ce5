//! Keeps the certificate that is served over TLS: signed by the authority that all replicas share,
//! renewed at half its life, made anew when somebody replaced the authority.
//!
//! What cannot be read or used changes nothing: what is served stays. Until the first authority is
//! there nothing is served over TLS, and the process is not ready.

mod kept;
mod mounted;

use crate::args::{Serving, ServingFiles};
use crate::clock;
use crate::plane::Plane;
use meltemi_ca::development::DevelopmentError;
use meltemi_ca::directory::DirectoryError;
use meltemi_ca::{
    Authority, AuthorityPem, Leaf, Mounted, SERVING_LIFETIME, Succession, Tls, names,
};
use meltemi_kube::secret;
use meltemi_runtime::drain::Drain;
use meltemi_runtime::ready::Gate;
use meltemi_types::Namespace;
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

use kept::{MARKED, SELF_SIGNED};
pub(crate) use kept::{Rotor, Store};
use mounted::Read;
pub(crate) use mounted::Shown;

/// How often the Secrets are read again.
const EVERY: Duration = Duration::from_secs(10);
/// Not more often than that, however soon a new root is to sign.
const LEAST: Duration = Duration::from_secs(1);
/// After a failure while nothing is served; so long a start waits for an API server that comes.
const AGAIN: Duration = Duration::from_secs(2);
/// The certificate is renewed when so much of its life is left, in percent.
const LEFT: u32 = 50;
/// The root should be replaced by its owner when so much of its life is left, in percent.
const ROOT_LEFT: u32 = 20;

/// Why there is no certificate, or no new one.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Secret(#[from] secret::SecretError),
    #[error(transparent)]
    Development(#[from] DevelopmentError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("{0}: {1}")]
    Authority(&'static str, meltemi_ca::Error),
    #[error(transparent)]
    Mounted(#[from] mounted::Trouble),
    #[error("{0} is gone; restore it, or restart to sign with another authority")]
    Gone(&'static str),
}

/// Who the control plane is to those who call it.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) namespace: Namespace,
    pub(crate) domain: String,
    pub(crate) revision: String,
    /// Further names of the revision.
    pub(crate) tags: Vec<String>,
    pub(crate) others: Vec<String>,
}

/// Keeps the certificate.
pub(crate) struct Keeper {
    pub(crate) store: Store,
    /// Which certificate is shown.
    pub(crate) serving: Serving,
    /// Which Secret keeps an authority that we have made.
    pub(crate) home: secret::Home,
    /// When the self-signed root is renewed.
    pub(crate) rotor: Rotor,
    pub(crate) names: Names,
    pub(crate) plane: Plane,
    /// What the TLS server shows; `None` until there is something.
    pub(crate) tls: watch::Sender<Option<Arc<Tls>>>,
    /// What signs certificates of workloads; `None` until it is known.
    pub(crate) signs: watch::Sender<Option<Arc<Authority>>>,
    /// Whom everybody is to trust, in PEM.
    pub(crate) roots: watch::Sender<Arc<str>>,
    /// Who vouches for what is shown, in PEM, for the API server.
    pub(crate) vouches: watch::Sender<Arc<str>>,
    /// Opened with the first certificate.
    pub(crate) gate: Gate,
    /// How long a new root is handed out before anything is signed under it.
    pub(crate) settle: Duration,
}

/// What is served now.
struct Served {
    succession: Succession,
    /// The Secret that it comes from.
    from: &'static str,
    leaf: Leaf,
    /// Where the leaf comes from when we have not signed it.
    mounted: Option<Read>,
    tls: Arc<Tls>,
}

impl Keeper {
    /// Runs until drained.
    pub(crate) async fn run(mut self, mut drain: Drain) -> Result<(), Infallible> {
        let mut served = None;
        let mut said = String::new();
        loop {
            match self.renew(&mut served).await {
                Ok(()) => said.clear(),
                Err(error) => {
                    let cause = error.source().map(ToString::to_string);
                    let text = format!("{error} {cause:?}");
                    // The same again and again is said once.
                    if text != said {
                        tracing::warn!(%error, cause, "the authority in force stays as it is");
                        said = text;
                    }
                }
            }
            let pause = match served {
                Some(_) => EVERY.min(self.settle.max(LEAST)),
                None => AGAIN,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = drain.started() => return Ok(()),
            }
        }
    }

    async fn renew(&mut self, served: &mut Option<Served>) -> Result<(), Trouble> {
        let now = clock::wall();
        let (pem, from) = self.shared(served.as_ref()).await?;
        let failed = |error| Trouble::Authority(from, error);
        match served {
            None => *served = Some(self.begin(pem, from)?),
            Some(served) => {
                if served.succession.hear(pem, now).map_err(failed)? {
                    served.from = from;
                    self.follow(served).map_err(failed)?;
                } else if served.mounted.is_none() && served.leaf.validity.is_due(now, LEFT) {
                    served.leaf = self.sign(served.succession.authority()).map_err(failed)?;
                    served.tls.show(&served.leaf).map_err(failed)?;
                    tracing::info!("the serving certificate was renewed");
                }
            }
        }
        if let Some(served) = served {
            measure(served.succession.authority(), now);
            self.swap(served)?;
        }
        Ok(())
    }

    /// Shows what is mounted, if that is something else than before.
    fn swap(&self, served: &mut Served) -> Result<(), Trouble> {
        let authority = served.succession.authority();
        let Some((read, found, files)) = self.mounted(authority, served.mounted.as_ref())? else {
            return Ok(());
        };
        let vouches = found.pem();
        let leaf = found.leaf;
        let shown = served.tls.show(&leaf);
        shown.map_err(|error| mounted::unusable(files, error))?;
        let until = clock::rfc3339(leaf.validity.until);
        tracing::info!(until, "a mounted certificate is shown");
        self.vouches.send_replace(vouches.into());
        (served.leaf, served.mounted) = (leaf, Some(read));
        Ok(())
    }

    /// What is mounted, if that is to be shown and is something else than `before`.
    fn mounted(
        &self,
        authority: &Authority,
        before: Option<&Read>,
    ) -> Result<Option<(Read, Mounted, &ServingFiles)>, Trouble> {
        let files = match &self.serving {
            Serving::Found(files) if !files.chain.exists() => return Ok(None),
            Serving::Found(files) | Serving::Named(files) => files,
        };
        let read = Read::of(files, Some(&authority.pem().roots))?;
        if before == Some(&read) {
            return Ok(None);
        }
        let found = read.whole(files)?;
        Ok(Some((read, found, files)))
    }

    /// The first certificate: what is mounted, else one that we sign. What was only found, and is of no
    /// use, keeps nobody waiting.
    fn first(&self, authority: &Authority) -> Result<(Leaf, Option<Read>), Trouble> {
        let mounted = match (self.mounted(authority, None), &self.serving) {
            (Err(error), Serving::Found(_)) => {
                tracing::warn!(%error, "what is mounted is not shown");
                None
            }
            (mounted, _) => mounted?,
        };
        let Some((read, found, _)) = mounted else {
            let roots = authority.pem().roots.as_str();
            self.vouches.send_replace(roots.into());
            return Ok((self.sign(authority).map_err(own)?, None));
        };
        self.vouches.send_replace(found.pem().into());
        Ok((found.leaf, Some(read)))
    }

    /// The first authority.
    fn begin(&self, pem: AuthorityPem, from: &'static str) -> Result<Served, Trouble> {
        let failed = |error| Trouble::Authority(from, error);
        let succession = Succession::begin(pem, (clock::wall(), self.settle)).map_err(failed)?;
        let authority = succession.authority();
        let (leaf, mounted) = self.first(authority)?;
        let tls = Arc::new(Tls::new(&leaf, authority).map_err(failed)?);
        self.announce(authority, from);
        self.tls.send_replace(Some(tls.clone()));
        self.gate.open();
        Ok(Served {
            succession,
            from,
            leaf,
            mounted,
            tls,
        })
    }

    /// Another authority, or other roots.
    fn follow(&self, served: &mut Served) -> Result<(), meltemi_ca::Error> {
        let authority = served.succession.authority();
        served.tls.believe(authority)?;
        if served.mounted.is_none() {
            served.leaf = self.sign(authority)?;
            served.tls.show(&served.leaf)?;
            let roots = authority.pem().roots.as_str();
            self.vouches.send_replace(roots.into());
        }
        self.announce(authority, served.from);
        if served.succession.waits() {
            let roots = authority.roots().len();
            tracing::info!(roots, settle = ?self.settle, "a new root is handed out; what it vouches for signs later");
        } else {
            tracing::info!(
                "another authority signs, or another list of revoked certificates counts"
            );
        }
        Ok(())
    }

    fn announce(&self, authority: &Arc<Authority>, from: &str) {
        let ours = matches!(from, SELF_SIGNED | MARKED);
        let renews = ours && self.rotor.every.is_some();
        if !renews && authority.validity().is_due(clock::wall(), ROOT_LEFT) {
            tracing::warn!("the authority's certificate ends soon; replace {from}");
        }
        self.roots
            .send_replace(authority.pem().roots.as_str().into());
        self.signs.send_replace(Some(authority.clone()));
        let roots = authority.roots().len();
        tracing::info!(roots, "xDS is served over TLS with a certificate of {from}");
    }

    fn sign(&self, authority: &Authority) -> Result<Leaf, meltemi_ca::Error> {
        let Names {
            namespace,
            domain,
            revision,
            tags,
            others,
        } = &self.names;
        let names = names::serving((namespace, domain), (revision, tags), others);
        authority.sign_serving(&names, (clock::wall(), SERVING_LIFETIME))
    }
}

/// Our own authority cannot sign for us.
fn own(error: meltemi_ca::Error) -> Trouble {
    Trouble::Authority("the serving certificate", error)
}

/// How long what signs, and what it is trusted for, will count.
#[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
fn measure(authority: &Authority, now: SystemTime) {
    let left = |until: SystemTime| until.duration_since(now).unwrap_or_default().as_secs() as f64;
    if let Some(until) = authority.roots_until() {
        metrics::gauge!("citadel_server_root_cert_expiry_timestamp").set(clock::unix(until) as f64);
        metrics::gauge!("citadel_server_root_cert_expiry_seconds").set(left(until));
    }
    let until = authority.validity().until;
    metrics::gauge!("citadel_server_cert_chain_expiry_timestamp").set(clock::unix(until) as f64);
    metrics::gauge!("citadel_server_cert_chain_expiry_seconds").set(left(until));
}
