//! What an endpoint says of itself: the workload, for telemetry, and whether it speaks mesh mTLS.
//!
//! Istio packs the workload into one text; the same facts are also single keys, because core
//! Envoy's access log operators cannot split a text.

use crate::cluster::mesh_tls::SPEAKS;
use meltemi_model::Endpoint;
use meltemi_proto::envoy::config::core::v3::Metadata;
use meltemi_proto::google::protobuf::Struct;
use meltemi_types::Labels;
use std::collections::BTreeMap;

/// The filter whose metadata names the workload.
pub(super) const ISTIO: &str = "istio";

/// The endpoint's metadata; `mtls` is true when it is to be spoken to with mesh mTLS.
pub(super) fn metadata(endpoint: &Endpoint, mtls: bool) -> Option<Metadata> {
    let mut filters: BTreeMap<String, Struct> = BTreeMap::new();
    if mtls {
        let (filter, key, value) = SPEAKS;
        filters.insert(filter.into(), [(key, value)].into_iter().collect());
    }
    if let Some(facts) = Facts::of(endpoint) {
        filters.insert(ISTIO.into(), facts.iter().collect());
    }
    (!filters.is_empty()).then(|| Metadata {
        filter_metadata: filters,
        ..Metadata::default()
    })
}

/// The metadata of a gateway into another network: it takes mesh mTLS only.
pub(super) fn gateway() -> Metadata {
    let (filter, key, value) = SPEAKS;
    let fields: Struct = [(key, value)].into_iter().collect();
    Metadata {
        filter_metadata: BTreeMap::from([(filter.into(), fields)]),
        ..Metadata::default()
    }
}

/// What telemetry is told of a workload.
pub(super) struct Facts<'a> {
    name: &'a str,
    namespace: &'a str,
    service: &'a str,
    revision: &'a str,
    cluster: &'a str,
    /// All of them in one text.
    packed: String,
}

impl<'a> Facts<'a> {
    /// `None` when nothing is known of the workload.
    pub(super) fn of(endpoint: &'a Endpoint) -> Option<Self> {
        let workload = &*endpoint.workload;
        if workload.name.is_empty() {
            return None;
        }
        let namespace = workload.namespace.as_ref().map_or("", |n| n.as_str());
        let service = canonical_name(&workload.labels).unwrap_or(&workload.name);
        let revision = canonical_revision(&workload.labels);
        let (name, cluster) = (&*workload.name, endpoint.cluster.as_str());
        Some(Self {
            name,
            namespace,
            service,
            revision,
            cluster,
            packed: format!("{name};{namespace};{service};{revision};{cluster}"),
        })
    }

    /// Keys and values, sorted by key, without what is not known.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("canonical_revision", self.revision),
            ("canonical_service", self.service),
            ("cluster_id", self.cluster),
            ("workload", &self.packed),
            ("workload_name", self.name),
            ("workload_namespace", self.namespace),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
    }
}

fn first<'a>(labels: &'a Labels, keys: [&str; 3]) -> Option<&'a str> {
    let values = keys.into_iter().filter_map(|key| labels.value(key));
    values.into_iter().find(|value| !value.is_empty())
}

fn canonical_name(labels: &Labels) -> Option<&str> {
    let keys = [
        "service.istio.io/canonical-name",
        "app.kubernetes.io/name",
        "app",
    ];
    first(labels, keys)
}

/// `latest` is what everybody is who says nothing, and is left out.
fn canonical_revision(labels: &Labels) -> &str {
    let keys = [
        "service.istio.io/canonical-revision",
        "app.kubernetes.io/version",
        "version",
    ];
    let revision = first(labels, keys);
    revision.filter(|r| *r != "latest").unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing;
    use meltemi_proto::google::protobuf::value::Kind;

    #[test]
    fn the_workload_is_one_text_and_single_keys() {
        let endpoint = testing::endpoint("10.0.0.1", "app=web,version=v2");
        let metadata = metadata(&endpoint, true).unwrap();
        let text = |filter: &str, key: &str| {
            let value = metadata.filter_metadata[filter].fields[key].clone();
            let Some(Kind::StringValue(text)) = value.kind else {
                panic!("{value:?}");
            };
            text
        };
        assert_eq!(
            text("istio", "workload"),
            "web-deployment;shop;web;v2;Kubernetes"
        );
        assert_eq!(text("istio", "canonical_service"), "web");
        assert_eq!(text("istio", "workload_name"), "web-deployment");
        assert_eq!(text("envoy.transport_socket_match", "tlsMode"), "istio");
    }
}
