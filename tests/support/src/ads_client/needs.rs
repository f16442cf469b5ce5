//! What a resource depends on, so that the client can ask for it as Envoy would.

use bytes::Bytes;
use hcm::http_connection_manager::RouteSpecifier;
use meltemi_proto::any::unpack;
use meltemi_proto::envoy::config::cluster::v3::{Cluster, cluster::ClusterDiscoveryType};
use meltemi_proto::envoy::config::listener::v3::{Listener, filter::ConfigType};
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use meltemi_proto::urls::{CLUSTER, LISTENER};
use prost::Message;

/// `Cluster.DiscoveryType.EDS`.
const EDS: i32 = 3;

/// The names of the endpoints of a cluster, of the routes of a listener; else none.
pub(super) fn needs(type_url: &str, body: &Bytes) -> Vec<String> {
    match type_url {
        CLUSTER => Cluster::decode(body.clone())
            .map(endpoints)
            .unwrap_or_default(),
        LISTENER => Listener::decode(body.clone())
            .map(|l| routes(&l))
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn endpoints(cluster: Cluster) -> Vec<String> {
    if cluster.cluster_discovery_type != Some(ClusterDiscoveryType::Type(EDS)) {
        return Vec::new();
    }
    let alias = cluster
        .eds_cluster_config
        .map(|eds| eds.service_name)
        .unwrap_or_default();
    vec![if alias.is_empty() {
        cluster.name
    } else {
        alias
    }]
}

fn routes(listener: &Listener) -> Vec<String> {
    let chains = listener
        .filter_chains
        .iter()
        .chain(&listener.default_filter_chain);
    let filters = chains.flat_map(|chain| &chain.filters);
    let mut names: Vec<_> = filters
        .filter_map(|filter| route(filter.config_type.as_ref()?))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn route(config: &ConfigType) -> Option<String> {
    let ConfigType::TypedConfig(any) = config else {
        return None;
    };
    let manager: hcm::HttpConnectionManager = unpack(any).ok()?;
    let RouteSpecifier::Rds(rds) = manager.route_specifier? else {
        return None;
    };
    Some(rds.route_config_name)
}
