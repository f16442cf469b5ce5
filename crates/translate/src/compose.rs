//! Snapshot to resources to bytes, in one place for the control plane and the command line.
//!
//! [`Translator`] keeps one [`Outbound`] per class and one [`Inbound`] per inbound key, runs the
//! generators again when a snapshot changed what they read, and hands out shared results.

mod found;
mod make;

use crate::class::{ClassKey, Deciding, InboundKey};
use crate::view::View;
use crate::{cluster, endpoint, listener, name_table, route};
use found::Found;
use make::{Memos, Steps, make};
use meltemi_model::{Proxy, Resolution, Scope, ServiceKey, Snapshot};
use meltemi_proto::resource::TypeSet;
use meltemi_types::{Diagnostic, Namespace, ServiceAccount};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

pub use make::Counts;

/// Everything that all proxies of one class share.
#[derive(Clone, Debug, Default)]
pub struct Outbound {
    /// Which line of sets this belongs to: revisions count within it.
    pub line: u64,
    /// CDS.
    pub clusters: Arc<TypeSet>,
    /// EDS.
    pub endpoints: Arc<TypeSet>,
    /// LDS.
    pub listeners: Arc<TypeSet>,
    /// RDS.
    pub routes: Arc<TypeSet>,
    /// NDS: one table, or none.
    pub names: Arc<TypeSet>,
    /// What was found wrong while making them, sorted.
    pub diagnostics: Arc<[Diagnostic]>,
}

/// Everything that depends on the workload a proxy stands before.
#[derive(Clone, Debug, Default)]
pub struct Inbound {
    /// Which line of sets this belongs to. Each is one of its own: two workloads may come from
    /// one predecessor.
    pub line: u64,
    /// CDS.
    pub clusters: Arc<TypeSet>,
    /// LDS.
    pub listeners: Arc<TypeSet>,
    /// What was found wrong while making them, sorted.
    pub diagnostics: Arc<[Diagnostic]>,
}

/// What one proxy should have.
#[derive(Clone, Debug)]
pub struct Assigned {
    /// Shared with its class.
    pub outbound: Arc<Outbound>,
    /// Shared with workloads like its own.
    pub inbound: Arc<Inbound>,
}

impl Assigned {
    /// A name for the content of the class: equal content, equal name, in any process.
    #[must_use]
    pub fn class_hash(&self) -> String {
        let mut hash = Xxh3::new();
        let outbound = &self.outbound;
        for set in [
            &outbound.clusters,
            &outbound.endpoints,
            &outbound.listeners,
            &outbound.routes,
            &outbound.names,
        ] {
            for resource in set.resources.values() {
                hash.update(resource.name.as_bytes());
                hash.update(resource.version.as_bytes());
            }
        }
        format!("{:016x}", hash.digest())
    }

    /// What was found wrong in both parts, sorted, each once.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        let both = self
            .outbound
            .diagnostics
            .iter()
            .chain(self.inbound.diagnostics.iter());
        both.cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }
}

struct Class {
    scope: Scope,
    outbound: Arc<Outbound>,
    /// What was found wrong with load assignments: some of them are made again alone.
    found_of_endpoints: Found,
    /// What was found wrong with everything else.
    found: Vec<Diagnostic>,
}

/// How much of the mesh a snapshot changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Nothing that any proxy reads.
    Nothing,
    /// Endpoints only: classes and inbound keys of proxies stand.
    Endpoints,
    /// Anything: ask [`Translator::assign`] again for every proxy.
    Everything,
}

/// Runs the generators and keeps what they made.
#[derive(Default)]
pub struct Translator {
    snapshot: Arc<Snapshot>,
    deciding: Deciding,
    memos: Memos,
    classes: HashMap<ClassKey, Class>,
    inbounds: HashMap<InboundKey, Arc<Inbound>>,
    lines: u64,
}

