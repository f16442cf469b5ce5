//! What the registry is told at the start.

use meltemi_types::{ClusterId, Namespace};
use std::sync::Arc;

/// Fixed facts about the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The DNS suffix of Kubernetes services; `cluster.local` by default.
    pub domain: Arc<str>,
    /// The cluster whose objects come first where several clusters have the same host.
    pub cluster: ClusterId,
    /// The namespace of the mesh's own objects (ConfigMap `istio`); `istio-system` by default.
    pub namespace: Namespace,
    /// True when Gateways select proxies of their own namespace only. Default false.
    pub scoped_gateways: bool,
    /// The revision: mesh objects that carry another one in the label `istio.io/rev` are not
    /// read. Empty is `default`, which is the default.
    pub revision: Arc<str>,
    /// Further names of the revision: objects that carry one of them are read too. Default none.
    pub tags: Vec<Arc<str>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domain: "cluster.local".into(),
            cluster: ClusterId::default(),
            namespace: Namespace::istio_system(),
            scoped_gateways: false,
            revision: "default".into(),
            tags: Vec::new(),
        }
    }
}
