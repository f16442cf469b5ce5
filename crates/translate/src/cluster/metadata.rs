//! What a cluster says of itself: the metadata that Istio's tools and telemetry read, and the name
//! of its statistics.

use super::{ClusterInput, Inbound, Outbound};
use crate::wire;
use meltemi_api::networking::destination_rule::Subset;
use meltemi_model::policy::SubsetRule;
use meltemi_model::{Service, ServicePort};
use meltemi_proto::envoy::config::core::v3::Metadata;
use meltemi_proto::google::protobuf::{Struct, Value};
use std::collections::BTreeMap;

/// The metadata of an outbound cluster. `own_tls` keeps the mesh's ALPN away from servers that
/// need not be in the mesh.
pub(super) fn outbound(role: &Outbound, subset: Option<&SubsetRule>, own_tls: bool) -> Metadata {
    let mut fields = BTreeMap::from([("services", services([&*role.service]))]);
    if let Some(origin) = role.rule.as_ref().and_then(|rule| rule.origins.first()) {
        fields.insert("config", wire::config_path(origin).as_str().into());
    }
    if let Some(rule) = subset {
        fields.insert("subset", rule.subset.name.as_str().into());
    }
    if role.service.external {
        fields.insert("external", true.into());
    }
    if own_tls {
        fields.insert("alpn_override", "false".into());
    }
    istio(fields)
}

/// The metadata of an inbound cluster.
pub(super) fn inbound(role: &Inbound) -> Option<Metadata> {
    let all = role.services.iter().map(|(service, _)| &**service);
    (!role.services.is_empty()).then(|| istio(BTreeMap::from([("services", services(all))])))
}

fn istio(fields: BTreeMap<&str, Value>) -> Metadata {
    let fields: Struct = fields.into_iter().collect();
    Metadata {
        filter_metadata: BTreeMap::from([("istio".to_owned(), fields)]),
        ..Metadata::default()
    }
}

fn services<'a>(services: impl IntoIterator<Item = &'a Service>) -> Value {
    let one = |service: &'a Service| -> Value {
        let fields: Struct = [
            ("host", service.key.host.as_str()),
            ("name", &*service.name),
            ("namespace", service.key.namespace.as_str()),
        ]
        .into_iter()
        .collect();
        fields.into()
    };
    services.into_iter().map(one).collect::<Vec<Value>>().into()
}

/// The name in statistics of an outbound cluster: its own, or as mesh config says.
pub(super) fn outbound_stat(
    input: &ClusterInput,
    role: &Outbound,
    subset: Option<&Subset>,
) -> String {
    let pattern = input.mesh.config.outbound_cluster_stat_name.as_deref();
    let port = role.service.port(role.port);
    match (pattern.filter(|p| !p.is_empty()), port) {
        (Some(pattern), Some(port)) => {
            let subset = subset.map_or("", |s| &s.name);
            expand(pattern, &role.service, port, subset)
        }
        (_, _) => input.name.to_string(),
    }
}

/// The name in statistics of an inbound cluster: its own, or as mesh config says for the oldest
/// service behind which it stands.
pub(super) fn inbound_stat(input: &ClusterInput, role: &Inbound) -> String {
    let pattern = input.mesh.config.inbound_cluster_stat_name.as_deref();
    let first = role.services.first();
    let port = first.and_then(|(service, number)| service.port(*number));
    match (pattern.filter(|p| !p.is_empty()), first, port) {
        (Some(pattern), Some((service, _)), Some(port)) => {
            let text = expand(pattern, service, port, "");
            text.replace("%TARGET_PORT%", &role.port.to_string())
        }
        (_, _, _) => input.name.to_string(),
    }
}

fn expand(pattern: &str, service: &Service, port: &ServicePort, subset: &str) -> String {
    let (host, namespace) = (service.key.host.as_str(), &service.key.namespace);
    let short = match service.kubernetes {
        true => format!("{}.{namespace}", service.name),
        false => host.to_owned(),
    };
    pattern
        .replace("%SERVICE%", &short)
        .replace("%SERVICE_NAME%", &service.name)
        .replace("%SERVICE_FQDN%", host)
        .replace("%SERVICE_PORT%", &port.number.to_string())
        .replace("%SERVICE_PORT_NAME%", port.name.as_str())
        .replace("%SUBSET_NAME%", subset)
}
