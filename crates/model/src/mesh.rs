//! Mesh configuration as it is in force.

use meltemi_api::mesh_config::MeshConfig;
use meltemi_types::{Namespace, TrustDomain};
use std::sync::Arc;

/// Mesh configuration: the user's over the defaults, and the names derived from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mesh {
    /// The effective configuration (`MeshConfig::defaults` with the user's merged over it).
    pub config: Arc<MeshConfig>,
    /// Where mesh-wide policies live; `istio-system` by default.
    pub root_namespace: Namespace,
    /// The SPIFFE trust domain; `cluster.local` by default.
    pub trust_domain: TrustDomain,
    /// The DNS suffix of Kubernetes services; `cluster.local` by default.
    pub cluster_domain: Arc<str>,
}

impl Default for Mesh {
    fn default() -> Self {
        Self::new(MeshConfig::defaults(), "cluster.local")
    }
}

impl Mesh {
    /// Derives the names from an effective configuration. Names that cannot be used fall back to
    /// the defaults; `meltemi_api`'s checks have reported them.
    #[must_use]
    pub fn new(config: MeshConfig, cluster_domain: &str) -> Self {
        let root = config
            .root_namespace
            .as_deref()
            .and_then(|n| n.parse().ok());
        let trust = config.trust_domain.as_deref().and_then(|t| t.parse().ok());
        Self {
            root_namespace: root.unwrap_or_else(Namespace::istio_system),
            trust_domain: trust.unwrap_or_else(fallback_trust_domain),
            cluster_domain: cluster_domain.into(),
            config: Arc::new(config),
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "a literal that the type accepts; covered by a test"
)]
fn fallback_trust_domain() -> TrustDomain {
    "cluster.local".parse().expect("a valid literal")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_mesh_has_istios_names() {
        let mesh = Mesh::default();
        assert_eq!(mesh.root_namespace.as_str(), "istio-system");
        assert_eq!(mesh.trust_domain.as_str(), "cluster.local");
    }
}
