//! Who sees what: `exportTo` and Sidecar resources, resolved for one namespace and Sidecar.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/sidecar/>. The surprise:
//! services that an imported VirtualService sends to can be reached even when not imported, but
//! have no listener and no virtual host of their own. A listener with a port serves that port only.

use crate::Snapshot;
use crate::order::Age;
use crate::route::{Attachment, BackendTarget, HttpAction, RouteTable};
use crate::service::Service;
use crate::visibility::ExportTo;
use meltemi_api::networking::sidecar::{IstioEgressListener, Sidecar};
use meltemi_types::{HostPattern, Labels, Namespace, ObjectRef, Origin, Port, Protocol, Selector};
use std::collections::{BTreeMap, BTreeSet};
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
    /// Services, oldest first, one per host; all of them have the listener's port, if it has one.
    pub services: Arc<[Arc<Service>]>,
    /// Services that the route tables send to without their being imported: they need clusters.
    pub targets: Vec<Imported>,
    /// Route tables: private ones first, then exported, then public; each oldest first.
    pub routes: Arc<[Arc<RouteTable>]>,
}

impl Egress {
    /// Which ports of its services count.
    #[must_use]
    pub fn ports(&self) -> Ports {
        match self.listener.as_deref().and_then(only_port) {
            Some(port) => Ports::Only([port].into()),
            None => Ports::All,
        }
    }
}

/// Some ports of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// All that it has.
    All,
    /// These.
    Only(BTreeSet<Port>),
}

impl Ports {
    /// True when this port is among them.
    #[must_use]
    pub fn contains(&self, port: Port) -> bool {
        match self {
            Self::All => true,
            Self::Only(ports) => ports.contains(&port),
        }
    }

    fn and(&mut self, more: &Self) {
        match (&mut *self, more) {
            (Self::All, _) => {}
            (Self::Only(own), Self::Only(more)) => own.extend(more),
            (Self::Only(_), Self::All) => *self = Self::All,
        }
    }
}

/// A service and those of its ports that can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The service.
    pub service: Arc<Service>,
    /// The ports.
    pub ports: Ports,
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
    /// Every service of every listener, one per host, oldest first, with what can be reached of it.
    /// What a listener imports stands before what its route tables send to.
    #[must_use]
    pub fn imports(&self) -> Vec<Imported> {
        let mut best: BTreeMap<HostPattern, Imported> = BTreeMap::new();
        for egress in &self.egress {
            for service in egress.services.iter() {
                let import = Imported {
                    service: service.clone(),
                    ports: egress.ports(),
                };
                add(&mut best, import, |new, old| {
                    rank(new, &self.namespace) < rank(old, &self.namespace)
                });
            }
        }
        for target in self.egress.iter().flat_map(|e| &e.targets) {
            add(&mut best, target.clone(), |_, _| false);
        }
        let mut all: Vec<Imported> = best.into_values().collect();
        all.sort_by(|a, b| by_age(&a.service, &b.service));
        all
    }

    /// The same, without the ports.
    #[must_use]
    pub fn services(&self) -> Vec<Arc<Service>> {
        match self.egress.as_slice() {
            [only] if only.targets.is_empty() => only.services.to_vec(),
            _ => self.imports().into_iter().map(|i| i.service).collect(),
        }
    }
}

/// Keeps the better one of two services of a host; of one service the ports of both.
fn add(
    best: &mut BTreeMap<HostPattern, Imported>,
    new: Imported,
    better: impl Fn(&Service, &Service) -> bool,
) {
    match best.get_mut(&new.service.key.host) {
        None => {
            best.insert(new.service.key.host.clone(), new);
        }
        Some(old) if old.service.key == new.service.key => old.ports.and(&new.ports),
        Some(old) if better(&new.service, &old.service) => *old = new,
        Some(_) => {}
    }
}

