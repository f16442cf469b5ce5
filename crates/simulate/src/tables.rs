//! What a proxy holds, as tables: domains, clusters, services and endpoints.

use crate::decode::Config;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::core::v3::Address;
use meltemi_proto::envoy::config::core::v3::address::Address as Kind;
use meltemi_proto::envoy::config::core::v3::socket_address::PortSpecifier;
use meltemi_proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use meltemi_proto::envoy::config::endpoint::v3::{ClusterLoadAssignment, LbEndpoint};
use meltemi_proto::envoy::config::route::v3::route::Action;
use meltemi_proto::envoy::config::route::v3::route_action::ClusterSpecifier;
use meltemi_proto::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use meltemi_proto::google::protobuf::value::Kind as ValueKind;
use serde::Serialize;
use std::collections::BTreeMap;

/// An endpoint and its weight.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct EndpointWeight {
    /// The address without port.
    pub address: String,
    /// The weight; 1 when none is set.
    pub weight: u32,
}

/// The endpoints of one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Locality {
    /// The weight of the place; 0 when none is set.
    pub weight: u32,
    /// What is there.
    pub endpoints: Vec<EndpointWeight>,
}

impl Config {
    /// By route configuration, the domains with the clusters that their routes name, sorted.
    /// Routes that are split or go elsewhere name none.
    #[must_use]
    pub fn domains(&self) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
        let domains = |config: &RouteConfiguration| {
            let hosts = config.virtual_hosts.iter();
            let each = |host: &VirtualHost| {
                let clusters = clusters(host);
                let domains = host.domains.clone();
                domains
                    .into_iter()
                    .map(move |domain| (domain, clusters.clone()))
            };
            hosts.flat_map(each).collect()
        };
        let routes = self.routes.iter();
        routes
            .map(|(name, known)| (name.to_string(), domains(&known.resource)))
            .collect()
    }

    /// The names of all clusters.
    pub fn cluster_names(&self) -> impl Iterator<Item = &str> {
        self.clusters.keys().map(|name| &**name)
    }

    /// By cluster, the hosts of the services that it says it serves; clusters without are absent.
    #[must_use]
    pub fn services(&self) -> BTreeMap<String, Vec<String>> {
        let clusters = self.clusters.iter();
        let named = clusters.map(|(name, known)| (name.to_string(), hosts(&known.resource)));
        named.filter(|(_, hosts)| !hosts.is_empty()).collect()
    }

    /// By cluster, its endpoints as `address:port`, sorted; from EDS or from the cluster itself.
    /// Clusters that have none, or find them by themselves, have an empty list.
    #[must_use]
    pub fn endpoints(&self) -> BTreeMap<String, Vec<String>> {
        let of = |cluster: &Cluster| {
            let assignment = self.assignment(cluster);
            let all = assignment.into_iter().flat_map(|a| &a.endpoints);
            let all = all.flat_map(|place| &place.lb_endpoints);
            let mut shown: Vec<String> = all.filter_map(place).map(|(a, p)| join(&a, p)).collect();
            shown.sort();
            shown
        };
        let clusters = self.clusters.iter();
        clusters
            .map(|(name, known)| (name.to_string(), of(&known.resource)))
            .collect()
    }

    /// By cluster, its endpoints with weights, place by place; clusters without are absent.
    #[must_use]
    pub fn weights(&self) -> BTreeMap<String, Vec<Locality>> {
        let of = |cluster: &Cluster| -> Vec<Locality> {
            let assignment = self.assignment(cluster);
            let places = assignment.into_iter().flat_map(|a| &a.endpoints);
            let places = places.map(|place| Locality {
                weight: place.load_balancing_weight.as_ref().map_or(0, |w| w.value),
                endpoints: place.lb_endpoints.iter().filter_map(weight).collect(),
            });
            places.collect()
        };
        let clusters = self.clusters.iter();
        let all = clusters.map(|(name, known)| (name.to_string(), of(&known.resource)));
        all.filter(|(_, places)| !places.is_empty()).collect()
    }

    fn assignment<'a>(&'a self, cluster: &'a Cluster) -> Option<&'a ClusterLoadAssignment> {
        if let Some(own) = &cluster.load_assignment {
            return Some(own);
        }
        let eds = cluster.eds_cluster_config.as_ref()?;
        let name = match eds.service_name.as_str() {
            "" => cluster.name.as_str(),
            name => name,
        };
        Some(&self.endpoints.get(name)?.resource)
    }
}

fn clusters(host: &VirtualHost) -> Vec<String> {
    let of = |action: &Action| {
        let Action::Route(action) = action else {
            return None;
        };
        let Some(ClusterSpecifier::Cluster(name)) = &action.cluster_specifier else {
            return None;
        };
        Some(name.clone())
    };
    let actions = host.routes.iter().filter_map(|route| route.action.as_ref());
    let mut names: Vec<String> = actions.filter_map(of).collect();
    names.sort();
    names
}

