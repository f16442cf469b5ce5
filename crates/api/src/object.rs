//! Every watched kind behind one enum. What is not in here is not part of the mesh.

use crate::extensions::{TrafficExtension, WasmPlugin};
use crate::kinds::Kind;
use crate::kubernetes::{Authorities, Credential, EndpointSlice, Pod};
use crate::mesh_config::MeshConfig;
use crate::meta::{Meta, Positions};
use crate::networking::{
    destination_rule::DestinationRule, envoy_filter::EnvoyFilter, gateway::Gateway,
    proxy_config::ProxyConfig, service_entry::ServiceEntry, sidecar::Sidecar,
    virtual_service::VirtualService, workload_entry::WorkloadEntry, workload_group::WorkloadGroup,
};
use crate::security::{AuthorizationPolicy, PeerAuthentication, RequestAuthentication};
use crate::status::Status;
use crate::telemetry::Telemetry;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1 as k8s_networking;
use meltemi_types::{FieldPath, Location, ObjectRef, Origin};
use std::sync::Arc;

/// An object of a kind whose spec is `T`.
///
/// Where the mesh needs more than the spec (Node, Namespace, Endpoints), `T` is the
/// whole Kubernetes type with its own metadata emptied: [`Meta`] has it. Of a Pod and of
/// an EndpointSlice it is what the mesh reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource<T> {
    /// Who it is.
    pub meta: Meta,
    /// What the user wrote.
    pub spec: T,
    /// What was found out about it; read for the kinds whose status the mesh uses.
    pub status: Option<Arc<Status>>,
    /// Where it was written; empty for objects of an API server.
    pub positions: Positions,
}

impl<T> Resource<T> {
    /// An object that was not read from a file.
    pub fn new(meta: Meta, spec: T) -> Self {
        Self {
            meta,
            spec,
            status: None,
            positions: Positions::default(),
        }
    }

    /// The whole object as the origin of something.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin::object(self.meta.object.clone(), self.meta.location.clone())
    }

    /// A field as the origin of something, with the line of the nearest known field above it.
    #[must_use]
    pub fn origin_at(&self, path: &FieldPath) -> Origin {
        let location = self.meta.location.as_ref().map(|start| {
            let (line, column) = self
                .positions
                .nearest(path)
                .unwrap_or((start.line, start.column));
            Location {
                file: start.file.clone(),
                line,
                column,
            }
        });
        Origin {
            object: self.meta.object.clone(),
            path: path.clone(),
            location,
        }
    }
}

macro_rules! objects {
    ($($(#[doc = $doc:literal])* $kind:ident($spec:ty),)*) => {
        /// An object of a watched kind. Clones share.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Object {
            $($(#[doc = $doc])* $kind(Arc<Resource<$spec>>),)*
        }

        impl Object {
            /// The metadata.
            #[must_use]
            pub fn meta(&self) -> &Meta {
                match self {
                    $(Self::$kind(object) => &object.meta,)*
                }
            }

            /// The kind.
            #[must_use]
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)*
                }
            }

            /// The whole object as an origin.
            #[must_use]
            pub fn origin(&self) -> Origin {
                match self {
                    $(Self::$kind(object) => object.origin(),)*
                }
            }

            /// A field of the object as an origin.
            #[must_use]
            pub fn origin_at(&self, path: &FieldPath) -> Origin {
                match self {
                    $(Self::$kind(object) => object.origin_at(path),)*
                }
            }
        }

        $(impl From<Resource<$spec>> for Object {
            fn from(resource: Resource<$spec>) -> Self {
                Self::$kind(Arc::new(resource))
            }
        })*
    };
}

objects! {
    /// A Service: a host of the mesh.
    Service(core::ServiceSpec),
    /// An EndpointSlice: where a Service's traffic goes.
    EndpointSlice(EndpointSlice),
    /// Endpoints: as slices, where there are none.
    Endpoints(core::Endpoints),
    /// A Pod: a workload.
    Pod(Pod),
    /// A Namespace, for its labels.
    Namespace(core::Namespace),
    /// A Node, for its locality.
    Node(core::Node),
    /// Routing rules.
    VirtualService(VirtualService),
    /// What happens to traffic after routing.
    DestinationRule(DestinationRule),
    /// What a workload sees and serves.
    Sidecar(Sidecar),
    /// Services that Kubernetes does not know.
    ServiceEntry(ServiceEntry),
    /// A workload that is no Pod.
    WorkloadEntry(WorkloadEntry),
    /// What the WorkloadEntries of workloads that register themselves look like.
    WorkloadGroup(WorkloadGroup),
    /// What a proxy at the edge of the mesh listens on.
    Gateway(Gateway),
    /// Kubernetes' own rules for traffic from outside.
    Ingress(k8s_networking::IngressSpec),
    /// Who serves which Ingress.
    IngressClass(k8s_networking::IngressClassSpec),
    /// Whether a workload demands mTLS.
    PeerAuthentication(PeerAuthentication),
    /// Who may do what.
    AuthorizationPolicy(AuthorizationPolicy),
    /// Which tokens are valid.
    RequestAuthentication(RequestAuthentication),
    /// Changes to generated Envoy configuration.
    EnvoyFilter(EnvoyFilter),
    /// Settings that proxies read when they start.
    ProxyConfig(ProxyConfig),
    /// What workloads report about their traffic.
    Telemetry(Telemetry),
    /// A WebAssembly program inside of proxies.
    WasmPlugin(WasmPlugin),
    /// A WebAssembly or Lua program inside of proxies.
    TrafficExtension(TrafficExtension),
    /// Settings of the whole mesh, as written: without the defaults.
    MeshConfig(MeshConfig),
    /// A certificate with its key, or authorities.
    Secret(Credential),
    /// Authorities.
    ConfigMap(Authorities),
}

impl Object {
    /// Cluster, kind, namespace and name.
    #[must_use]
    pub fn key(&self) -> &Arc<ObjectRef> {
        &self.meta().object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_the_line_of_the_nearest_field() {
        let mut meta = Meta::new(ObjectRef {
            cluster: Default::default(),
            kind: "Service".into(),
            namespace: Some("shop".parse().unwrap()),
            name: "reviews".parse().unwrap(),
        });
        meta.location = Some(Location {
            file: "a.yaml".into(),
            line: 2,
            column: 1,
        });
        let mut service = Resource::new(meta, core::ServiceSpec::default());
        let port = FieldPath::spec().field("ports").index(0);
        assert_eq!(service.origin_at(&port).location.unwrap().line, 2);
        service.positions = Positions::new(vec![("spec.ports".into(), 8, 3)]);
        let origin = service.origin_at(&port);
        assert_eq!(origin.location.unwrap().to_string(), "a.yaml:8:3");
        assert_eq!(Object::from(service).kind(), Kind::Service);
    }
}
