//! The custom resource definitions of all mesh kinds, as an API server takes them.
//!
//! All served versions of a kind have one schema, so they convert by their name alone. The stored
//! version is the one that Istio stores, so that either control plane can take over.

use crate::rules;
use crate::structural::{self, Built};
use meltemi_api::extensions::{TrafficExtension, WasmPlugin};
use meltemi_api::kinds::{Kind, Scope};
use meltemi_api::networking::{
    destination_rule::DestinationRule, envoy_filter::EnvoyFilter, gateway::Gateway,
    proxy_config::ProxyConfig, service_entry::ServiceEntry, sidecar::Sidecar,
    virtual_service::VirtualService, workload_entry::WorkloadEntry, workload_group::WorkloadGroup,
};
use meltemi_api::security::{AuthorizationPolicy, PeerAuthentication, RequestAuthentication};
use meltemi_api::telemetry::Telemetry;
use serde_json::{Map, Value, json};

/// Name, type and path.
type Column = (&'static str, &'static str, &'static str);

const AGE: Column = ("Age", "date", ".metadata.creationTimestamp");

/// What a definition says beyond group, names and schema.
#[derive(Clone, Copy, Debug)]
struct Shape {
    kind: Kind,
    short: &'static [&'static str],
    /// Columns of `kubectl get`.
    columns: &'static [Column],
    /// The version that is stored. Default: the preferred one.
    stored: Option<&'static str>,
    /// Whether an object without a spec is refused.
    spec_required: bool,
    about: &'static str,
}

const fn shape(kind: Kind, about: &'static str) -> Shape {
    Shape {
        kind,
        short: &[],
        columns: &[AGE],
        stored: None,
        spec_required: false,
        about,
    }
}

const SHAPES: &[Shape] = &[
    Shape {
        short: &["vs"],
        columns: &[
            ("Gateways", "string", ".spec.gateways"),
            ("Hosts", "string", ".spec.hosts"),
            AGE,
        ],
        ..shape(Kind::VirtualService, "Routing rules for hosts.")
    },
    Shape {
        short: &["dr"],
        columns: &[("Host", "string", ".spec.host"), AGE],
        ..shape(
            Kind::DestinationRule,
            "What happens to traffic for a host after routing.",
        )
    },
    Shape {
        short: &["se"],
        columns: &[
            ("Hosts", "string", ".spec.hosts"),
            ("Location", "string", ".spec.location"),
            ("Resolution", "string", ".spec.resolution"),
            AGE,
        ],
        spec_required: true,
        ..shape(
            Kind::ServiceEntry,
            "Services that Kubernetes does not know.",
        )
    },
    Shape {
        short: &["we"],
        // In Istio's order.
        columns: &[AGE, ("Address", "string", ".spec.address")],
        spec_required: true,
        ..shape(Kind::WorkloadEntry, "A workload that is no Pod.")
    },
    Shape {
        short: &["wg"],
        spec_required: true,
        ..shape(
            Kind::WorkloadGroup,
            "What the WorkloadEntries of workloads look like that register themselves.",
        )
    },
    Shape {
        short: &["gw"],
        ..shape(
            Kind::Gateway,
            "What proxies at the edge of the mesh listen on.",
        )
    },
    shape(
        Kind::Sidecar,
        "What a workload's proxy listens on, and which services it can reach.",
    ),
    shape(
        Kind::EnvoyFilter,
        "Changes to the configuration that is generated for proxies.",
    ),
    shape(
        Kind::ProxyConfig,
        "Settings that proxies read when they start.",
    ),
    Shape {
        short: &["pa"],
        columns: &[("Mode", "string", ".spec.mtls.mode"), AGE],
        ..shape(
            Kind::PeerAuthentication,
            "Whether workloads accept plain text, mutual TLS, or both.",
        )
    },
    Shape {
        short: &["ra"],
        ..shape(
            Kind::RequestAuthentication,
            "Which JSON web tokens workloads accept.",
        )
    },
    Shape {
        short: &["ap"],
        columns: &[("Action", "string", ".spec.action"), AGE],
        ..shape(Kind::AuthorizationPolicy, "Who may do what.")
    },
    Shape {
        short: &["telemetry"],
        stored: Some("v1alpha1"),
        ..shape(
            Kind::Telemetry,
            "What workloads report about their traffic.",
        )
    },
    Shape {
        spec_required: true,
        ..shape(
            Kind::WasmPlugin,
            "A WebAssembly program that runs inside of proxies.",
        )
    },
    Shape {
        spec_required: true,
        ..shape(
            Kind::TrafficExtension,
            "A WebAssembly or Lua program that runs inside of proxies.",
        )
    },
];

