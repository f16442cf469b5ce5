//! How the mesh changes: object changes are folded into the next [`Snapshot`].
//!
//! [`Registry::apply`] records a change and what it can have touched; [`Registry::publish`]
//! rebuilds just that. What comes out equal stays the same `Arc`, so that everything behind can
//! tell by pointer what did not change. Folding changes one by one gives the same snapshot as
//! reading the final state at once.

mod dirty;
mod discovery;
mod endpoints;
mod ingest;
mod link;
mod settings;
mod world;

use dirty::Dirty;
use discovery::Discovery;
use ingest::allocate::Allocations;
use link::routes::RouteHistory;
use meltemi_api::mesh_config::MeshConfig;
use meltemi_api::{Change, Resource};
use meltemi_model::{Mesh, Service, ServiceEndpoints, ServiceIndex, ServiceKey, Snapshot};
use meltemi_types::{Diagnostic, ObjectRef};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use world::World;

pub use settings::Settings;

/// The objects of mesh kinds that an API server holds and that take part, each with the generation
/// that the snapshot was made from, broken or not.
pub type Subjects = BTreeMap<Arc<ObjectRef>, i64>;

/// The ServiceEntries that take addresses which were handed out, each with those and the host that
/// has them.
pub type Allocated = BTreeMap<Arc<ObjectRef>, Arc<[(Arc<str>, IpAddr)]>>;

/// A new snapshot, and the services whose endpoints differ from the one before.
#[derive(Clone, Debug)]
pub struct Published {
    /// The mesh now.
    pub snapshot: Arc<Snapshot>,
    /// Services whose endpoints differ.
    pub endpoints: BTreeSet<ServiceKey>,
    /// The same pointer as before when nothing of it differs.
    pub subjects: Arc<Subjects>,
    /// The same pointer as before when nothing of it differs.
    pub allocated: Arc<Allocated>,
    /// The mesh configuration as it was written, if it was.
    pub mesh: Option<Arc<Resource<MeshConfig>>>,
}

/// The raw objects and the snapshot made from them. One owner, never shared.
#[derive(Debug)]
pub struct Registry {
    settings: Settings,
    discovery: Discovery,
    world: World,
    dirty: Dirty,
    snapshot: Arc<Snapshot>,
    services: BTreeMap<ServiceKey, Arc<Service>>,
    endpoints: BTreeMap<ServiceKey, Arc<ServiceEndpoints>>,
    allocations: Allocations,
    routes: RouteHistory,
}

