//! Authentication and authorization policies, as far as they are understood: who may speak
//! plaintext, and which inbound traffic must be denied because a policy cannot be translated yet.
//!
//! Follows <https://istio.io/latest/docs/reference/config/security/peer_authentication/>. The
//! surprise: a policy of the root namespace with a selector decides nothing.

use crate::order::Age;
use meltemi_types::{Labels, Namespace, Origin, Port, Selector};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an inbound port accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MtlsMode {
    /// Mesh mTLS and plaintext.
    #[default]
    Permissive,
    /// Mesh mTLS only.
    Strict,
    /// Plaintext only.
    Disable,
}

/// Where a proxy's own certificate comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Certificates {
    /// It has none: it speaks plaintext alone.
    #[default]
    None,
    /// From secrets of its bootstrap, found by name.
    Bootstrap,
    /// From the secret discovery service beside it.
    Sds,
}

impl Certificates {
    /// True when there is one.
    #[must_use]
    pub fn exist(self) -> bool {
        self != Self::None
    }
}

/// A PeerAuthentication. `None` modes inherit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerPolicy {
    /// The object.
    pub origin: Origin,
    /// For "the oldest wins".
    pub age: Age,
    /// Its namespace.
    pub namespace: Namespace,
    /// Which workloads; `None` is the whole namespace (or mesh, in the root namespace).
    pub selector: Option<Selector>,
    /// The mode for all ports.
    pub mode: Option<MtlsMode>,
    /// The mode of single workload ports.
    pub ports: BTreeMap<Port, Option<MtlsMode>>,
}

/// A policy that selects workloads and cannot be translated: their inbound is denied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Guard {
    /// The object.
    pub origin: Origin,
    /// Its namespace.
    pub namespace: Namespace,
    /// Which workloads; `None` is the whole namespace (or mesh, in the root namespace).
    pub selector: Option<Selector>,
}

/// All policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityIndex {
    /// PeerAuthentications, oldest first.
    pub peers: Vec<Arc<PeerPolicy>>,
    /// Policies that are not understood, sorted.
    pub guards: Vec<Arc<Guard>>,
}

/// What holds for one workload's inbound traffic. Part of the inbound class.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadSecurity {
    /// The mode for ports without one of their own.
    pub mode: MtlsMode,
    /// Modes of single ports.
    pub ports: BTreeMap<Port, MtlsMode>,
    /// Where the modes come from, mesh first.
    pub origins: Vec<Origin>,
    /// The policies that are not understood; any makes the inbound deny.
    pub guards: Vec<Origin>,
}

impl WorkloadSecurity {
    /// The mode of a port.
    #[must_use]
    pub fn mode_of(&self, port: Port) -> MtlsMode {
        self.ports.get(&port).copied().unwrap_or(self.mode)
    }
}

/// The PeerAuthentications that decide about the workloads of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NamespacePeers {
    /// The mode of mesh and namespace level. Clients know no more than this of a service.
    pub mode: MtlsMode,
    /// Policies for some of its workloads, oldest first.
    pub narrow: Vec<Arc<PeerPolicy>>,
}

impl NamespacePeers {
    /// The mode of one port of a workload with these labels.
    #[must_use]
    pub fn mode_of(&self, labels: &Labels, port: Option<Port>) -> MtlsMode {
        let selects = |p: &&Arc<PeerPolicy>| p.selector.as_ref().is_some_and(|s| s.matches(labels));
        let Some(policy) = self.narrow.iter().find(selects) else {
            return self.mode;
        };
        let own = port.and_then(|port| policy.ports.get(&port).copied());
        own.flatten().or(policy.mode).unwrap_or(self.mode)
    }

    /// True when some workload may refuse mTLS.
    #[must_use]
    pub fn may_disable(&self) -> bool {
        let modes = self.narrow.iter().flat_map(|p| {
            let ports = p.ports.values().copied();
            ports.chain([p.mode]).flatten()
        });
        modes.chain([self.mode]).any(|m| m == MtlsMode::Disable)
    }
}

impl SecurityIndex {
    /// What decides about the workloads of `namespace`.
    #[must_use]
    pub fn of_namespace(&self, root: &Namespace, namespace: &Namespace) -> NamespacePeers {
        let wide = [Some(root), Some(namespace).filter(|n| *n != root)];
        let modes = wide.into_iter().flatten().filter_map(|n| self.wide(n));
        NamespacePeers {
            mode: modes.filter_map(|p| p.mode).next_back().unwrap_or_default(),
            narrow: self.narrow(root, namespace).cloned().collect(),
        }
    }

    /// The policy for all of a namespace; that of the root namespace is for the mesh.
    fn wide(&self, namespace: &Namespace) -> Option<&Arc<PeerPolicy>> {
        let mut peers = self.peers.iter();
        peers.find(|p| p.namespace == *namespace && p.selector.is_none())
    }