impl Translator {
    /// Starts with a snapshot.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        let deciding = Deciding::of(&snapshot);
        Self {
            snapshot,
            deciding,
            ..Self::default()
        }
    }

    /// The snapshot in force.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// What `proxy` should have; its class and inbound are made when they are new. `previous` is
    /// what it had before: versions that fail a check now stay as they were there.
    pub fn assign(&mut self, proxy: &Proxy, previous: Option<&Assigned>) -> Assigned {
        let key = ClassKey::of(&self.snapshot, &self.deciding, proxy);
        let outbound = match self.classes.get(&key) {
            Some(class) => class.outbound.clone(),
            None => self.make_class(key, None),
        };
        let key = InboundKey::of(&self.snapshot, proxy);
        let inbound = match self.inbounds.get(&key) {
            Some(inbound) => inbound.clone(),
            None => {
                let made = self.make_inbound(&key, previous.map(|p| &*p.inbound));
                let inbound = Arc::new(made);
                self.inbounds.insert(key, inbound.clone());
                inbound
            }
        };
        Assigned { outbound, inbound }
    }

    /// The new outbound part for a proxy after [`Extent::Endpoints`].
    pub fn refresh(&mut self, proxy: &Proxy, old: &Assigned) -> Assigned {
        let key = ClassKey::of(&self.snapshot, &self.deciding, proxy);
        match self.classes.get(&key) {
            Some(class) => Assigned {
                outbound: class.outbound.clone(),
                inbound: old.inbound.clone(),
            },
            None => self.assign(proxy, Some(old)),
        }
    }

    /// Takes the next snapshot, of which `endpoints` names the services whose endpoints differ.
    pub fn publish(&mut self, next: Arc<Snapshot>, endpoints: &BTreeSet<ServiceKey>) -> Extent {
        let previous = std::mem::replace(&mut self.snapshot, next);
        let extent = extent(&previous, &self.snapshot, endpoints);
        match extent {
            Extent::Nothing => {}
            Extent::Endpoints => {
                let keys: Vec<ClassKey> = self.classes.keys().cloned().collect();
                for key in keys {
                    self.remake_endpoints(&key, endpoints);
                }
            }
            Extent::Everything => self.remake_everything(),
        }
        let live = self
            .classes
            .values()
            .map(|c| c.outbound.clusters.resources.len())
            .sum();
        self.memos.sweep(live);
        extent
    }

    /// Drops classes and inbounds that no proxy holds any more.
    pub fn forget_unused(&mut self) {
        self.classes
            .retain(|_, class| Arc::strong_count(&class.outbound) > 1);
        self.inbounds
            .retain(|_, inbound| Arc::strong_count(inbound) > 1);
    }

    /// How much was built and encoded so far, and how many classes there are, by type.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, Counts> {
        self.memos.counts(self.classes.len())
    }

    /// Everything found wrong while translating for any class, sorted, each once.
    #[must_use]
    pub fn diagnostics(&self) -> BTreeSet<Diagnostic> {
        let outbound = self
            .classes
            .values()
            .flat_map(|c| c.outbound.diagnostics.iter());
        let inbound = self.inbounds.values().flat_map(|i| i.diagnostics.iter());
        outbound.chain(inbound).cloned().collect()
    }

    fn make_class(&mut self, key: ClassKey, previous: Option<&Outbound>) -> Arc<Outbound> {
        let snapshot = self.snapshot.clone();
        let scope = snapshot.scope(
            &key.namespace,
            snapshot.sidecars.by_ref(key.sidecar.as_deref()),
        );
        let view = View::new(&snapshot, &key, &scope);
        let line = previous.map_or_else(|| next_line(&mut self.lines), |p| p.line);
        let was = |pick: fn(&Outbound) -> &Arc<TypeSet>| previous.map(pick);
        let memos = &mut self.memos;
        let clusters = make(
            &mut memos.clusters,
            &Steps::CLUSTERS,
            cluster::plan(&view),
            was(|o| &o.clusters),
        );
        let endpoints = make(
            &mut memos.endpoints,
            &Steps::ENDPOINTS,
            endpoint::plan(&view).into(),
            was(|o| &o.endpoints),
        );
        let listeners = make(
            &mut memos.listeners,
            &Steps::LISTENERS,
            listener::plan(&view),
            was(|o| &o.listeners),
        );
        let routes = make(
            &mut memos.routes,
            &Steps::ROUTES,
            route::plan(&view),
            was(|o| &o.routes),
        );
        let names = make(
            &mut memos.names,
            &Steps::NAMES,
            name_table::plan(&view),
            was(|o| &o.names),
        );
        let others = [clusters.found, listeners.found, routes.found, names.found];
        let found: Vec<_> = others.iter().flat_map(Found::all).cloned().collect();
        let outbound = Arc::new(Outbound {
            line,
            clusters: clusters.set,
            endpoints: endpoints.set,
            listeners: listeners.set,
            routes: routes.set,
            names: names.set,
            diagnostics: sorted(found.iter().chain(endpoints.found.all())),
        });
        let class = Class {
            scope,
            outbound: outbound.clone(),
            found_of_endpoints: endpoints.found,
            found,
        };
        self.classes.insert(key, class);
        outbound
    }

    fn make_inbound(&mut self, key: &InboundKey, previous: Option<&Inbound>) -> Inbound {
        let memos = &mut self.memos;
        let clusters = make(
            &mut memos.clusters,
            &Steps::CLUSTERS,
            cluster::plan_inbound(key),
            previous.map(|p| &p.clusters),
        );
        let listeners = make(
            &mut memos.listeners,
            &Steps::LISTENERS,
            listener::plan_inbound(key),
            previous.map(|p| &p.listeners),
        );
        Inbound {
            line: next_line(&mut self.lines),
            clusters: clusters.set,
            listeners: listeners.set,
            diagnostics: sorted(clusters.found.all().chain(listeners.found.all())),
        }
    }

    fn remake_endpoints(&mut self, key: &ClassKey, changed: &BTreeSet<ServiceKey>) {
        let Some(class) = self.classes.get_mut(key) else {
            return;
        };
        let snapshot = self.snapshot.clone();
        let view = View::new(&snapshot, key, &class.scope);
        let all = view.imports.iter();
        let touched = all.filter(|i| changed.contains(&i.service.key));
        let items = endpoint::plan_services(&view, touched);
        let names: Vec<_> = items.iter().map(|i| i.name.clone()).collect();
        let memo = &mut self.memos.endpoints;
        let part = make(memo, &Steps::ENDPOINTS, items.into(), None);
        let old = class.outbound.clone();
        let mut all = old.endpoints.resources.clone();
        all.extend(
            part.set
                .resources
                .iter()
                .map(|(k, v)| (k.clone(), v.clone())),
        );
        let endpoints = TypeSet::next(Some(&old.endpoints), all);
        let diagnostics = match class.found_of_endpoints.renew(&names, &part.found) {
            false => old.diagnostics.clone(),
            true => sorted(class.found.iter().chain(class.found_of_endpoints.all())),
        };
        if Arc::ptr_eq(&endpoints, &old.endpoints) && diagnostics == old.diagnostics {
            return;
        }
        class.outbound = Arc::new(Outbound {
            endpoints,
            diagnostics,
            ..(*old).clone()
        });
    }

    fn remake_everything(&mut self) {
        self.deciding = Deciding::of(&self.snapshot);
        self.inbounds.clear();
        for (key, class) in std::mem::take(&mut self.classes) {
            self.make_class(key, Some(&class.outbound));
        }
    }
}

