//! The short way: the fields of machine-written kinds that the mesh reads, the rest skipped while
//! parsing. A field that the registry begins to read belongs in here too: the test that feeds one
//! mesh through a directory and through an API server fails without it.

use crate::check::Findings;
use crate::kinds::Kind;
use crate::kubernetes::pod::Parts;
use crate::kubernetes::{self, EndpointSlice, SliceEndpoint, SlicePort, Watched};
use crate::meta::Positions;
use crate::object::{Object, Resource};
use crate::status::Status;
use crate::stored::Pool;
use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::api::{core::v1 as core, discovery::v1 as discovery};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use meltemi_types::ClusterId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The cluster that an object belongs to, and what it may share.
type Into<'a> = (&'a ClusterId, &'a mut Pool);

/// The object, when it is of a machine-written kind and nothing about it is odd.
pub(super) fn read(kind: Kind, json: &[u8], into: Into<'_>) -> Option<Object> {
    match kind {
        Kind::Pod => pod(json, into),
        Kind::Node => whole::<Skipped, NodeStatus, core::Node>(json, into, node),
        Kind::Namespace => {
            let empty = |_, _| core::Namespace::default();
            whole::<Skipped, Skipped, core::Namespace>(json, into, empty)
        }
        Kind::Service => spec::<core::Service>(json, into),
        Kind::Ingress => spec::<networking::Ingress>(json, into),
        Kind::IngressClass => spec::<networking::IngressClass>(json, into),
        Kind::EndpointSlice => slice(json, into),
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
        | Kind::MeshConfig
        | Kind::Secret
        | Kind::ConfigMap => None,
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
struct PodSpec<'a> {
    #[serde(borrow)]
    node_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    service_account_name: Option<Cow<'a, str>>,
    host_network: Option<bool>,
    #[serde(borrow)]
    hostname: Option<Cow<'a, str>>,
    #[serde(borrow)]
    subdomain: Option<Cow<'a, str>>,
    #[serde(borrow)]
    containers: Vec<Container<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container<'a> {
    #[serde(borrow)]
    ports: Option<Vec<ContainerPort<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerPort<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    container_port: i32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodStatus<'a> {
    #[serde(borrow)]
    phase: Option<Cow<'a, str>>,
    #[serde(rename = "podIP", borrow)]
    pod_ip: Option<Cow<'a, str>>,
    #[serde(rename = "podIPs", borrow)]
    pod_ips: Option<Vec<PodIp<'a>>>,
    #[serde(borrow)]
    conditions: Option<Vec<Condition<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodIp<'a> {
    #[serde(borrow)]
    ip: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    addresses: Option<Vec<core::NodeAddress>>,
}

/// A Pod, without its annotations: the mesh reads none of them.
fn pod(json: &[u8], mut into: Into<'_>) -> Option<Object> {
    #[derive(Deserialize)]
    struct LeanPod<'a> {
        metadata: LeanMeta,
        #[serde(borrow, default)]
        spec: Option<PodSpec<'a>>,
        #[serde(borrow, default)]
        status: Option<PodStatus<'a>>,
    }
    let LeanPod {
        mut metadata,
        spec,
        status,
    } = serde_json::from_slice(json).ok()?;
    metadata.annotations = None;
    let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
    let ports = spec
        .containers
        .iter()
        .flat_map(|c| c.ports.iter().flatten());
    let ips = status.pod_ips.iter().flatten().map(|ip| &*ip.ip);
    let mut conditions = status.conditions.iter().flatten();
    let parts = Parts {
        node: spec.node_name.as_deref(),
        account: spec.service_account_name.as_deref(),
        host_network: spec.host_network,
        hostname: spec.hostname.as_deref(),
        subdomain: spec.subdomain.as_deref(),
        ports: ports
            .filter_map(|port| Some((port.name.as_deref()?, port.container_port)))
            .collect(),
        ips: status.pod_ip.as_deref().into_iter().chain(ips).collect(),
        phase: status.phase.as_deref(),
        ready: conditions
            .find(|condition| condition.kind == "Ready")
            .map(|condition| &*condition.status),
    };
    let mut pod = parts.pod();
    let (_, pool) = &mut into;
    pod.node = parts.node.map(|node| pool.text(node));
    pod.ports = pool.ports(pod.ports);
    finish::<core::Pod>(into, metadata, (pod, None))
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
    into: Into<'_>,
    make: impl FnOnce(Option<S>, Option<T>) -> K,
) -> Option<Object>
where
    Object: From<Resource<K>>,
{
    let lean: Lean<S, T> = serde_json::from_slice(json).ok()?;
    let spec = make(lean.spec, lean.status);
    finish::<K>(into, lean.metadata, (spec, None))
}

/// A kind of which the mesh keeps the spec.
fn spec<K: Watched>(json: &[u8], into: Into<'_>) -> Option<Object>
where
    K::Spec: DeserializeOwned + Default,
    Object: From<Resource<K::Spec>>,
{
    let lean: Lean<K::Spec, Status> = serde_json::from_slice(json).ok()?;
    let status = lean.status.filter(|_| K::KIND == Kind::Service);
    let parts = (lean.spec.unwrap_or_default(), status.map(Arc::new));
    finish::<K>(into, lean.metadata, parts)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LeanSlice {
    metadata: LeanMeta,
    address_type: String,
    endpoints: Vec<LeanEndpoint>,
    ports: Option<Vec<LeanPort>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeanEndpoint {
    addresses: Vec<Box<str>>,
    conditions: Option<discovery::EndpointConditions>,
    target_ref: Option<Target>,
    zone: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    kind: Option<String>,
    name: Option<Box<str>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LeanPort {
    name: Option<String>,
    port: Option<i32>,
}

fn slice(json: &[u8], (cluster, pool): Into<'_>) -> Option<Object> {
    let lean: LeanSlice = serde_json::from_slice(json).ok()?;
    let endpoint = |lean: LeanEndpoint| {
        let conditions = lean.conditions.unwrap_or_default();
        let target = lean.target_ref.unwrap_or_default();
        SliceEndpoint {
            addresses: lean.addresses.into(),
            ready: conditions.ready,
            serving: conditions.serving,
            terminating: conditions.terminating,
            pod: target
                .name
                .filter(|_| target.kind.as_deref() == Some("Pod")),
            zone: lean.zone.map(|zone| pool.text(&zone)),
        }
    };
    let endpoints = lean.endpoints.into_iter().map(endpoint).collect();
    let port = |lean: LeanPort| SlicePort {
        name: pool.text(lean.name.as_deref().unwrap_or_default()),
        port: lean.port,
    };
    let ports = lean.ports.into_iter().flatten().map(port).collect();
    let slice = EndpointSlice {
        address_type: pool.text(&lean.address_type),
        endpoints,
        ports,
    };
    finish::<discovery::EndpointSlice>((cluster, pool), lean.metadata, (slice, None))
}

/// The object, unless there is something to say about it.
fn finish<K: Watched>(
    (cluster, pool): Into<'_>,
    metadata: LeanMeta,
    (spec, status): (K::Spec, Option<Arc<Status>>),
) -> Option<Object>
where
    Object: From<Resource<K::Spec>>,
{
    let mut meta = kubernetes::meta(cluster, K::KIND, metadata.into()).ok()?;
    meta.labels = pool.labels(meta.labels);
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
