//! The fewest resources with which an Envoy routes a request: listener, route, cluster, endpoints.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::cluster::v3::{Cluster, cluster};
use meltemi_proto::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, SocketAddress, address,
    config_source, socket_address,
};
use meltemi_proto::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
};
use meltemi_proto::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use meltemi_proto::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route, route_action,
    route_match,
};
use meltemi_proto::envoy::extensions::filters::http::router::v3::Router;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_connection_manager, http_filter,
};
use meltemi_proto::envoy::r#type::matcher::v3::RegexMatcher;
use meltemi_proto::resource::Encoded;
use meltemi_proto::urls;
use meltemi_types::TypeUrl;
use prost::Message;

fn encoded(url: TypeUrl, name: &str, message: &impl Message) -> Arc<Encoded> {
    Arc::new(Encoded::new(name, url, message.encode_to_vec()))
}

fn ads() -> ConfigSource {
    let specifier = config_source::ConfigSourceSpecifier::Ads(AggregatedConfigSource {});
    ConfigSource {
        config_source_specifier: Some(specifier),
        resource_api_version: ApiVersion::V3.into(),
        initial_fetch_timeout: Some(Duration::ZERO.into()),
        ..ConfigSource::default()
    }
}

fn address(host: &str, port: u16) -> Address {
    Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: host.to_owned(),
            port_specifier: Some(socket_address::PortSpecifier::PortValue(port.into())),
            ..SocketAddress::default()
        })),
    }
}

/// A cluster whose endpoints come over ADS. A zero `timeout` is a value that Envoy refuses.
#[must_use]
pub fn cluster(name: &str, timeout: Duration) -> Arc<Encoded> {
    let message = Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(cluster::ClusterDiscoveryType::Type(
            cluster::DiscoveryType::Eds.into(),
        )),
        eds_cluster_config: Some(cluster::EdsClusterConfig {
            eds_config: Some(ads()),
            service_name: String::new(),
        }),
        connect_timeout: Some(timeout.into()),
        ..Cluster::default()
    };
    encoded(urls::CLUSTER, name, &message)
}

/// A cluster that Envoy refuses, naming it: ring hash of an unknown extension.
#[must_use]
pub fn bad_cluster(name: &str) -> Arc<Encoded> {
    let message = Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(cluster::ClusterDiscoveryType::ClusterType(
            cluster::CustomClusterType {
                name: "no.such.type".to_owned(),
                typed_config: None,
            },
        )),
        ..Cluster::default()
    };
    encoded(urls::CLUSTER, name, &message)
}

/// The endpoints of a cluster.
#[must_use]
pub fn endpoints(cluster: &str, at: &[(&str, u16)]) -> Arc<Encoded> {
    let endpoint = |(host, port): &(&str, u16)| LbEndpoint {
        host_identifier: Some(lb_endpoint::HostIdentifier::Endpoint(Endpoint {
            address: Some(address(host, *port)),
            ..Endpoint::default()
        })),
        ..LbEndpoint::default()
    };
    let message = ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: at.iter().map(endpoint).collect(),
            ..LocalityLbEndpoints::default()
        }],
        ..ClusterLoadAssignment::default()
    };
    encoded(urls::ENDPOINT, cluster, &message)
}

/// A listener whose routes come over ADS under `route`.
#[must_use]
pub fn listener(name: &str, at: SocketAddr, route: &str) -> Arc<Encoded> {
    let router = HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(pack(
            &Router::default(),
        ))),
        ..HttpFilter::default()
    };
    let manager = HttpConnectionManager {
        stat_prefix: name.to_owned(),
        route_specifier: Some(http_connection_manager::RouteSpecifier::Rds(Rds {
            config_source: Some(ads()),
            route_config_name: route.to_owned(),
        })),
        http_filters: vec![router],
        ..HttpConnectionManager::default()
    };
    let filter = Filter {
        name: "envoy.filters.network.http_connection_manager".to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(pack(&manager))),
    };
    let message = Listener {
        name: name.to_owned(),
        address: Some(address(&at.ip().to_string(), at.port())),
        filter_chains: vec![FilterChain {
            filters: vec![filter],
            ..FilterChain::default()
        }],
        ..Listener::default()
    };
    encoded(urls::LISTENER, name, &message)
}

/// A route of everything to one cluster.
#[must_use]
pub fn route(name: &str, cluster: &str) -> Arc<Encoded> {
    let everything = route_match::PathSpecifier::Prefix("/".to_owned());
    route_where(name, cluster, everything)
}

/// A route that Envoy refuses: its regex has no end.
#[must_use]
pub fn bad_route(name: &str, cluster: &str) -> Arc<Encoded> {
    let regex = route_match::PathSpecifier::SafeRegex(RegexMatcher {
        regex: "/(".to_owned(),
        ..RegexMatcher::default()
    });
    route_where(name, cluster, regex)
}

fn route_where(name: &str, cluster: &str, path: route_match::PathSpecifier) -> Arc<Encoded> {
    let action = RouteAction {
        cluster_specifier: Some(route_action::ClusterSpecifier::Cluster(cluster.to_owned())),
        ..RouteAction::default()
    };
    let route = Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(path),
            ..RouteMatch::default()
        }),
        action: Some(route::Action::Route(action)),
        ..Route::default()
    };
    let message = RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts: vec![VirtualHost {
            name: "all".to_owned(),
            domains: vec!["*".to_owned()],
            routes: vec![route],
            ..VirtualHost::default()
        }],
        ..RouteConfiguration::default()
    };
    encoded(urls::ROUTE, name, &message)
}
