//! Who sees what: `exportTo` and Sidecar resources, resolved for one namespace and Sidecar.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/sidecar/>. The surprise:
//! services that an imported VirtualService sends to are visible even when not imported.

use crate::Snapshot;
use crate::order::Age;
use crate::route::{BackendTarget, HttpAction, RouteTable};
use crate::service::Service;
use crate::visibility::ExportTo;
use meltemi_api::networking::sidecar::{IstioEgressListener, Sidecar};
use meltemi_types::{HostPattern, Labels, Namespace, ObjectRef, Origin, Selector};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A Sidecar resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SidecarRule {
    /// The object.
    pub origin: Origin,
    /// For "the oldest wins".
    pub age: Age,
    /// Its namespace.
    pub namespace: Namespace,
    /// Which workloads; `None` is the whole namespace.
    pub selector: Option<Selector>,
    /// As written.
    pub spec: Arc<Sidecar>,
}

/// All Sidecars.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SidecarIndex {
    /// Oldest first.
    pub rules: Vec<Arc<SidecarRule>>,
}

impl SidecarIndex {
    /// The Sidecar of this name.
    #[must_use]
    pub fn by_ref(&self, object: Option<&ObjectRef>) -> Option<&Arc<SidecarRule>> {
        self.rules
            .iter()
            .find(|rule| Some(&*rule.origin.object) == object)
    }

    /// The Sidecar of a workload: one that selects it, else its namespace's, else the root's.
    #[must_use]
    pub fn of_workload(
        &self,
        namespace: &Namespace,
        labels: &Labels,
        root: &Namespace,
    ) -> Option<&Arc<SidecarRule>> {
        let own = || self.rules.iter().filter(|r| r.namespace == *namespace);
        own()
            .find(|r| r.selector.as_ref().is_some_and(|s| s.matches(labels)))
            .or_else(|| own().find(|r| r.selector.is_none()))
            .or_else(|| {
                self.rules
                    .iter()
                    .find(|r| r.namespace == *root && r.selector.is_none())
            })
    }
}

/// What one egress listener of a proxy may reach. Without a Sidecar there is one, unlimited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// The listener as written; `None` is the built-in one.
    pub listener: Option<Arc<IstioEgressListener>>,
    /// Where it was written.
    pub origin: Option<Origin>,
    /// Services, oldest first, one per host.
    pub services: Arc<[Arc<Service>]>,
    /// Route tables: private ones first, then exported, then public; each oldest first.
    pub routes: Arc<[Arc<RouteTable>]>,
}

/// Everything a proxy of one namespace (and Sidecar) may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The namespace.
    pub namespace: Namespace,
    /// The Sidecar that shaped it.
    pub sidecar: Option<Arc<SidecarRule>>,
    /// Egress listeners in order; the one without a port is the catch-all.
    pub egress: Vec<Egress>,
}

impl Scope {
    /// Every service of every listener, one per host, oldest first.
    #[must_use]
    pub fn services(&self) -> Vec<Arc<Service>> {
        match self.egress.as_slice() {
            [only] => only.services.to_vec(),
            all => best_per_host(all.iter().flat_map(|e| e.services.iter()), &self.namespace),
        }
    }
}

/// One entry of an egress listener's `hosts`.
struct Import {
    exclude: bool,
    namespace: Option<Namespace>,
    host: HostPattern,
}

impl Import {
    /// Reads `ns/host`; `.` is the Sidecar's own namespace, `*` any, `~` none (and `~ns` excludes).
    fn read(text: &str, own: &Namespace) -> Option<Self> {
        let (namespace, host) = text.split_once('/')?;
        let (exclude, namespace) = match namespace.strip_prefix('~') {
            Some(rest) => (true, rest),
            None => (false, namespace),
        };
        let namespace = match namespace {
            "*" | "" => None,
            "." => Some(own.clone()),
            name => Some(name.parse().ok()?),
        };
        Some(Self {
            exclude,
            namespace,
            host: host.parse().ok()?,
        })
    }

    fn in_namespace(&self, namespace: &Namespace) -> bool {
        self.namespace.as_ref().is_none_or(|n| n == namespace)
    }
}

impl Snapshot {
    /// Resolves what a proxy of `namespace` under `sidecar` may reach.
    #[must_use]
    pub fn scope(&self, namespace: &Namespace, sidecar: Option<&Arc<SidecarRule>>) -> Scope {
        let visible: Vec<&Arc<Service>> = self
            .services
            .iter()
            .filter(|s| s.export_to.allows(namespace))
            .collect();
        let routes = visible_routes(&self.routes.tables, namespace);
        let egress = match sidecar {
            Some(rule) if !rule.spec.egress.is_empty() => rule
                .spec
                .egress
                .iter()
                .enumerate()
                .map(|(i, listener)| {
                    let path = meltemi_types::FieldPath::spec().field("egress").index(i);
                    let (services, routes) = imported(listener, namespace, &visible, &routes);
                    Egress {
                        listener: Some(Arc::new(listener.clone())),
                        origin: Some(rule.origin.at(path)),
                        services: services.into(),
                        routes: routes.into(),
                    }
                })
                .collect(),
            _ => vec![Egress {
                listener: None,
                origin: None,
                services: best_per_host(visible.into_iter(), namespace).into(),
                routes: routes.into(),
            }],
        };
        Scope {
            namespace: namespace.clone(),
            sidecar: sidecar.cloned(),
            egress,
        }
    }
}

