//! Whose configuration: a node id, a Pod among the input, or Envoy's own node as a file.
//!
//! A Pod becomes what an injected proxy of it would say of itself. A node id alone says nothing
//! more than it holds: traffic capture is REDIRECT, labels come from the Pod of its address.

use crate::failure::{Failure, INTERNAL, NO_INPUT, UNREADABLE};
use meltemi_model::proxy::NodeFacts;
use meltemi_model::{Proxy, Snapshot, Workload};
use meltemi_proto::pool;
use meltemi_types::{Locality, NodeId};
use serde_json::{Map, Value, json};
use std::path::Path;

/// How a proxy's traffic is captured, when the Pod says so.
pub(crate) const INTERCEPTION_MODE: &str = "sidecar.istio.io/interceptionMode";

/// How many near names a message offers.
const NEAR: usize = 3;

/// A proxy, as it would describe itself.
#[derive(Debug)]
pub(crate) struct Node {
    facts: NodeFacts,
    cluster: String,
}

impl Node {
    /// What a proxy of a scenario says.
    pub(crate) fn new(facts: NodeFacts, cluster: String) -> Self {
        Self { facts, cluster }
    }

    /// What a node id alone says.
    pub(crate) fn from_id(id: &str) -> Result<Self, Failure> {
        let parsed: NodeId = id
            .parse()
            .map_err(|e| Failure::usage(format!("--proxy: {e}, or pod/NAMESPACE/NAME")))?;
        Ok(Self {
            cluster: parsed.id.to_string(),
            facts: NodeFacts {
                id: id.to_owned(),
                ..NodeFacts::default()
            },
        })
    }

    /// What the proxy of a Pod says.
    pub(crate) fn from_workload(workload: &Workload, interception: Option<&str>) -> Self {
        let namespace = &workload.key.namespace;
        let name = &workload.key.name;
        let ip = workload.ips.first().map(ToString::to_string);
        let id = format!(
            "sidecar~{}~{name}.{namespace}~{namespace}.svc.cluster.local",
            ip.unwrap_or_default()
        );
        Self {
            cluster: format!("{}.{namespace}", workload.workload_name),
            facts: NodeFacts {
                id,
                metadata: metadata(workload, interception),
                locality: workload.locality.clone(),
                extensions: Vec::new(),
            },
        }
    }

    /// What a file says, Envoy's `core.v3.Node` as JSON.
    pub(crate) fn from_file(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        let bytes = std::fs::read(path).map_err(|e| {
            let missing = e.kind() == std::io::ErrorKind::NotFound;
            let code = if missing { NO_INPUT } else { UNREADABLE };
            Failure::new(code, format!("--node {shown}: {e}"))
        })?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|e| Failure::new(UNREADABLE, format!("--node {shown} is not JSON: {e}")))?;
        let message = pool::message_from_json("envoy.config.core.v3.Node", &value)
            .map_err(|e| Failure::new(UNREADABLE, format!("--node {shown}: {e}")))?;
        let node = pool::message_to_json(&message)
            .map_err(|e| Failure::new(INTERNAL, format!("--node {shown}: {e}")))?;
        let read = Self::from_json(&node);
        let understood = Proxy::understand(&read.facts);
        understood.map_err(|e| Failure::new(UNREADABLE, format!("--node {shown}: {e}")))?;
        Ok(read)
    }

    fn from_json(node: &Value) -> Self {
        let text = |at: &Value, key: &str| {
            let text = at.get(key).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let place = node.get("locality").cloned().unwrap_or_default();
        let extensions = node.get("extensions").and_then(Value::as_array);
        let metadata = node.get("metadata").and_then(Value::as_object);
        Self {
            cluster: text(node, "cluster"),
            facts: NodeFacts {
                id: text(node, "id"),
                metadata: metadata.cloned().unwrap_or_default(),
                locality: Locality {
                    region: text(&place, "region").into(),
                    zone: text(&place, "zone").into(),
                    subzone: text(&place, "sub_zone").into(),
                },
                extensions: extensions
                    .into_iter()
                    .flatten()
                    .map(|extension| text(extension, "name"))
                    .collect(),
            },
        }
    }

    /// The proxy, as the control plane understands it.
    pub(crate) fn proxy(&self) -> Result<Proxy, Failure> {
        Proxy::understand(&self.facts).map_err(|e| Failure::usage(format!("the proxy: {e}")))
    }

    /// The DNS suffix of the proxy's cluster, when its id says so.
    pub(crate) fn domain(&self) -> Option<String> {
        let id: NodeId = self.facts.id.parse().ok()?;
        let (_, domain) = id.domain.split_once(".svc.")?;
        (!domain.is_empty()).then(|| domain.to_owned())
    }

    /// The node of a document.
    pub(crate) fn document(&self) -> Value {
        meltemi_translate::document::node(&self.facts, &self.cluster)
    }

    /// The node of a bootstrap.
    pub(crate) fn bootstrap(&self) -> meltemi_bootstrap::NodeFacts {
        let locality = &self.facts.locality;
        meltemi_bootstrap::NodeFacts {
            id: self.facts.id.clone(),
            cluster: self.cluster.clone(),
            metadata: self.facts.metadata.clone(),
            locality: (*locality != Locality::default()).then(|| locality.clone()),
        }
    }
}

