//! The short way: the fields of machine-written kinds that the mesh reads, the rest skipped while
//! parsing. A field that the registry begins to read belongs in here too: the test that feeds one
//! mesh through a directory and through an API server fails without it.

use crate::check::Findings;
use crate::kinds::Kind;
use crate::kubernetes::{self, Watched};
use crate::meta::Positions;
use crate::object::{Object, Resource};
use crate::status::Status;
use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use meltemi_types::ClusterId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The object, when it is of a machine-written kind and nothing about it is odd.
pub(super) fn read(kind: Kind, json: &[u8], cluster: &ClusterId) -> Option<Object> {
    match kind {
        Kind::Pod => whole::<PodSpec, PodStatus, core::Pod>(json, cluster, pod),
        Kind::Node => whole::<Skipped, NodeStatus, core::Node>(json, cluster, node),
        Kind::Namespace => {
            let empty = |_, _| core::Namespace::default();
            whole::<Skipped, Skipped, core::Namespace>(json, cluster, empty)
        }
        Kind::Service => spec::<core::Service>(json, cluster),
        Kind::Ingress => spec::<networking::Ingress>(json, cluster),
        Kind::IngressClass => spec::<networking::IngressClass>(json, cluster),
        Kind::EndpointSlice => slice(json, cluster),
        Kind::Endpoints
        | Kind::VirtualService
        | Kind::DestinationRule
        | Kind::Sidecar
        | Kind::ServiceEntry
        | Kind::WorkloadEntry
        | Kind::WorkloadGroup
        | Kind::Gateway
        | Kind::PeerAuthentication
        | Kind::AuthorizationPolicy
        | Kind::RequestAuthentication
        | Kind::EnvoyFilter
        | Kind::ProxyConfig
        | Kind::Telemetry
        | Kind::WasmPlugin
        | Kind::TrafficExtension
        | Kind::MeshConfig => None,
    }
}

/// Metadata without owners, finalizers and managed fields.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeanMeta {
    name: Option<String>,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    generation: Option<i64>,
    uid: Option<String>,
    resource_version: Option<String>,
}

impl From<LeanMeta> for ObjectMeta {
    fn from(lean: LeanMeta) -> Self {
        Self {
            name: lean.name,
            namespace: lean.namespace,
            labels: lean.labels,
            annotations: lean.annotations,
            creation_timestamp: lean.creation_timestamp,
            generation: lean.generation,
            uid: lean.uid,
            resource_version: lean.resource_version,
            ..Self::default()
        }
    }
}

/// An object of whose parts some are wanted.
#[derive(Deserialize)]
#[serde(bound = "S: DeserializeOwned, T: DeserializeOwned")]
struct Lean<S, T> {
    metadata: LeanMeta,
    spec: Option<S>,
    status: Option<T>,
}

/// A part that is not wanted.
#[derive(Default, Deserialize)]
struct Skipped {}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: Option<String>,
    service_account_name: Option<String>,
    host_network: Option<bool>,
    hostname: Option<String>,
    subdomain: Option<String>,
    containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    ports: Option<Vec<core::ContainerPort>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<core::PodIP>>,
    conditions: Option<Vec<Condition>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    addresses: Option<Vec<core::NodeAddress>>,
}

fn pod(spec: Option<PodSpec>, status: Option<PodStatus>) -> core::Pod {
    let container = |container: Container| core::Container {
        name: container.name,
        ports: container.ports,
        ..Default::default()
    };
    let condition = |condition: Condition| core::PodCondition {
        type_: condition.kind,
        status: condition.status,
        ..Default::default()
    };
    core::Pod {
        metadata: ObjectMeta::default(),
        spec: spec.map(|spec| core::PodSpec {
            node_name: spec.node_name,
            service_account_name: spec.service_account_name,
            host_network: spec.host_network,
            hostname: spec.hostname,
            subdomain: spec.subdomain,
            containers: spec.containers.into_iter().map(container).collect(),
            ..Default::default()
        }),
        status: status.map(|status| core::PodStatus {
            phase: status.phase,
            pod_ip: status.pod_ip,
            pod_ips: status.pod_ips,
            conditions: status.conditions.map(|all| {
                let ready = all.into_iter().filter(|c| c.kind == "Ready");
                ready.map(condition).collect()
            }),
            ..Default::default()
        }),
    }
}

fn node(_spec: Option<Skipped>, status: Option<NodeStatus>) -> core::Node {
    core::Node {
        status: status.map(|status| core::NodeStatus {
            addresses: status.addresses,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A kind that the mesh keeps whole, made of the parts that are wanted.
fn whole<S: DeserializeOwned, T: DeserializeOwned, K: Watched<Spec = K>>(
    json: &[u8],
    cluster: &ClusterId,
    make: impl FnOnce(Option<S>, Option<T>) -> K,
) -> Option<Object>
where
    Object: From<Resource<K>>,
{
    let lean: Lean<S, T> = serde_json::from_slice(json).ok()?;
    let spec = make(lean.spec, lean.status);
    finish::<K>(cluster, lean.metadata, (spec, None))
}

/// A kind of which the mesh keeps the spec.
fn spec<K: Watched>(json: &[u8], cluster: &ClusterId) -> Option<Object>
where
    K::Spec: DeserializeOwned + Default,
    Object: From<Resource<K::Spec>>,
{
    let lean: Lean<K::Spec, Status> = serde_json::from_slice(json).ok()?;
    let status = lean.status.filter(|_| K::KIND == Kind::Service);
    let parts = (lean.spec.unwrap_or_default(), status.map(Arc::new));
    finish::<K>(cluster, lean.metadata, parts)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeanSlice {
    metadata: LeanMeta,
    address_type: String,
    endpoints: Vec<discovery::Endpoint>,
    ports: Option<Vec<discovery::EndpointPort>>,
}

fn slice(json: &[u8], cluster: &ClusterId) -> Option<Object> {
    let lean: LeanSlice = serde_json::from_slice(json).ok()?;
    let slice = discovery::EndpointSlice {
        metadata: ObjectMeta::default(),
        address_type: lean.address_type,
        endpoints: lean.endpoints,
        ports: lean.ports,
    };
    finish::<discovery::EndpointSlice>(cluster, lean.metadata, (slice, None))
}

/// The object, unless there is something to say about it.
fn finish<K: Watched>(
    cluster: &ClusterId,
    metadata: LeanMeta,
    (spec, status): (K::Spec, Option<Arc<Status>>),
) -> Option<Object>
where
    Object: From<Resource<K::Spec>>,
{
    let meta = kubernetes::meta(cluster, K::KIND, metadata.into()).ok()?;
    let mut found = match meta.namespace() {
        Some(namespace) => Findings::in_namespace(namespace.clone()),
        None => Findings::new(),
    };
    K::check(&spec, &mut found);
    found.is_empty().then(|| {
        let resource = Resource {
            meta,
            spec,
            status,
            positions: Positions::default(),
        };
        resource.into()
    })
}
