//! What a change can have touched: right, or too wide, never too narrow.

use crate::ingest::entry;
use crate::ingest::workload::NETWORK;
use crate::world::{Touched, World, slice_service};
use meltemi_api::Object;
use meltemi_model::ServiceKey;
use meltemi_types::ObjectRef;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A set of Services, or all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Services {
    all: bool,
    names: BTreeSet<Arc<ObjectRef>>,
}

impl Services {
    /// The names; `None` for all.
    pub(crate) fn names(&self) -> Option<&BTreeSet<Arc<ObjectRef>>> {
        (!self.all).then_some(&self.names)
    }

    fn add(&mut self, name: Arc<ObjectRef>) {
        if !self.all {
            self.names.insert(name);
        }
    }

    fn everything() -> Self {
        Self {
            all: true,
            names: BTreeSet::new(),
        }
    }
}

/// The parts of the snapshot that must be looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dirty {
    pub(crate) mesh: bool,
    pub(crate) workloads: bool,
    pub(crate) services: Services,
    pub(crate) endpoints: Services,
    /// What changed ServiceEntries declare, or declared.
    pub(crate) entries: BTreeSet<ServiceKey>,
    /// What ServiceEntries declare whose endpoints may differ.
    pub(crate) entry_endpoints: BTreeSet<ServiceKey>,
    pub(crate) networks: bool,
    pub(crate) routes: bool,
    pub(crate) policies: bool,
    pub(crate) sidecars: bool,
    pub(crate) gateways: bool,
    pub(crate) security: bool,
    pub(crate) proxy_configs: bool,
    pub(crate) diagnostics: bool,
}

impl Dirty {
    /// Everything.
    pub(crate) fn all() -> Self {
        Self {
            mesh: true,
            workloads: true,
            services: Services::everything(),
            endpoints: Services::everything(),
            entries: BTreeSet::new(),
            entry_endpoints: BTreeSet::new(),
            networks: true,
            routes: true,
            policies: true,
            sidecars: true,
            gateways: true,
            security: true,
            proxy_configs: true,
            diagnostics: true,
        }
    }

    /// Adds what a changed object can have touched.
    pub(crate) fn by_touch(&mut self, world: &World, touched: &Touched) {
        for object in [&touched.old, &touched.new].into_iter().flatten() {
            self.by_object(world, object);
        }
    }

    fn by_object(&mut self, world: &World, object: &Object) {
        match object {
            Object::Service(service) => {
                self.services.add(service.meta.object.clone());
                // Ingresses name its ports.
                self.routes |= !world.ingresses.is_empty();
                self.endpoints.add(service.meta.object.clone());
                self.networks |= service.meta.labels.value(NETWORK).is_some();
            }
            Object::EndpointSlice(slice) => {
                if let Some(service) = slice_service(slice) {
                    self.endpoints.add(service);
                }
            }
            Object::Endpoints(endpoints) => {
                let object = ObjectRef {
                    kind: "Service".into(),
                    ..ObjectRef::clone(&endpoints.meta.object)
                };
                self.endpoints.add(Arc::new(object));
            }
            Object::Pod(pod) => self.by_workload(world, &pod.meta.object),
            Object::Namespace(_) | Object::Node(_) => {
                self.workloads = true;
                self.networks = true;
                self.endpoints = Services::everything();
            }
            Object::VirtualService(_) => self.routes = true,
            Object::DestinationRule(_) => self.policies = true,
            Object::Sidecar(_) => self.sidecars = true,
            Object::Gateway(_) => self.gateways = true,
            Object::Ingress(_) | Object::IngressClass(_) => {
                self.gateways = true;
                self.routes = true;
            }
            Object::ServiceEntry(entry) => self.entries.extend(entry::keys(entry)),
            Object::WorkloadEntry(entry) => self.by_workload(world, &entry.meta.object),
            // A template has no effect before workloads register themselves.
            Object::WorkloadGroup(_) => {}
            Object::ProxyConfig(_) => self.proxy_configs = true,
            // Read and checked, but nothing is made of them yet.
            Object::EnvoyFilter(_)
            | Object::Telemetry(_)
            | Object::WasmPlugin(_)
            | Object::TrafficExtension(_) => {}
            // Proxies get them beside the mesh.
            Object::Secret(_) | Object::ConfigMap(_) => {}
            Object::PeerAuthentication(_)
            | Object::AuthorizationPolicy(_)
            | Object::RequestAuthentication(_) => self.security = true,
            Object::MeshConfig(_) => *self = Self::all(),
        }
    }

    /// A workload's labels, addresses and readiness reach the services of its namespace.
    fn by_workload(&mut self, world: &World, workload: &ObjectRef) {
        self.workloads = true;
        if self.endpoints.all {
            return;
        }
        let neighbours = world
            .services
            .keys()
            .filter(|s| s.cluster == workload.cluster && s.namespace == workload.namespace);
        for service in neighbours {
            self.endpoints.add(service.clone());
        }
        if let Some(namespace) = &workload.namespace {
            let entries = world.selecting(namespace);
            let keys = entries.flat_map(|entry| entry::keys(entry));
            self.entry_endpoints.extend(keys);
        }
    }
}
