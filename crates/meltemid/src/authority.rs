//! Keeps the certificate that is served over TLS: signed by the authority of the Secret that all
//! replicas share, renewed at half its life, made anew when somebody replaced the authority.
//!
//! A Secret that cannot be read or used changes nothing: what is served stays. Until the first one
//! is there nothing is served over TLS, and the process is not ready.

use crate::clock;
use crate::plane::Plane;
use meltemi_ca::{Authority, AuthorityPem, Leaf, SERVING_LIFETIME, Tls, names};
use meltemi_kube::{Client, secret};
use meltemi_runtime::drain::Drain;
use meltemi_runtime::ready::Gate;
use meltemi_types::Namespace;
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the Secret is read again.
const EVERY: Duration = Duration::from_secs(60);
/// After a failure; so long a start waits for an API server that comes.
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
    #[error("Secret istio-ca-secret: {0}")]
    Authority(#[from] meltemi_ca::Error),
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
    pub(crate) client: Client,
    pub(crate) names: Names,
    pub(crate) plane: Plane,
    /// What the TLS server shows; `None` until there is something.
    pub(crate) tls: watch::Sender<Option<Arc<Tls>>>,
    /// What signs certificates of workloads; `None` until it is known.
    pub(crate) signs: watch::Sender<Option<Arc<Authority>>>,
    /// Whom everybody is to trust, in PEM.
    pub(crate) roots: watch::Sender<Arc<str>>,
    /// Opened with the first certificate.
    pub(crate) gate: Gate,
}

/// What is served now.
struct Served {
    authority: Arc<Authority>,
    leaf: Leaf,
    tls: Arc<Tls>,
}

impl Keeper {
    /// Runs until drained.
    pub(crate) async fn run(self, mut drain: Drain) -> Result<(), Infallible> {
        let mut served = None;
        loop {
            let pause = match self.renew(&mut served).await {
                Ok(()) => EVERY,
                Err(error) => {
                    let cause = error.source().map(ToString::to_string);
                    tracing::warn!(%error, cause, "the serving certificate is not renewed");
                    AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = drain.started() => return Ok(()),
            }
        }
    }

    async fn renew(&self, served: &mut Option<Served>) -> Result<(), Trouble> {
        let now = clock::wall();
        let pem = self.shared().await?;
        if let Some(served) = served
            && *served.authority.pem() == pem
        {
            if served.leaf.validity.is_due(now, LEFT) {
                served.leaf = self.sign(&served.authority)?;
                served.tls.show(&served.leaf)?;
                tracing::info!("the serving certificate was renewed");
            }
            return Ok(());
        }
        let authority = Arc::new(Authority::read(pem, now)?);
        let leaf = self.sign(&authority)?;
        let tls = match served.as_ref() {
            Some(before) => {
                before.tls.believe(authority.roots())?;
                before.tls.show(&leaf)?;
                before.tls.clone()
            }
            None => Arc::new(Tls::new(&leaf, authority.roots())?),
        };
        self.announce(&authority);
        self.signs.send_replace(Some(authority.clone()));
        self.tls.send_replace(Some(tls.clone()));
        self.gate.open();
        *served = Some(Served {
            authority,
            leaf,
            tls,
        });
        Ok(())
    }

    fn announce(&self, authority: &Authority) {
        let validity = authority.validity();
        if validity.is_due(clock::wall(), ROOT_LEFT) {
            tracing::warn!("the root certificate ends soon; replace Secret istio-ca-secret");
        }
        #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
        metrics::gauge!("citadel_server_root_cert_expiry_timestamp")
            .set(clock::unix(validity.until) as f64);
        self.roots
            .send_replace(authority.pem().roots.as_str().into());
        tracing::info!("xDS is served over TLS with a certificate of Secret istio-ca-secret");
    }

    /// The authority of all replicas, which the first of them makes.
    async fn shared(&self) -> Result<AuthorityPem, Trouble> {
        let namespace = &self.names.namespace;
        let parts = match secret::read(&self.client, namespace).await? {
            Some(parts) => parts,
            None => {
                let domains = self.plane.trust_domains();
                let domain = domains.first().cloned();
                let domain =
                    domain.unwrap_or_else(|| self.plane.snapshot().mesh.trust_domain.clone());
                let AuthorityPem {
                    certificate,
                    key,
                    chain,
                    roots,
                } = Authority::self_signed(&domain, clock::wall())?;
                let own = secret::Parts {
                    certificate,
                    key,
                    chain,
                    roots,
                };
                secret::create(&self.client, namespace, &own).await?
            }
        };
        let secret::Parts {
            certificate,
            key,
            chain,
            roots,
        } = parts;
        Ok(AuthorityPem {
            certificate,
            key,
            chain,
            roots,
        })
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
