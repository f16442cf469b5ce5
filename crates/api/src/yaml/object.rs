//! What the type of a kind makes of a document.

use super::document::{Draft, ROOT_FIELDS};
use super::positions::{depth, positions};
use super::problem::Problem;
use super::tree::{Node, Value};
use super::{Admission, reader};
use crate::check::{Check, Findings};
use crate::extensions::{TrafficExtension, WasmPlugin};
use crate::kinds::Kind;
use crate::kubernetes::{self, REMOTE, Watched};
use crate::meta::Positions;
use crate::networking::destination_rule::DestinationRule;
use crate::networking::envoy_filter::EnvoyFilter;
use crate::networking::gateway::Gateway;
use crate::networking::proxy_config::ProxyConfig;
use crate::networking::service_entry::ServiceEntry;
use crate::networking::sidecar::Sidecar;
use crate::networking::virtual_service::VirtualService;
use crate::networking::workload_entry::WorkloadEntry;
use crate::networking::workload_group::WorkloadGroup;
use crate::object::{Object, Resource};
use crate::security::{
    AuthorizationPolicy, PeerAuthentication, RequestAuthentication, WorkloadSelector,
};
use crate::status::Status;
use crate::telemetry::Telemetry;
use k8s_openapi::api::networking::v1 as k8s_networking;
use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use meltemi_types::{Code, FieldPath, Selector, Severity};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The one condition that the mesh reads.
const HEALTHY: &str = "Healthy";