fn next_line(lines: &mut u64) -> u64 {
    *lines += 1;
    *lines
}

fn sorted<'a>(found: impl Iterator<Item = &'a Diagnostic>) -> Arc<[Diagnostic]> {
    found
        .collect::<BTreeSet<_>>()
        .into_iter()
        .cloned()
        .collect()
}

/// What clusters depend on of a service's endpoints: as whom they prove themselves, and whether all
/// of them can.
fn proven<'a>(
    snapshot: &'a Snapshot,
    key: &ServiceKey,
) -> (BTreeSet<(&'a Namespace, &'a ServiceAccount)>, bool) {
    let Some(endpoints) = snapshot.endpoints.service(key) else {
        return (BTreeSet::new(), false);
    };
    let as_one = cluster::mesh_tls::speaks_as_one(endpoints);
    (endpoints.accounts(), as_one)
}

/// What differs between two snapshots, by pointer; `endpoints` are known to differ.
fn extent(old: &Snapshot, new: &Snapshot, endpoints: &BTreeSet<ServiceKey>) -> Extent {
    let same = Arc::ptr_eq(&old.mesh, &new.mesh)
        && Arc::ptr_eq(&old.services, &new.services)
        && Arc::ptr_eq(&old.workloads, &new.workloads)
        && Arc::ptr_eq(&old.networks, &new.networks)
        && Arc::ptr_eq(&old.routes, &new.routes)
        && Arc::ptr_eq(&old.policies, &new.policies)
        && Arc::ptr_eq(&old.sidecars, &new.sidecars)
        && Arc::ptr_eq(&old.gateways, &new.gateways)
        && Arc::ptr_eq(&old.security, &new.security);
    // Endpoints of other services are also in listeners, clusters, or decide what a proxy serves.
    let only_eds = |key: &ServiceKey| {
        new.services.by_key(key).is_none_or(|service| {
            service.resolution == Resolution::Endpoints && service.selector.is_some()
        }) && proven(old, key) == proven(new, key)
    };
    match (same, endpoints.is_empty()) {
        (true, true) => Extent::Nothing,
        (true, false) if endpoints.iter().all(only_eds) => Extent::Endpoints,
        (true | false, _) => Extent::Everything,
    }
}