/// A definition as a file of its own.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The kind that it defines.
    pub kind: Kind,
    /// `GROUP_PLURAL.yaml`.
    pub file: String,
    /// The object, of `apiextensions.k8s.io/v1`.
    pub object: Value,
}

/// The kinds that have a definition, in the order of the files.
pub fn kinds() -> impl Iterator<Item = Kind> {
    SHAPES.iter().map(|shape| shape.kind)
}

/// All definitions.
#[must_use]
pub fn definitions() -> Vec<Definition> {
    let mut all: Vec<Definition> = SHAPES.iter().filter_map(definition).collect();
    all.sort_by(|a, b| a.file.cmp(&b.file));
    all
}

/// The schema of a kind's objects, the same for all its versions; `None` for kinds that are not
/// defined by us.
#[must_use]
pub fn schema(kind: Kind) -> Option<Value> {
    let shape = SHAPES.iter().find(|shape| shape.kind == kind)?;
    root(shape)
}

fn definition(shape: &Shape) -> Option<Definition> {
    let info = shape.kind.info();
    let schema = root(shape)?;
    let preferred = info.versions.first().copied().unwrap_or_default();
    let stored = shape.stored.unwrap_or(preferred);
    let version = |name: &&'static str| {
        json!({
            "name": name,
            "served": true,
            "storage": *name == stored,
            "additionalPrinterColumns": columns(shape),
            "schema": { "openAPIV3Schema": schema },
            "subresources": { "status": {} },
        })
    };
    let area = info.group.replace('.', "-");
    let area = area.strip_suffix("-io").unwrap_or(&area);
    let area = area.split('-').next().unwrap_or(area);
    let mut names = json!({
        "categories": ["istio-io", format!("{area}-istio-io")],
        "kind": info.name,
        "listKind": format!("{}List", info.name),
        "plural": info.plural,
        "singular": info.name.to_lowercase(),
    });
    if !shape.short.is_empty()
        && let Some(names) = names.as_object_mut()
    {
        names.insert("shortNames".into(), json!(shape.short));
    }
    let object = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{}.{}", info.plural, info.group) },
        "spec": {
            "group": info.group,
            "names": names,
            "scope": match info.scope {
                Scope::Namespaced => "Namespaced",
                Scope::Cluster => "Cluster",
            },
            "versions": info.versions.iter().map(version).collect::<Vec<_>>(),
        },
    });
    Some(Definition {
        kind: shape.kind,
        file: format!("{}_{}.yaml", info.group, info.plural),
        object,
    })
}

fn columns(shape: &Shape) -> Vec<Value> {
    let all = shape.columns.iter();
    all.map(|(name, kind, path)| json!({ "name": name, "type": kind, "jsonPath": path }))
        .collect()
}

/// The schema of a whole object. What every object has (apiVersion, kind, metadata) is implied.
fn root(shape: &Shape) -> Option<Value> {
    let spec = built(shape.kind)?.schema;
    let mut schema = json!({
        "description": shape.about,
        "type": "object",
        "properties": { "spec": spec, "status": status() },
    });
    if shape.spec_required
        && let Some(schema) = schema.as_object_mut()
    {
        schema.insert("required".into(), json!(["spec"]));
    }
    Some(schema)
}

