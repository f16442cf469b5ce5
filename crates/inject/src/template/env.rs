//! The environment of the proxy's container, which the agent makes the proxy's node metadata of.

use super::fragment::unless_empty;
use crate::annotations;
use crate::context::Context;
use crate::proxy_config;
use crate::written;
use crate::{pod, values};
use k8s_openapi::api::core::v1::{
    EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use meltemi_api::mesh_config::InboundTrafficPolicyMode;
use serde_json::Value;

/// A variable with a text.
pub(crate) fn text(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: unless_empty(value.into()),
        value_from: None,
    }
}

fn field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: path.to_owned(),
            }),
            ..EnvVarSource::default()
        }),
    }
}

fn resource(name: &str, resource: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            resource_field_ref: Some(ResourceFieldSelector {
                container_name: None,
                divisor: Some(Quantity("1".to_owned())),
                resource: resource.to_owned(),
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// All variables of a sidecar or gateway.
pub(crate) fn of_proxy(context: &Context<'_>) -> Vec<EnvVar> {
    let mut all = Vec::new();
    if context.settings.mesh.inbound_mode() == InboundTrafficPolicyMode::Localhost {
        all.push(text("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION", "true"));
    }
    all.extend(identity(context));
    all.push(resource("ISTIO_CPU_LIMIT", "limits.cpu"));
    all.push(text(
        "PROXY_CONFIG",
        format!("{}\n", proxy_config::told(context.proxy)),
    ));
    all.push(text("ISTIO_META_POD_PORTS", ports(context)));
    all.push(text("ISTIO_META_APP_CONTAINERS", apps(context)));
    all.push(resource("GOMEMLIMIT", "limits.memory"));
    let compliance = &context.settings.compliance;
    if !compliance.is_empty() {
        all.push(text("COMPLIANCE_POLICY", compliance));
    }
    if compliance == "fips-140-3" {
        all.push(text("GODEBUG", "fips140=only"));
    }
    all.extend(mesh(context));
    all.extend(datadog(context));
    all.extend(metadata(context));
    all
}

/// Who the pod is, and who signs that.
pub(crate) fn identity(context: &Context<'_>) -> Vec<EnvVar> {
    let values = context.values();
    let address = unless_empty(values.text("global.caAddress")).unwrap_or_else(|| {
        let revision = context.settings.revision();
        let namespace = values.text("global.istioNamespace");
        match revision.is_empty() {
            true => format!("istiod.{namespace}.svc:15012"),
            false => format!("istiod-{revision}.{namespace}.svc:15012"),
        }
    });
    vec![
        text(
            "PILOT_CERT_PROVIDER",
            values.text("global.pilotCertProvider"),
        ),
        text("CA_ADDR", address),
        field("POD_NAME", "metadata.name"),
        field("POD_NAMESPACE", "metadata.namespace"),
        field("INSTANCE_IP", "status.podIP"),
        field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        field("HOST_IP", "status.hostIP"),
    ]
}

/// What the proxy says of itself in the mesh.
pub(crate) fn mesh(context: &Context<'_>) -> Vec<EnvVar> {
    let values = context.values();
    let or = |path: &str, other: &str| {
        unless_empty(values.text(path)).unwrap_or_else(|| other.to_owned())
    };
    let owner = context.owner;
    let mut all = vec![
        text(
            "ISTIO_META_CLUSTER_ID",
            or("global.multiCluster.clusterName", "Kubernetes"),
        ),
        field("ISTIO_META_NODE_NAME", "spec.nodeName"),
        text("ISTIO_META_INTERCEPTION_MODE", context.mode()),
    ];
    if let Some(network) = unless_empty(values.text("global.network")) {
        all.push(text("ISTIO_META_NETWORK", network));
    }
    let named = pod::label(context.pod, "service.istio.io/workload-name");
    let workload = named.filter(|name| !name.is_empty()).unwrap_or(&owner.name);
    if !workload.is_empty() {
        all.push(text("ISTIO_META_WORKLOAD_NAME", workload));
    }
    if !owner.api_version.is_empty() && !owner.name.is_empty() {
        let namespace = match owner.namespace.as_str() {
            "" => "default",
            namespace => namespace,
        };
        let kind = owner.kind.to_ascii_lowercase();
        let (version, name) = (&owner.api_version, &owner.name);
        let path = format!("kubernetes://apis/{version}/namespaces/{namespace}/{kind}s/{name}");
        all.push(text("ISTIO_META_OWNER", path));
    }
    if context
        .annotation(annotations::BOOTSTRAP_OVERRIDE)
        .is_some()
    {
        let path = "/etc/istio/custom-bootstrap/custom_bootstrap.json";
        all.push(text("ISTIO_BOOTSTRAP_OVERRIDE", path));
    }
    let configured = context.settings.mesh.trust_domain();
    let domain = configured.map_or_else(
        || or("global.trustDomain", ""),
        |domain| domain.as_str().to_owned(),
    );
    for (name, value) in [
        ("ISTIO_META_MESH_ID", or("global.meshID", &domain)),
        ("TRUST_DOMAIN", domain.clone()),
    ] {
        if !value.is_empty() {
            all.push(text(name, value));
        }
    }
    all
}

fn datadog(context: &Context<'_>) -> Vec<EnvVar> {
    if context.values().text("global.proxy.tracer") != "datadog" {
        return Vec::new();
    }
    let said = context.annotation(annotations::DATADOG_ENV).unwrap_or("{}");
    let said: serde_json::Map<String, Value> = serde_json::from_str(said).unwrap_or_default();
    let all = said.iter();
    all.map(|(name, value)| text(name, values::scalar(value)))
        .collect()
}

/// Every variable of `proxyMetadata`, as it is.
pub(crate) fn metadata(context: &Context<'_>) -> Vec<EnvVar> {
    let all = context.proxy.proxy_metadata.iter();
    all.map(|(name, value)| text(name, value.as_str()))
        .collect()
}

/// The names of the application's containers, with commas.
pub(crate) fn apps(context: &Context<'_>) -> String {
    let names: Vec<&str> = context.apps().map(pod::name).collect();
    names.join(",")
}

/// The ports of all containers: a JSON list, laid out as Istio's template does.
pub(crate) fn ports(context: &Context<'_>) -> String {
    let containers = pod::containers(context.pod, "containers").iter();
    let ports = containers
        .filter_map(|container| container.get("ports")?.as_array())
        .flatten();
    let mut out = "[".to_owned();
    for (index, port) in ports.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        out.push_str(&format!("\n    {comma}{}", written::write(port, "ports")));
    }
    out + "\n]"
}