/// The Pod `NS/NAME`; where there is none, the failure names those that are near.
pub(crate) fn find_pod<'a>(
    snapshot: &'a Snapshot,
    (namespace, name): (&str, &str),
) -> Result<&'a Workload, Failure> {
    let mut all = snapshot.workloads.iter();
    let found = all.find(|w| w.key.namespace.as_str() == namespace && w.key.name.as_str() == name);
    if let Some(workload) = found {
        return Ok(workload);
    }
    let wanted = format!("{namespace}/{name}");
    let mut near: Vec<(usize, String)> = snapshot
        .workloads
        .iter()
        .map(|w| format!("{}/{}", w.key.namespace, w.key.name))
        .map(|pod| (strsim::levenshtein(&wanted, &pod), pod))
        .collect();
    near.sort();
    let near: Vec<String> = near
        .into_iter()
        .take(NEAR)
        .map(|(_, pod)| format!("pod/{pod}"))
        .collect();
    let what = format!("--proxy: there is no Pod {wanted} with an address (status.podIP)");
    Err(Failure::usage(match near.is_empty() {
        true => format!("{what}; add it to the input, or name the proxy by its node id"),
        false => format!("{what}; the nearest are {}", near.join(", ")),
    }))
}

/// Istio's keys, as far as they matter to what the proxy is told.
fn metadata(workload: &Workload, interception: Option<&str>) -> Map<String, Value> {
    let ips: Vec<String> = workload.ips.iter().map(ToString::to_string).collect();
    let ports: Vec<Value> = workload
        .ports
        .iter()
        .map(|(name, port)| json!({"name": name.as_str(), "containerPort": port}))
        .collect();
    let mode = match interception {
        Some(mode @ ("NONE" | "TPROXY")) => mode,
        Some(_) | None => "REDIRECT",
    };
    let labels: Map<String, Value> = workload
        .labels
        .iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    let mut all = Map::new();
    let mut put = |key: &str, value: Value| all.insert(key.to_owned(), value);
    put("CLUSTER_ID", workload.key.cluster.as_str().into());
    put("INSTANCE_IPS", ips.join(",").into());
    put("INTERCEPTION_MODE", mode.into());
    put("LABELS", Value::Object(labels));
    put("NAME", workload.key.name.as_str().into());
    put("NAMESPACE", workload.key.namespace.as_str().into());
    put("WORKLOAD_NAME", (&*workload.workload_name).into());
    if !ports.is_empty() {
        put("POD_PORTS", Value::Array(ports).to_string().into());
    }
    if let Some(account) = &workload.account {
        put("SERVICE_ACCOUNT", account.as_str().into());
    }
    if let Some(node) = &workload.node {
        put("NODE_NAME", (&**node).into());
    }
    if let Some(network) = &workload.network {
        put("NETWORK", network.as_str().into());
    }
    all
}