impl Draft<'_> {
    /// The object, as far as it can be read; what is wrong joins the problems.
    pub(super) fn read(&mut self, kind: Kind) -> Option<Object> {
        match kind {
            Kind::Service => self.kubernetes::<core::Service>(),
            Kind::EndpointSlice => self.kubernetes::<discovery::EndpointSlice>(),
            Kind::Endpoints => self.kubernetes::<core::Endpoints>(),
            Kind::Pod => self.kubernetes::<core::Pod>(),
            Kind::Namespace => self.kubernetes::<core::Namespace>(),
            Kind::Node => self.kubernetes::<core::Node>(),
            Kind::VirtualService => self.mesh::<VirtualService>(kind),
            Kind::DestinationRule => self.mesh::<DestinationRule>(kind),
            Kind::Sidecar => self.mesh::<Sidecar>(kind),
            Kind::ServiceEntry => self.mesh::<ServiceEntry>(kind),
            Kind::WorkloadEntry => self.mesh::<WorkloadEntry>(kind),
            Kind::WorkloadGroup => self.mesh::<WorkloadGroup>(kind),
            Kind::Gateway => self.mesh::<Gateway>(kind),
            Kind::Ingress => self.kubernetes::<k8s_networking::Ingress>(),
            Kind::IngressClass => self.kubernetes::<k8s_networking::IngressClass>(),
            Kind::PeerAuthentication => self.mesh::<PeerAuthentication>(kind),
            Kind::AuthorizationPolicy => self.mesh::<AuthorizationPolicy>(kind),
            Kind::RequestAuthentication => self.mesh::<RequestAuthentication>(kind),
            Kind::EnvoyFilter => self.mesh::<EnvoyFilter>(kind),
            Kind::ProxyConfig => self.mesh::<ProxyConfig>(kind),
            Kind::Telemetry => self.mesh::<Telemetry>(kind),
            Kind::WasmPlugin => self.mesh::<WasmPlugin>(kind),
            Kind::TrafficExtension => self.mesh::<TrafficExtension>(kind),
            // Comes in a ConfigMap, or bare.
            Kind::MeshConfig => None,
            Kind::Secret => self.kubernetes::<core::Secret>(),
            Kind::ConfigMap => self.kubernetes::<core::ConfigMap>(),
        }
    }

    /// Reads a Kubernetes kind.
    fn kubernetes<T>(&mut self) -> Option<Object>
    where
        T: Watched + DeserializeOwned,
        Object: From<Resource<T::Spec>>,
    {
        let mut problems = Vec::new();
        let whole = reader::read::<T>(self.root, &FieldPath::root(), &mut problems);
        problems.retain_mut(|problem| tolerate(T::KIND, problem));
        if T::KIND.is_credential() {
            problems.iter_mut().for_each(cover);
        }
        self.problems.append(&mut problems);
        let (metadata, spec) = whole?.split();
        let mut labels = metadata.labels.iter().flatten();
        if T::KIND == Kind::Secret && labels.any(|(k, v)| k == REMOTE && v == "true") {
            self.problems.push(Problem::remote());
        }
        let mut found = self.findings();
        T::check(&spec, &mut found);
        let before = self.problems.len();
        self.take(found);
        if self.source.admission != Admission::Pending {
            let refused = self.problems.iter_mut().skip(before);
            refused.for_each(|problem| problem.severity = Severity::Warning);
        }
        self.resource(T::KIND, metadata, spec)
    }

    /// Reads a mesh kind: `spec` is a `T`. What is wrong with the status is nobody's mistake.
    fn mesh<T>(&mut self, kind: Kind) -> Option<Object>
    where
        T: DeserializeOwned + Default + Check,
        Object: From<Resource<T>>,
    {
        if let Value::Map(entries) = &self.root.value {
            for entry in entries {
                if !ROOT_FIELDS.contains(&&*entry.key) {
                    let path = FieldPath::new(&entry.key);
                    let problem = Problem::unknown_field(path, &entry.key, ROOT_FIELDS);
                    self.problems.push(problem.at(entry.at));
                }
            }
        }
        let metadata = self.field::<ObjectMeta>("metadata");
        let spec = self.field::<T>("spec");
        if let Some(spec) = &spec {
            let mut found = self.findings();
            spec.check(&FieldPath::spec(), &mut found);
            self.take(found);
        }
        if !kind.has_effect() {
            self.problems.push(Problem::not_yet(kind.name()));
        }
        self.resource(kind, metadata?, spec?)
    }

    /// Findings about this object, none yet.
    fn findings(&self) -> Findings {
        let namespace = self.header.namespace.as_deref().unwrap_or("default");
        namespace
            .parse()
            .map_or_else(|_| Findings::new(), Findings::in_namespace)
    }

    fn take(&mut self, found: Findings) {
        self.problems
            .extend(found.into_vec().into_iter().map(Problem::from));
    }

    fn field<T: DeserializeOwned + Default>(&mut self, name: &str) -> Option<T> {
        match self.root.child(name) {
            Some(node) => reader::read(node, &FieldPath::new(name), &mut self.problems),
            None => Some(T::default()),
        }
    }

    fn resource<S>(&mut self, kind: Kind, metadata: ObjectMeta, spec: S) -> Option<Object>
    where
        Object: From<Resource<S>>,
    {
        let mut meta = kubernetes::meta(&self.source.cluster, kind, metadata).ok()?;
        let stored = self.source.admission == Admission::Stored;
        let positions = match stored {
            true => Positions::default(),
            false => positions(self.root, depth(kind)),
        };
        meta.location = (!stored).then(|| self.location());
        Some(Object::from(Resource {
            meta,
            spec,
            status: self.status(kind),
            positions,
        }))
    }

    /// The status, of the kinds whose status the mesh uses, as far as it does: what control planes
    /// say about an object there (our own words among it) makes it no other object.
    fn status(&self, kind: Kind) -> Option<Arc<Status>> {
        if !matches!(
            kind,
            Kind::ServiceEntry | Kind::WorkloadEntry | Kind::Service
        ) {
            return None;
        }
        let node = self.root.child("status")?;
        let read: Option<Status> = reader::read(node, &FieldPath::new("status"), &mut Vec::new());
        let mut status = read?;
        status
            .conditions
            .retain(|condition| condition.kind == HEALTHY);
        let says = kind == Kind::Service || status != Status::default();
        says.then(|| Arc::new(status))
    }
}

/// Says no more of a value that may be a key than that it cannot be read.
fn cover(problem: &mut Problem) {
    "cannot be read (the value is not shown)".clone_into(&mut problem.message);
    "values of data are base64, those of stringData are text".clone_into(&mut problem.remedy);
}

/// What Kubernetes' machinery writes into Pods and Nodes may be newer than we are, and status is
/// nobody's mistake. True when the problem stays.
fn tolerate(kind: Kind, problem: &mut Problem) -> bool {
    if problem.code != Code::UnknownField {
        return true;
    }
    if matches!(kind, Kind::Pod | Kind::Node) {
        problem.severity = Severity::Warning;
    }
    // Most Secrets and ConfigMaps are none of ours.
    !problem.path.as_str().starts_with("status") && !kind.is_credential()
}

/// The workloads that a broken security object selects, when that is beyond doubt.
pub(super) fn selector(kind: Kind, root: &Node) -> Option<Selector> {
    if !kind.is_security() {
        return None;
    }
    let selector = root.child("spec")?.child("selector")?;
    let mut problems = Vec::new();
    let read: WorkloadSelector = reader::read(selector, &FieldPath::root(), &mut problems)?;
    problems
        .is_empty()
        .then(|| Selector::new(read.match_labels.into_iter().collect()))
}