/// The schema of a kind's spec, and the rules that took part in it.
pub(crate) fn built(kind: Kind) -> Option<Built> {
    let rules = rules::of(kind);
    Some(match kind {
        Kind::VirtualService => structural::build::<VirtualService>(rules),
        Kind::DestinationRule => structural::build::<DestinationRule>(rules),
        Kind::Sidecar => structural::build::<Sidecar>(rules),
        Kind::Gateway => structural::build::<Gateway>(rules),
        Kind::ServiceEntry => structural::build::<ServiceEntry>(rules),
        Kind::WorkloadEntry => structural::build::<WorkloadEntry>(rules),
        Kind::WorkloadGroup => structural::build::<WorkloadGroup>(rules),
        Kind::EnvoyFilter => structural::build::<EnvoyFilter>(rules),
        Kind::ProxyConfig => structural::build::<ProxyConfig>(rules),
        Kind::PeerAuthentication => structural::build::<PeerAuthentication>(rules),
        Kind::RequestAuthentication => structural::build::<RequestAuthentication>(rules),
        Kind::AuthorizationPolicy => structural::build::<AuthorizationPolicy>(rules),
        Kind::Telemetry => structural::build::<Telemetry>(rules),
        Kind::WasmPlugin => structural::build::<WasmPlugin>(rules),
        Kind::TrafficExtension => structural::build::<TrafficExtension>(rules),
        Kind::Service
        | Kind::EndpointSlice
        | Kind::Endpoints
        | Kind::Pod
        | Kind::Namespace
        | Kind::Node
        | Kind::Ingress
        | Kind::IngressClass
        | Kind::MeshConfig
        | Kind::Secret
        | Kind::ConfigMap => return None,
    })
}

/// The status of every kind, as Istio and its tools write and read it.
fn status() -> Value {
    let text = |about: &str| json!({ "description": about, "type": "string" });
    let time =
        |about: &str| json!({ "description": about, "type": "string", "format": "date-time" });
    let number = |about: &str| {
        json!({
            "description": about,
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "x-kubernetes-int-or-string": true,
        })
    };
    let list = |about: &str, fields: Value| {
        json!({
            "description": about,
            "type": "array",
            "items": { "type": "object", "properties": fields },
        })
    };
    let mut condition = Map::new();
    for (name, schema) in [
        ("type", text("What: Reconciled, for example.")),
        ("status", text("True, False or Unknown.")),
        ("reason", text("Why, in one word.")),
        ("message", text("Why, for people.")),
        ("lastProbeTime", time("When it was last looked at.")),
        ("lastTransitionTime", time("When it last changed.")),
        (
            "observedGeneration",
            number("The generation of the object that this is about."),
        ),
    ] {
        condition.insert(name.into(), schema);
    }
    let finding = json!({
        "documentationUrl": text("Where it is explained."),
        "level": {
            "description": "How bad it is.",
            "type": "string",
            "enum": ["UNKNOWN", "ERROR", "WARNING", "INFO"],
        },
        "type": {
            "description": "What was found.",
            "type": "object",
            "properties": {
                "code": text("The code."),
                "name": text("The name."),
            },
        },
    });
    json!({
        "description": "What control planes found out about the object.",
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "conditions": list("What is so at the moment.", Value::Object(condition)),
            "observedGeneration": number("The generation of the object that this is about."),
            "validationMessages": list("What is wrong with the object.", finding),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_rule_finds_its_place() {
        let mut all = BTreeSet::new();
        let mut used = BTreeSet::new();
        for kind in kinds() {
            all.extend(rules::of(kind).iter().copied().flatten().map(|(at, _)| *at));
            used.extend(built(kind).unwrap().used);
        }
        let unused: Vec<_> = all.difference(&used).collect();
        assert!(unused.is_empty(), "rules about nothing: {unused:#?}");
    }

    #[test]
    fn exactly_one_version_is_stored() {
        for definition in definitions() {
            let versions = definition.object["spec"]["versions"].as_array().unwrap();
            let stored = versions.iter().filter(|v| v["storage"] == true).count();
            assert_eq!(stored, 1, "{}", definition.file);
            assert!(!definition.object.to_string().contains("\"default\""));
        }
    }
}