/// `filter_metadata.istio.services[].host`.
fn hosts(cluster: &Cluster) -> Vec<String> {
    let metadata = cluster.metadata.as_ref();
    let istio = metadata.and_then(|metadata| metadata.filter_metadata.get("istio"));
    let services = istio.and_then(|istio| istio.fields.get("services"));
    let Some(ValueKind::ListValue(list)) = services.and_then(|value| value.kind.as_ref()) else {
        return Vec::new();
    };
    let host = |value: &meltemi_proto::google::protobuf::Value| {
        let Some(ValueKind::StructValue(fields)) = &value.kind else {
            return None;
        };
        let Some(ValueKind::StringValue(host)) = &fields.fields.get("host")?.kind else {
            return None;
        };
        Some(host.clone())
    };
    let mut hosts: Vec<String> = list.values.iter().filter_map(host).collect();
    hosts.sort();
    hosts
}

fn weight(endpoint: &LbEndpoint) -> Option<EndpointWeight> {
    let (address, _) = place(endpoint)?;
    let weight = endpoint.load_balancing_weight.as_ref();
    Some(EndpointWeight {
        address,
        weight: weight.map_or(1, |weight| weight.value),
    })
}

fn place(endpoint: &LbEndpoint) -> Option<(String, u32)> {
    let Some(HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier else {
        return None;
    };
    shown(endpoint.address.as_ref()?)
}

/// An address and its port; sockets of the file system have port 0.
fn shown(address: &Address) -> Option<(String, u32)> {
    match address.address.as_ref()? {
        Kind::SocketAddress(socket) => {
            let port = match &socket.port_specifier {
                Some(PortSpecifier::PortValue(port)) => *port,
                Some(PortSpecifier::NamedPort(_)) | None => 0,
            };
            Some((socket.address.clone(), port))
        }
        Kind::Pipe(pipe) => Some((format!("unix://{}", pipe.path), 0)),
        Kind::EnvoyInternalAddress(_) => None,
    }
}

fn join(address: &str, port: u32) -> String {
    match (address.starts_with("unix:"), address.contains(':')) {
        (true, _) => address.to_owned(),
        (false, true) => format!("[{address}]:{port}"),
        (false, false) => format!("{address}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::encoded;
    use meltemi_types::xds::{CLUSTER, ENDPOINT, ROUTE};
    use serde_json::json;

    fn endpoint(address: &str, weight: Option<u32>) -> serde_json::Value {
        json!({
            "endpoint": {"address": {"socket_address": {"address": address, "port_value": 80}}},
            "load_balancing_weight": weight,
        })
    }

    #[test]
    fn tables_show_what_was_sent() {
        let services = json!([{"host": "b"}, {"host": "a"}]);
        let resources = [
            encoded(
                CLUSTER,
                &json!({
                    "name": "eds", "eds_cluster_config": {"service_name": "by-name"},
                    "metadata": {"filter_metadata": {"istio": {"services": services}}},
                }),
            ),
            encoded(
                CLUSTER,
                &json!({"name": "own", "load_assignment": {
                    "cluster_name": "own", "endpoints": [{"lb_endpoints": [endpoint("::1", None)]}],
                }}),
            ),
            encoded(CLUSTER, &json!({"name": "none", "type": "ORIGINAL_DST"})),
            encoded(
                ENDPOINT,
                &json!({"cluster_name": "by-name", "endpoints": [{
                    "load_balancing_weight": 3,
                    "lb_endpoints": [endpoint("2.2.2.2", Some(2)), endpoint("1.1.1.1", None)],
                }]}),
            ),
            encoded(
                ROUTE,
                &json!({"name": "80", "virtual_hosts": [{
                    "name": "x", "domains": ["a", "b"], "routes": [
                        {"match": {"prefix": "/a"}, "route": {"cluster": "own"}},
                        {"match": {"prefix": "/"}, "route": {"cluster": "eds"}},
                        {"match": {"prefix": "/c"}, "redirect": {"host_redirect": "x"}},
                    ],
                }]}),
            ),
        ];
        let config = Config::decode(&resources).unwrap();
        assert_eq!(config.domains()["80"]["b"], ["eds", "own"]);
        let endpoints = config.endpoints();
        assert_eq!(endpoints["eds"], ["1.1.1.1:80", "2.2.2.2:80"]);
        assert_eq!(endpoints["own"], ["[::1]:80"]);
        assert!(endpoints["none"].is_empty());
        assert_eq!(config.services()["eds"], ["a", "b"]);
        let weights = config.weights();
        assert_eq!(weights["eds"][0].weight, 3);
        assert_eq!(weights["eds"][0].endpoints[1].weight, 1);
        assert!(!weights.contains_key("none"));
        assert_eq!(config.cluster_names().count(), 3);
    }
}
