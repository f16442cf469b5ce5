//! Tells agents whom their workloads believe (PCDS, platform.md 3.10 and 4.7): the roots of our own
//! authority, and those of `MeshConfig.caCertificates`, each for its trust domains.
//!
//! Nothing is said before all of it was looked for: an agent keeps what it was told last, so a control
//! plane that starts again takes nothing away from anybody.

mod bundles;
mod faults;

use crate::args::Config;
use crate::plane::{Plane, Trusting};
use bundles::Bundles;
use meltemi_ca::domains::{Believed, Further, believed};
use meltemi_proto::istio::mesh::v1alpha1::{ProxyConfig, TrustDomainRoots};
use meltemi_proto::resource::Encoded;
use meltemi_runtime::drain::Drain;
use meltemi_types::TrustDomain;
use meltemi_types::xds::PROXY_CONFIG;
use prost::Message;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::watch;

/// The one resource; Istio's agent reads the first, whatever its name.
const NAME: &str = "trust";

/// Tells.
pub(crate) struct Trust {
    plane: Plane,
    roots: Option<watch::Receiver<Arc<str>>>,
    /// A file with whom to believe where bundles are fetched; `None`: one of the system's.
    web: Option<String>,
}

impl Trust {
    /// Tells of the roots of our own authority, in PEM, empty until they are known; `None`: it is not
    /// ours.
    pub(crate) fn new(
        plane: &Plane,
        roots: Option<watch::Receiver<Arc<str>>>,
        config: &Config,
    ) -> Self {
        Self {
            plane: plane.clone(),
            roots,
            web: config.web_roots.clone(),
        }
    }

    /// Runs until drained.
    ///
    /// # Errors
    /// None: what fails is tried again.
    pub(crate) async fn run(self, mut drain: Drain) -> Result<(), Infallible> {
        let Self {
            plane,
            mut roots,
            web,
        } = self;
        let mut meshes = plane.trusting();
        let mut bundles = Bundles::new(web);
        loop {
            let mesh = meshes.borrow_and_update().clone();
            let own = roots.as_mut().map(|it| it.borrow_and_update().clone());
            let known = own.as_deref().is_none_or(|own| !own.is_empty());
            if let Some(mesh) = mesh.filter(|_| known) {
                bundles.follow(&mesh.config.ca_certificates);
                if bundles.were_tried() {
                    let told = whom(&mesh, &own.unwrap_or_default(), &bundles);
                    let faults = faults::of(&mesh, &told, &bundles);
                    plane.believe(encoded(told), faults);
                }
            }
            tokio::select! {
                Ok(()) = meshes.changed() => {}
                Ok(()) = changed(&mut roots) => {}
                () = bundles.next() => {}
                () = drain.started() => return Ok(()),
            }
        }
    }
}

async fn changed(
    roots: &mut Option<watch::Receiver<Arc<str>>>,
) -> Result<(), watch::error::RecvError> {
    match roots {
        Some(roots) => roots.changed().await,
        None => std::future::pending().await,
    }
}

fn whom(mesh: &Trusting, own: &str, bundles: &Bundles) -> Believed {
    let aliases = mesh.config.trust_domain_aliases.iter();
    let aliases = aliases.filter_map(|alias| alias.parse().ok());
    let domains: Vec<TrustDomain> = std::iter::once(mesh.domain.clone())
        .chain(aliases)
        .collect();
    let further = mesh.config.ca_certificates.iter().map(|one| {
        let url = one
            .spiffe_bundle_url
            .as_deref()
            .filter(|url| !url.is_empty());
        Further {
            pem: match url {
                Some(url) => bundles.get(url),
                None => Some(one.pem.as_deref().unwrap_or_default()),
            },
            domains: &one.trust_domains,
        }
    });
    believed((&domains, own), &further.collect::<Vec<_>>())
}

fn encoded(told: Believed) -> Encoded {
    let domains = told.domains.into_iter().map(|domain| TrustDomainRoots {
        trust_domain: domain.name.to_string(),
        pem: domain.roots,
        mesh: domain.mesh,
    });
    let message = ProxyConfig {
        ca_certificates_pem: told.all,
        trust_domain_roots: domains.collect(),
    };
    Encoded::new(NAME, PROXY_CONFIG, message.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_api::mesh_config::{CertificateData, MeshConfig};
    use meltemi_ca::Authority;
    use std::time::{Duration, UNIX_EPOCH};

    fn root(name: &str) -> String {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let made = Authority::self_signed(&name.parse().unwrap(), now);
        made.unwrap().certificate
    }

    fn told(further: Vec<CertificateData>) -> ProxyConfig {
        let mut config = MeshConfig::defaults();
        config.ca_certificates = further;
        let mesh = Trusting {
            config: Arc::new(config),
            domain: "td".parse().unwrap(),
            written: None,
        };
        let made = encoded(whom(&mesh, &root("own"), &Bundles::new(None)));
        ProxyConfig::decode(made.body).unwrap()
    }

    #[test]
    fn agents_are_told_of_every_root_and_whom_it_vouches_for() {
        let partner = CertificateData {
            pem: Some(root("partner")),
            trust_domains: vec!["partner.example".to_owned()],
            ..CertificateData::default()
        };
        let message = told(vec![partner]);
        assert_eq!(message.ca_certificates_pem.len(), 2);
        let domains = message.trust_domain_roots.iter();
        let domains: Vec<_> = domains.map(|one| (&*one.trust_domain, one.mesh)).collect();
        assert_eq!(domains, [("partner.example", false), ("td", true)]);
        assert_eq!(told(Vec::new()).trust_domain_roots, []);
    }

    /// A bundle that was never read opens nothing, and what stands in `pem` beside it does not either.
    #[test]
    fn a_bundle_that_is_not_known_vouches_for_nobody() {
        let partner = CertificateData {
            pem: Some(root("partner")),
            spiffe_bundle_url: Some("https://partner.example/bundle".to_owned()),
            trust_domains: vec!["partner.example".to_owned()],
            ..CertificateData::default()
        };
        let message = told(vec![partner]);
        assert_eq!(message.ca_certificates_pem.len(), 1);
        let pems: Vec<_> = message
            .trust_domain_roots
            .iter()
            .map(|one| one.pem.is_empty())
            .collect();
        assert_eq!(pems, [true, false]);
    }
}
