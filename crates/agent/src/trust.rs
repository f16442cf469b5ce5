//! Whom the workload believes beside who signs for it: what the control plane says (PCDS, platform.md
//! 3.10 and 3.11).
//!
//! Istio's control plane names roots, and each vouches for every trust domain. Ours says besides which
//! vouches for which, where that differs. What cannot be read changes nothing.

use crate::identity::certified;
use meltemi_proto::istio::mesh::v1alpha1::{ProxyConfig, TrustDomainRoots};
use meltemi_types::TrustDomain;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// What was said last; nothing until something was.
pub type Told = watch::Receiver<Arc<Trust>>;
/// Says it.
pub type Tell = watch::Sender<Arc<Trust>>;

/// Whom the workload believes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Every root, PEM.
    pub roots: Vec<u8>,
    /// By trust domain; empty when each root vouches for each.
    pub domains: BTreeMap<TrustDomain, Domain>,
}

/// Who vouches for a trust domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domain {
    /// Roots, PEM; may be none.
    pub roots: Vec<u8>,
    /// Who signs for this workload does, too.
    pub mesh: bool,
}

/// A pair of ends; nothing is said yet.
#[must_use]
pub fn channel() -> (Tell, Told) {
    watch::channel(Arc::default())
}

impl Trust {
    /// Reads a message.
    ///
    /// # Errors
    /// A root or the name of a trust domain is none; the text says which.
    pub(crate) fn read(message: ProxyConfig) -> Result<Self, String> {
        let ProxyConfig {
            ca_certificates_pem,
            trust_domain_roots,
        } = message;
        let mut roots = Vec::new();
        for pem in &ca_certificates_pem {
            roots.extend(checked(pem)?);
        }
        let mut domains: BTreeMap<TrustDomain, Domain> = BTreeMap::new();
        for one in trust_domain_roots {
            let TrustDomainRoots {
                trust_domain,
                pem,
                mesh,
            } = one;
            let name = trust_domain.parse().map_err(said)?;
            let domain = domains.entry(name).or_default();
            domain.roots.extend(checked(&pem)?);
            domain.mesh |= mesh;
        }
        Ok(Self { roots, domains })
    }
}

/// Certificates, with a line end behind.
fn checked(pem: &str) -> Result<Vec<u8>, String> {
    certified("roots", pem.as_bytes()).map_err(said)?;
    let mut bytes = pem.trim_end().as_bytes().to_vec();
    if !bytes.is_empty() {
        bytes.push(b'\n');
    }
    Ok(bytes)
}

fn said(why: impl ToString) -> String {
    why.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority_double::Root;

    fn of(domain: &str, pem: &str) -> TrustDomainRoots {
        TrustDomainRoots {
            trust_domain: domain.to_owned(),
            pem: pem.to_owned(),
            mesh: domain == "td",
        }
    }

    #[test]
    fn what_is_said_is_read_whole_or_not_at_all() {
        let (a, b) = (Root::new("a").pem, Root::new("b").pem);
        let message = |domains| ProxyConfig {
            ca_certificates_pem: vec![a.trim_end().to_owned(), b.clone()],
            trust_domain_roots: domains,
        };
        let trust = Trust::read(message(vec![of("td", &a), of("p", &b), of("none", "")])).unwrap();
        assert_eq!(pem::parse_many(&trust.roots).unwrap().len(), 2);
        let domains = trust.domains.iter();
        let domains: Vec<_> = domains
            .map(|(name, one)| (name.as_str(), one.mesh, one.roots.is_empty()))
            .collect();
        assert_eq!(
            domains,
            [
                ("none", false, true),
                ("p", false, false),
                ("td", true, false)
            ]
        );
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        Trust::read(message(vec![of("Not One", &a)])).unwrap_err();
        Trust::read(message(vec![of("p", junk)])).unwrap_err();
    }
}