impl Registry {
    /// An empty mesh.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            discovery: Discovery::default(),
            world: World::default(),
            dirty: Dirty::all(),
            snapshot: Arc::default(),
            services: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            allocations: Allocations::default(),
            routes: RouteHistory::default(),
            settings,
        }
    }

    /// Records a change. Cheap; nothing is rebuilt before [`Registry::publish`].
    pub fn apply(&mut self, change: Change) {
        let change = discovery::of_revision(change, &self.settings);
        let review = self.discovery.observe(&change);
        if let Some(change) = self.discovery.admit(change) {
            self.fold(change);
        }
        if review {
            let mesh = ingest::mesh::chosen(&self.world, &self.settings);
            let selectors = mesh.map_or(&[][..], |mesh| &mesh.spec.discovery_selectors);
            for change in self.discovery.review(selectors, &self.world) {
                self.fold(change);
            }
        }
    }

    fn fold(&mut self, change: Change) {
        let touched = self.world.apply(change, &mut self.dirty);
        self.dirty.by_touch(&self.world, &touched);
    }

    /// True when something was applied that is not published yet.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.dirty != Dirty::default()
    }

    /// The snapshot as last published.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Rebuilds what the changes since the last call can have touched.
    pub fn publish(&mut self) -> Published {
        let dirty = std::mem::take(&mut self.dirty);
        let mut next = Snapshot::clone(&self.snapshot);
        if dirty.mesh {
            keep(
                &mut next.mesh,
                ingest::mesh::mesh(&self.world, &self.settings),
            );
        }
        if dirty.workloads {
            keep(&mut next.workloads, ingest::workload::index(&self.world));
        }
        if dirty.networks {
            keep(&mut next.networks, ingest::network::index(&self.world));
        }
        self.rebuild_services(&dirty, &mut next);
        let endpoints = self.rebuild_endpoints(&dirty, &mut next);
        if dirty.policies {
            keep(
                &mut next.policies,
                ingest::policy::index(&self.world, &next.mesh),
            );
        }
        if dirty.sidecars {
            keep(&mut next.sidecars, ingest::sidecar::index(&self.world));
        }
        if dirty.gateways {
            let gateways = ingest::gateway::index(&self.world, &next.mesh, &self.settings);
            keep(&mut next.gateways, gateways);
        }
        if dirty.security {
            keep(&mut next.security, ingest::security::index(&self.world));
        }
        if dirty.proxy_configs {
            let all = self.world.proxy_configs.values().cloned().collect();
            keep(&mut next.proxy_configs, all);
        }
        if dirty.routes || dirty.policies {
            let routes = self.routes.index(&self.world, &next.mesh, &next.policies);
            keep(&mut next.routes, routes);
        }
        let diagnostics = self.diagnostics(&next);
        if *next.diagnostics != *diagnostics {
            next.diagnostics = diagnostics;
        }
        self.snapshot = Arc::new(next);
        Published {
            snapshot: self.snapshot.clone(),
            endpoints,
            subjects: self.world.subjects.clone(),
            allocated: self.allocations.by_entry().clone(),
            mesh: ingest::mesh::chosen(&self.world, &self.settings).cloned(),
        }
    }

    fn rebuild_services(&mut self, dirty: &Dirty, next: &mut Snapshot) {
        let mut keys: BTreeSet<ServiceKey> = match dirty.services.names() {
            Some(names) => names
                .iter()
                .filter_map(|o| ingest::service::key(o, &self.settings))
                .collect(),
            None => {
                let objects = self.world.services.keys();
                let now = objects.filter_map(|o| ingest::service::key(o, &self.settings));
                let entries = self.world.entry_keys().cloned();
                now.chain(entries)
                    .chain(self.services.keys().cloned())
                    .collect()
            }
        };
        keys.extend(dirty.entries.iter().cloned());
        if dirty.services.names().is_none() || !dirty.entries.is_empty() {
            keys.extend(self.allocations.renew(&self.world));
        }
        let mut changed = false;
        for key in keys {
            let service = self.service(&key, &next.mesh);
            changed |= replace(&mut self.services, key, service);
        }
        if changed {
            next.services = Arc::new(ServiceIndex::new(self.services.clone()));
        }
    }

    /// The service of a key: Kubernetes' own before what entries declare.
    fn service(&self, key: &ServiceKey, mesh: &Mesh) -> Option<Service> {
        let own = ingest::service::kubernetes(key, &self.world, &self.settings, mesh);
        own.or_else(|| {
            let entries = self.world.entries(key);
            ingest::entry::service(key, &entries, self.allocations.of(key), mesh)
        })
    }

    fn rebuild_endpoints(&mut self, dirty: &Dirty, next: &mut Snapshot) -> BTreeSet<ServiceKey> {
        let keys: BTreeSet<ServiceKey> = match dirty.endpoints.names() {
            Some(names) => names
                .iter()
                .filter_map(|o| ingest::service::key(o, &self.settings))
                .chain(dirty.entries.iter().cloned())
                .chain(dirty.entry_endpoints.iter().cloned())
                .collect(),
            None => self
                .services
                .keys()
                .chain(self.endpoints.keys())
                .cloned()
                .collect(),
        };
        let mut changed = BTreeSet::new();
        for key in keys {
            let found = self.services.get(&key).map(|service| {
                let old = self.endpoints.get(&key).map(|e| &**e);
                let input = endpoints::Input {
                    service,
                    world: &self.world,
                    workloads: &next.workloads,
                    settings: &self.settings,
                };
                endpoints::of_service(&input, old)
            });
            if replace(&mut self.endpoints, key.clone(), found) {
                changed.insert(key);
            }
        }
        if !changed.is_empty() {
            next.endpoints = Arc::new(meltemi_model::EndpointIndex::new(self.endpoints.clone()));
        }
        changed
    }

    fn diagnostics(&self, next: &Snapshot) -> Arc<[Diagnostic]> {
        let mut all: BTreeSet<Diagnostic> = self.world.diagnostics().cloned().collect();
        all.extend(self.routes.diagnostics().cloned());
        all.extend(link::checks(next));
        all.into_iter().collect()
    }
}

/// Replaces a part of the snapshot unless the new one is equal.
fn keep<T: PartialEq>(slot: &mut Arc<T>, new: T) {
    if **slot != new {
        *slot = Arc::new(new);
    }
}

/// Replaces an entry unless the new value is equal; true when something changed.
fn replace<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, Arc<V>>, key: K, value: Option<V>) -> bool {
    match value {
        Some(value) if map.get(&key).is_some_and(|old| **old == value) => false,
        Some(value) => {
            map.insert(key, Arc::new(value));
            true
        }
        None => map.remove(&key).is_some(),
    }
}