/// The port that an egress listener has to itself: services are imported with this one only. A
/// listener on a Unix socket or for an HTTP proxy serves all ports.
fn only_port(listener: &IstioEgressListener) -> Option<Port> {
    let port = listener.port.as_ref()?;
    let protocol = port.protocol.as_deref().and_then(Protocol::by_name);
    let socket = listener
        .bind
        .as_deref()
        .is_some_and(|b| b.starts_with("unix:"));
    Port::new(port.number).filter(|_| protocol != Some(Protocol::HttpProxy) && !socket)
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
                    Egress {
                        origin: Some(rule.origin.at(path)),
                        ..imported(listener, namespace, &visible, &routes)
                    }
                })
                .collect(),
            _ => vec![Egress {
                listener: None,
                origin: None,
                services: best_per_host(visible.into_iter(), |s| rank(s, namespace)).into(),
                targets: Vec::new(),
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
    let mut seen: Vec<Arc<RouteTable>> = all
        .iter()
        .filter(|t| t.is_for_mesh() && t.export_to.allows(namespace))
        .cloned()
        .collect();
    seen.sort_by_key(|t| openness(t, namespace));
    seen
}

impl Snapshot {
    /// The route tables attached to a gateway that `namespace` sees, in the same order.
    #[must_use]
    pub fn tables_at(&self, gateway: &Attachment, namespace: &Namespace) -> Vec<Arc<RouteTable>> {
        let all = self.routes.tables.iter();
        let mut seen: Vec<Arc<RouteTable>> = all
            .filter(|t| t.attach.contains(gateway) && t.export_to.allows(namespace))
            .cloned()
            .collect();
        seen.sort_by_key(|t| openness(t, namespace));
        seen
    }
}

/// Private tables come first, then exported ones, then public ones.
fn openness(table: &RouteTable, namespace: &Namespace) -> u8 {
    match &table.export_to {
        ExportTo::Namespaces(names) if table.namespace == *namespace && names.len() == 1 => 0,
        ExportTo::Namespaces(_) => 1,
        ExportTo::Public => 2,
        ExportTo::Nobody => 3,
    }
}

/// The services and route tables that one egress listener imports.
fn imported(
    listener: &IstioEgressListener,
    namespace: &Namespace,
    visible: &[&Arc<Service>],
    routes: &[Arc<RouteTable>],
) -> Egress {
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
    let port = only_port(listener);
    let chosen = visible
        .iter()
        .filter(|s| picks(&s.key.namespace, &|h| h.covers(&s.key.host)))
        .filter(|s| port.is_none_or(|port| s.port(port).is_some()))
        .copied();
    let services = best_per_host(chosen, |s| imported_rank(s, namespace));
    Egress {
        listener: Some(Arc::new(listener.clone())),
        origin: None,
        targets: targets(&routes, (port, namespace), visible),
        services: services.into(),
        routes: routes.into(),
    }
}

/// The services that route tables send to: the namespace's own, else the Kubernetes service, else
/// the oldest; with the listener's port, else the ports that the destinations name.
fn targets(
    routes: &[Arc<RouteTable>],
    (port, namespace): (Option<Port>, &Namespace),
    visible: &[&Arc<Service>],
) -> Vec<Imported> {
    let mut wanted: BTreeMap<&HostPattern, Ports> = BTreeMap::new();
    for (host, named) in routes.iter().flat_map(|t| destinations(t)) {
        let ports = match port.or(named) {
            Some(port) => Ports::Only([port].into()),
            None => Ports::All,
        };
        wanted
            .entry(host)
            .and_modify(|known| known.and(&ports))
            .or_insert(ports);
    }
    let mut best: BTreeMap<&HostPattern, &Arc<Service>> = BTreeMap::new();
    for service in visible.iter().filter(|s| wanted.contains_key(&s.key.host)) {
        let slot = best.entry(&service.key.host).or_insert(service);
        if imported_rank(service, namespace) < imported_rank(slot, namespace) {
            *slot = service;
        }
    }
    let found = best.into_iter().filter_map(|(host, service)| {
        let ports = wanted.remove(host)?;
        let reachable = service.ports.iter().any(|p| ports.contains(p.number));
        reachable.then(|| Imported {
            service: service.clone(),
            ports,
        })
    });
    found.collect()
}

/// The hosts that a table sends to, and the port where one is named.
fn destinations(table: &RouteTable) -> impl Iterator<Item = (&HostPattern, Option<Port>)> {
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
        BackendTarget::Service { host, port, .. } => Some((host, *port)),
        BackendTarget::Invalid => None,
    })
}

/// Kubernetes before entries, the namespace's own, then the oldest: the smallest is preferred.
fn rank<'a>(service: &'a Service, namespace: &Namespace) -> (bool, bool, &'a Age) {
    let foreign = service.key.namespace != *namespace;
    (!service.kubernetes, foreign, &service.age)
}

/// What a Sidecar imports: the namespace's own even before a Service of Kubernetes, because the
/// namespace asked for it by name.
fn imported_rank<'a>(service: &'a Service, namespace: &Namespace) -> (bool, bool, &'a Age) {
    let foreign = service.key.namespace != *namespace;
    (foreign, !service.kubernetes, &service.age)
}

fn by_age(a: &Service, b: &Service) -> std::cmp::Ordering {
    (&a.age, &a.key).cmp(&(&b.age, &b.key))
}

/// One service per host, the one of the smallest rank.
fn best_per_host<'a, R: Ord>(
    services: impl Iterator<Item = &'a Arc<Service>>,
    rank: impl Fn(&'a Service) -> R,
) -> Vec<Arc<Service>> {
    let mut best: BTreeMap<&HostPattern, &Arc<Service>> = BTreeMap::new();
    for service in services {
        let slot = best.entry(&service.key.host).or_insert(service);
        if rank(service) < rank(slot) {
            *slot = service;
        }
    }
    let mut result: Vec<Arc<Service>> = best.into_values().cloned().collect();
    result.sort_by(|a, b| by_age(a, b));
    result
}
