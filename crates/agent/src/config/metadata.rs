//! Who the proxy says it is: the node id, cluster, locality and Istio's metadata keys.
//!
//! Built as Istio builds it: `ISTIO_META_X` of ProxyConfig, then of the environment, then
//! `ISTIO_METAJSON_*`, then what is computed, then the files of the downward API.

use super::{Given, Network};
use meltemi_api::mesh_config::{ProxyConfig, TracingServiceName};
use meltemi_bootstrap::NodeFacts;
use meltemi_types::Locality;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The version of Istio that we speak as.
const ISTIO: &str = "1.31.0";
/// Prefix of the variables that become metadata.
const META: &str = "ISTIO_META_";
/// What Istio's own charts say when nothing is said.
const UNSAID: &str = "istio-proxy";

/// The node. A proxy that is `certified` asks the agent for its certificate.
pub(super) fn node(
    given: &Given<'_>,
    proxy: &ProxyConfig,
    (network, certified): (&Network, bool),
) -> Result<NodeFacts, String> {
    let pod = required(given, ("POD_NAME", "metadata.name"))?;
    let namespace = required(given, ("POD_NAMESPACE", "metadata.namespace"))?;
    let address = network.own.first().map(ToString::to_string);
    let domain = match given.args.domain.as_str() {
        "" => format!("{namespace}.svc.cluster.local"),
        domain => domain.to_owned(),
    };
    let kind = given.args.role.word();
    let id = format!(
        "{kind}~{}~{pod}.{namespace}~{domain}",
        address.unwrap_or_default()
    );
    let mut metadata = said(given, proxy)?;
    let fixed = json!({
        "NAME": pod,
        "NAMESPACE": namespace,
        "INSTANCE_IPS": network.own.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        "ISTIO_VERSION": ISTIO,
        "MELTEMI_CERTIFICATES": if certified { "SDS" } else { "NONE" },
        "PROXY_CONFIG": proxy,
        "ANNOTATIONS": given.pod.annotations,
    });
    if let Value::Object(fixed) = fixed {
        metadata.extend(fixed);
    }
    copy(given, &mut metadata);
    let mut labels = labels(given, &metadata);
    let locality = locality(&mut labels);
    let cluster = cluster(given, proxy, (&labels, &metadata, namespace));
    metadata.insert("LABELS".into(), json!(labels));
    let mut node = NodeFacts::new(id, cluster);
    node.metadata = metadata;
    node.locality = locality;
    Ok(node)
}

fn required<'a>(given: &'a Given<'_>, (name, field): (&str, &str)) -> Result<&'a str, String> {
    given.env.text(name).ok_or_else(|| {
        format!("{name} is not set; take it from the downward API (fieldRef {field}), or set it")
    })
}

/// What users say by variables.
fn said(given: &Given<'_>, proxy: &ProxyConfig) -> Result<Map<String, Value>, String> {
    let mut all = Map::new();
    for (name, value) in &proxy.proxy_metadata {
        if let Some(key) = name.strip_prefix(META) {
            all.insert(key.to_owned(), json!(value));
        }
    }
    for (key, value) in given.env.with_prefix(META) {
        all.insert(key.to_owned(), json!(value));
    }
    for (name, value) in given.env.with_prefix("ISTIO_METAJSON_") {
        let wrong = |e| format!("ISTIO_METAJSON_{name} is no JSON object: {e}; correct it");
        let object: Map<String, Value> = serde_json::from_str(value).map_err(wrong)?;
        match name {
            "LABELS" => {
                all.insert("STATIC_LABELS".into(), Value::Object(object.clone()));
                all.insert("LABELS".into(), Value::Object(object));
            }
            _ => all.extend(object),
        }
    }
    all.entry("CLUSTER_ID").or_insert(json!("Kubernetes"));
    all.entry("INTERCEPTION_MODE")
        .or_insert_with(|| match proxy.interception_mode {
            Some(mode) => json!(mode),
            None => json!("REDIRECT"),
        });
    Ok(all)
}

/// Variables of the agent that the control plane wants to know too.
fn copy(given: &Given<'_>, metadata: &mut Map<String, Value>) {
    for name in [
        "SERVICE_ACCOUNT",
        "DNS_PROXY_ADDR",
        "ENVOY_STATUS_PORT",
        "ENVOY_PROMETHEUS_PORT",
        "EXIT_ON_ZERO_ACTIVE_CONNECTIONS",
    ] {
        if let Some(text) = given.env.text(name) {
            metadata.insert(name.to_owned(), json!(text));
        }
    }
    if !given.args.outlier_log.is_empty() {
        metadata.insert("OUTLIER_LOG_PATH".to_owned(), json!(given.args.outlier_log));
    }
}

/// The pod's labels over those of the environment.
fn labels(given: &Given<'_>, metadata: &Map<String, Value>) -> BTreeMap<String, String> {
    let fixed = metadata.get("STATIC_LABELS").and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    let mut labels: BTreeMap<_, _> = fixed.into_iter().flatten().filter_map(text).collect();
    labels.extend(given.pod.labels.clone());
    labels.remove("pod-template-hash");
    labels
}

/// By label; the node of the pod says it to the control plane otherwise.
fn locality(labels: &mut BTreeMap<String, String>) -> Option<Locality> {
    let names = ["topology.istio.io/locality", "istio-locality"];
    let text = names.into_iter().find_map(|name| labels.get(name))?;
    let text = match text.contains('/') {
        true => text.clone(),
        false => text.replace('.', "/"),
    };
    let locality = Locality::parse(&text);
    labels.insert("istio-locality".to_owned(), text);
    Some(locality).filter(|locality| !locality.is_empty())
}

type Facts<'a> = (
    &'a BTreeMap<String, String>,
    &'a Map<String, Value>,
    &'a str,
);

/// Envoy's service cluster: said, or by the application's label, or by the workload.
fn cluster(given: &Given<'_>, proxy: &ProxyConfig, facts: Facts<'_>) -> String {
    let (labels, metadata, namespace) = facts;
    let flag = Some(given.args.service_cluster.as_str());
    let said = [flag, proxy.service_cluster.as_deref()];
    let mut said = said.into_iter().flatten();
    if let Some(name) = said.find(|name| !name.is_empty() && *name != UNSAID) {
        return name.to_owned();
    }
    let canonical = labels.get("service.istio.io/canonical-name");
    let workload = metadata.get("WORKLOAD_NAME").and_then(Value::as_str);
    let by_label = labels.get("app").map(String::as_str).or(workload);
    match (proxy.tracing_service_name, canonical) {
        (Some(TracingServiceName::CanonicalNameOnly), Some(name)) => name.clone(),
        (Some(TracingServiceName::CanonicalNameAndNamespace), Some(name)) => {
            format!("{name}.{namespace}")
        }
        (_, _) => format!("{}.{namespace}", by_label.unwrap_or(UNSAID)),
    }
}
