//! What a change can have touched: right, or too wide, never too narrow.

use crate::world::{Touched, World, slice_service};
use k8s_openapi::api::core::v1::Pod;
use meltemi_api::{Object, Resource};
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
    /// True when there is anything in it.
    pub(crate) fn any(&self) -> bool {
        self.all || !self.names.is_empty()
    }

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
    pub(crate) routes: bool,
    pub(crate) policies: bool,
    pub(crate) sidecars: bool,
    pub(crate) gateways: bool,
    pub(crate) security: bool,
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
            routes: true,
            policies: true,
            sidecars: true,
            gateways: true,
            security: true,
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
            Object::Pod(pod) => self.by_pod(world, pod),
            Object::Namespace(_) | Object::Node(_) => {
                self.workloads = true;
                self.endpoints = Services::everything();
            }
            Object::VirtualService(_) => self.routes = true,
            Object::DestinationRule(_) => self.policies = true,
            Object::Sidecar(_) => self.sidecars = true,
            Object::ServiceEntry(_) | Object::WorkloadEntry(_) | Object::WorkloadGroup(_) => {}
            Object::Gateway(_) => self.gateways = true,
            Object::Ingress(_) | Object::IngressClass(_) => {
                self.gateways = true;
                self.routes = true;
            }
            Object::PeerAuthentication(_)
            | Object::AuthorizationPolicy(_)
            | Object::RequestAuthentication(_) => self.security = true,
            Object::MeshConfig(_) => *self = Self::all(),
        }
    }

    /// A pod's labels, addresses and readiness reach the services of its namespace.
    fn by_pod(&mut self, world: &World, pod: &Arc<Resource<Pod>>) {
        self.workloads = true;
        let pod = &pod.meta.object;
        let neighbours = world
            .services
            .keys()
            .filter(|s| s.cluster == pod.cluster && s.namespace == pod.namespace);
        for service in neighbours {
            self.endpoints.add(service.clone());
        }
    }
}