    /// The policies for some workloads of a namespace; those of the root namespace have no effect.
    fn narrow<'a>(
        &'a self,
        root: &'a Namespace,
        namespace: &'a Namespace,
    ) -> impl Iterator<Item = &'a Arc<PeerPolicy>> {
        let of = move |p: &&Arc<PeerPolicy>| p.namespace == *namespace && p.selector.is_some();
        let peers = self.peers.iter().filter(move |_| namespace != root);
        peers.filter(of)
    }

    /// What holds for a workload of `namespace` with `labels`: mesh, then namespace, then workload
    /// level, the oldest policy of each; unset modes inherit.
    #[must_use]
    pub fn of_workload(
        &self,
        root: &Namespace,
        namespace: &Namespace,
        labels: &Labels,
    ) -> WorkloadSecurity {
        let mut result = WorkloadSecurity::default();
        let mut narrow = self.narrow(root, namespace);
        let narrow = narrow.find(|p| p.selector.as_ref().is_some_and(|s| s.matches(labels)));
        let own = (namespace != root).then(|| self.wide(namespace)).flatten();
        for policy in [self.wide(root), own, narrow].into_iter().flatten() {
            if let Some(mode) = policy.mode {
                result.mode = mode;
            }
            result.origins.push(policy.origin.clone());
        }
        if let Some(policy) = narrow {
            let mode = result.mode;
            result.ports = policy
                .ports
                .iter()
                .map(|(port, m)| (*port, m.unwrap_or(mode)))
                .collect();
        }
        result.guards = self
            .guards
            .iter()
            .filter(|g| g.namespace == *namespace || (g.namespace == *root && g.selector.is_none()))
            .filter(|g| g.selector.as_ref().is_none_or(|s| s.matches(labels)))
            .map(|g| g.origin.clone())
            .collect();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_types::{ClusterId, ObjectRef};

    fn origin(kind: &str, namespace: &str, name: &str) -> Origin {
        let object = ObjectRef {
            cluster: ClusterId::default(),
            kind: kind.into(),
            namespace: Some(namespace.parse().unwrap()),
            name: name.parse().unwrap(),
        };
        Origin::object(Arc::new(object), None)
    }

    fn peer(namespace: &str, app: Option<&str>, mode: Option<MtlsMode>) -> Arc<PeerPolicy> {
        let name: meltemi_types::ObjectName = "p".parse().unwrap();
        Arc::new(PeerPolicy {
            origin: origin("PeerAuthentication", namespace, "p"),
            age: Age {
                created: None,
                name,
                namespace: None,
            },
            namespace: namespace.parse().unwrap(),
            selector: app.map(|app| Selector::new([("app", app)].into_iter().collect())),
            mode,
            ports: BTreeMap::from([(Port::new(80).unwrap(), None)]),
        })
    }

    fn of(index: &SecurityIndex, namespace: &str, app: &str) -> WorkloadSecurity {
        let labels: Labels = [("app", app)].into_iter().collect();
        index.of_workload(
            &Namespace::istio_system(),
            &namespace.parse().unwrap(),
            &labels,
        )
    }

    #[test]
    fn modes_inherit_from_mesh_to_namespace_to_workload() {
        let index = SecurityIndex {
            peers: vec![
                peer("istio-system", None, Some(MtlsMode::Strict)),
                peer("shop", None, Some(MtlsMode::Disable)),
                peer("shop", Some("web"), None),
                peer("shop", Some("api"), Some(MtlsMode::Permissive)),
            ],
            guards: Vec::new(),
        };
        assert_eq!(of(&index, "bank", "x").mode, MtlsMode::Strict);
        assert_eq!(of(&index, "shop", "x").mode, MtlsMode::Disable);
        assert_eq!(of(&index, "shop", "web").mode, MtlsMode::Disable);
        assert_eq!(
            of(&index, "shop", "web").mode_of(Port::new(80).unwrap()),
            MtlsMode::Disable
        );
        assert_eq!(of(&index, "shop", "api").mode, MtlsMode::Permissive);
    }

    #[test]
    fn clients_know_the_namespace_and_endpoints_their_own_mode() {
        let mut narrow = PeerPolicy::clone(&peer("shop", Some("web"), Some(MtlsMode::Disable)));
        narrow.ports = BTreeMap::from([(Port::new(80).unwrap(), Some(MtlsMode::Strict))]);
        let index = SecurityIndex {
            peers: vec![
                peer("istio-system", None, Some(MtlsMode::Strict)),
                peer("istio-system", Some("web"), Some(MtlsMode::Disable)),
                peer("shop", None, None),
                Arc::new(narrow),
            ],
            guards: Vec::new(),
        };
        let root = Namespace::istio_system();
        let shop = index.of_namespace(&root, &"shop".parse().unwrap());
        assert_eq!(shop.mode, MtlsMode::Strict);
        assert!(shop.may_disable());
        let labels = |app| [("app", app)].into_iter().collect::<Labels>();
        let mode = |app, port| shop.mode_of(&labels(app), Port::new(port));
        assert_eq!(mode("web", 80), MtlsMode::Strict);
        assert_eq!(mode("web", 81), MtlsMode::Disable);
        assert_eq!(mode("api", 81), MtlsMode::Strict);
        // A selector in the root namespace selects nobody.
        let system = index.of_namespace(&root, &root);
        assert!(!system.may_disable() && system.mode == MtlsMode::Strict);
        assert_eq!(of(&index, "istio-system", "web").mode, MtlsMode::Strict);
    }

    #[test]
    fn a_policy_that_is_not_understood_guards_whom_it_selects() {
        let guard = |namespace: &str, app: Option<&str>| {
            Arc::new(Guard {
                origin: origin("AuthorizationPolicy", namespace, "a"),
                namespace: namespace.parse().unwrap(),
                selector: app.map(|app| Selector::new([("app", app)].into_iter().collect())),
            })
        };
        let index = SecurityIndex {
            peers: vec![],
            guards: vec![guard("shop", Some("web"))],
        };
        assert_eq!(of(&index, "shop", "web").guards.len(), 1);
        assert!(of(&index, "shop", "api").guards.is_empty());
        assert!(of(&index, "bank", "web").guards.is_empty());
        let index = SecurityIndex {
            peers: vec![],
            guards: vec![guard("istio-system", None)],
        };
        assert_eq!(of(&index, "bank", "web").guards.len(), 1);
    }
}