/// Route tables that `namespace` sees: private first, then exported to it, then public.
fn visible_routes(all: &[Arc<RouteTable>], namespace: &Namespace) -> Vec<Arc<RouteTable>> {
    let rank = |table: &RouteTable| match &table.export_to {
        ExportTo::Namespaces(names) if table.namespace == *namespace && names.len() == 1 => 0,
        ExportTo::Namespaces(_) => 1,
        ExportTo::Public => 2,
        ExportTo::Nobody => 3,
    };
    let mut seen: Vec<Arc<RouteTable>> = all
        .iter()
        .filter(|t| t.is_for_mesh() && t.export_to.allows(namespace))
        .cloned()
        .collect();
    seen.sort_by_key(|t| rank(t));
    seen
}

/// The services and route tables that one egress listener imports.
fn imported(
    listener: &IstioEgressListener,
    namespace: &Namespace,
    visible: &[&Arc<Service>],
    routes: &[Arc<RouteTable>],
) -> (Vec<Arc<Service>>, Vec<Arc<RouteTable>>) {
    let imports: Vec<Import> = listener
        .hosts
        .iter()
        .filter_map(|h| Import::read(h, namespace))
        .collect();
    let picks = |ns: &Namespace, fits: &dyn Fn(&HostPattern) -> bool| {
        let hit = |exclude| {
            imports
                .iter()
                .any(|i| i.exclude == exclude && i.in_namespace(ns) && fits(&i.host))
        };
        hit(false) && !hit(true)
    };
    let routes: Vec<Arc<RouteTable>> = routes
        .iter()
        .filter(|t| picks(&t.namespace, &|h| t.hosts.iter().any(|own| own.overlaps(h))))
        .cloned()
        .collect();
    let chosen = visible
        .iter()
        .filter(|s| picks(&s.key.namespace, &|h| h.covers(&s.key.host)))
        .copied();
    let mut services = best_per_host(chosen, namespace);
    let known: std::collections::BTreeSet<_> =
        services.iter().map(|s| s.key.host.clone()).collect();
    let wanted: std::collections::BTreeSet<&HostPattern> = routes
        .iter()
        .flat_map(|t| destinations(t))
        .filter(|h| !known.contains(*h))
        .collect();
    if !wanted.is_empty() {
        let extra = visible
            .iter()
            .filter(|s| wanted.contains(&s.key.host))
            .copied();
        services.extend(best_per_host(extra, namespace));
        services.sort_by(|a, b| (&a.age, &a.key).cmp(&(&b.age, &b.key)));
    }
    (services, routes)
}

/// The hosts that a table sends to.
fn destinations(table: &RouteTable) -> impl Iterator<Item = &HostPattern> {
    let http = table.http.iter().flat_map(|rule| {
        let backends = match &rule.action {
            HttpAction::Forward(backends) => backends.as_slice(),
            HttpAction::Redirect(_) | HttpAction::Direct(_) => &[],
        };
        backends
            .iter()
            .map(|b| &b.target)
            .chain(rule.mirrors.iter().map(|m| &m.target))
    });
    let l4 = table
        .tls
        .iter()
        .chain(&table.tcp)
        .flat_map(|r| r.backends.iter().map(|b| &b.target));
    http.chain(l4).filter_map(|target| match target {
        BackendTarget::Service { host, .. } => Some(host),
        BackendTarget::Invalid => None,
    })
}

/// One service per host: Kubernetes before entries, the namespace's own, then the oldest.
fn best_per_host<'a>(
    services: impl Iterator<Item = &'a Arc<Service>>,
    namespace: &Namespace,
) -> Vec<Arc<Service>> {
    let mut best: BTreeMap<&HostPattern, &Arc<Service>> = BTreeMap::new();
    let rank = |s: &'a Arc<Service>| (!s.kubernetes, s.key.namespace != *namespace, &s.age);
    for service in services {
        let slot = best.entry(&service.key.host).or_insert(service);
        if rank(service) < rank(slot) {
            *slot = service;
        }
    }
    let mut result: Vec<Arc<Service>> = best.into_values().cloned().collect();
    result.sort_by(|a, b| (&a.age, &a.key).cmp(&(&b.age, &b.key)));
    result
}
