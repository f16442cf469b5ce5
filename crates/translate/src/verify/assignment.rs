//! Endpoints. Assignments change all the time, so the common ones are checked by hand, the
//! descriptors' rules included; those with anything rare in them take the walk as well.
//!
//! Sums of weights are limited whatever the cluster's policy, which is not known here: Envoy
//! looks at them for rings and Maglev tables only.

use super::address;
use super::report::Report;
use meltemi_proto::envoy::config::core::v3::{Address, Metadata, address::Address as AddressOf};
use meltemi_proto::envoy::config::core::v3::{SocketAddress, socket_address::PortSpecifier};
use meltemi_proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use meltemi_proto::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use meltemi_proto::google::protobuf::UInt32Value;
use std::collections::BTreeMap;

/// What endpoints are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hosts {
    /// IP addresses and sockets.
    Addresses,
    /// Names, which are resolved.
    Names,
}

const MAX_PRIORITY: u32 = 128;
const MAX_PORT: u32 = 65_535;

/// Whether [`check`] does not know all rules for what is in it.
pub(super) fn is_unusual(message: &ClusterLoadAssignment) -> bool {
    let ClusterLoadAssignment {
        cluster_name: _,
        endpoints,
        named_endpoints,
        policy,
    } = message;
    !named_endpoints.is_empty()
        || policy.is_some()
        || endpoints.iter().any(|locality| {
            locality.lb_config.is_some()
                || is_unusual_metadata(locality.metadata.as_ref())
                || locality.lb_endpoints.iter().any(is_unusual_endpoint)
        })
}

fn is_unusual_endpoint(endpoint: &LbEndpoint) -> bool {
    let of_host = match &endpoint.host_identifier {
        Some(HostIdentifier::Endpoint(endpoint)) => {
            endpoint.health_check_config.is_some()
                || !endpoint.additional_addresses.is_empty()
                || !is_socket(endpoint.address.as_ref())
        }
        Some(HostIdentifier::EndpointName(_)) | None => true,
    };
    of_host || is_unusual_metadata(endpoint.metadata.as_ref())
}

fn is_socket(address: Option<&Address>) -> bool {
    let address = address.and_then(|address| address.address.as_ref());
    matches!(address, Some(AddressOf::SocketAddress(_)))
}

fn is_unusual_metadata(metadata: Option<&Metadata>) -> bool {
    metadata.is_some_and(|metadata| {
        metadata.filter_metadata.contains_key("") || !metadata.typed_filter_metadata.is_empty()
    })
}

/// Looks at all endpoints.
pub(super) fn check(message: &ClusterLoadAssignment, hosts: Hosts, report: &mut Report) {
    if message.cluster_name.is_empty() {
        report.at("cluster_name", |report| report.add("must not be empty"));
    }
    let mut weights: BTreeMap<u32, u64> = BTreeMap::new();
    for (index, endpoints) in message.endpoints.iter().enumerate() {
        let weight = endpoints.load_balancing_weight.as_ref();
        let sum = weights.entry(endpoints.priority).or_default();
        *sum = sum.saturating_add(weight.map_or(0, |weight| weight.value.into()));
        if is_fine(endpoints, hosts) {
            continue;
        }
        report.at("endpoints", |report| {
            report.at(&format!("[{index}]"), |report| {
                locality(endpoints, hosts, report);
            });
        });
    }
    for (priority, sum) in weights {
        if sum > u32::MAX.into() {
            report.at("endpoints", |report| {
                report.add(format!(
                    "must not have weights of localities that sum up to more than {} at one \
                     priority, but {sum} at {priority}",
                    u32::MAX
                ));
            });
        }
    }
}

/// The same verdict as [`locality`], without writing paths.
fn is_fine(endpoints: &LocalityLbEndpoints, hosts: Hosts) -> bool {
    let fine_weight = |weight: Option<&UInt32Value>| weight.is_none_or(|weight| weight.value > 0);
    endpoints.priority <= MAX_PRIORITY
        && fine_weight(endpoints.load_balancing_weight.as_ref())
        && endpoint_weights(endpoints) <= u32::MAX.into()
        && endpoints.lb_endpoints.iter().all(|endpoint| {
            fine_weight(endpoint.load_balancing_weight.as_ref())
                && match &endpoint.host_identifier {
                    Some(HostIdentifier::Endpoint(endpoint)) => is_fine_host(endpoint, hosts),
                    Some(HostIdentifier::EndpointName(_)) | None => false,
                }
        })
}

fn is_fine_host(endpoint: &Endpoint, hosts: Hosts) -> bool {
    let address = endpoint.address.as_ref();
    match address.and_then(|address| address.address.as_ref()) {
        Some(AddressOf::SocketAddress(socket)) => is_fine_socket(socket, hosts),
        Some(AddressOf::Pipe(_) | AddressOf::EnvoyInternalAddress(_)) => true,
        None => false,
    }
}

fn is_fine_socket(socket: &SocketAddress, hosts: Hosts) -> bool {
    let SocketAddress {
        protocol,
        address,
        resolver_name: _,
        ipv4_compat: _,
        network_namespace_filepath: _,
        port_specifier,
    } = socket;
    matches!(protocol, 0 | 1)
        && matches!(port_specifier, Some(PortSpecifier::PortValue(port)) if *port <= MAX_PORT)
        && match hosts {
            Hosts::Addresses => address::parse(address).is_some(),
            Hosts::Names => !address.is_empty(),
        }
}

fn locality(endpoints: &LocalityLbEndpoints, hosts: Hosts, report: &mut Report) {
    if endpoints.priority > MAX_PRIORITY {
        report.at("priority", |report| {
            let priority = endpoints.priority;
            report.add(format!("must be at most {MAX_PRIORITY}, not {priority}"));
        });
    }
    weight(endpoints.load_balancing_weight.as_ref(), report);
    let sum = endpoint_weights(endpoints);
    if sum > u32::MAX.into() {
        report.at("lb_endpoints", |report| {
            report.add(format!(
                "must not have weights that sum up to more than {}, but {sum}",
                u32::MAX
            ));
        });
    }
    report.each(
        "lb_endpoints",
        &endpoints.lb_endpoints,
        |report, endpoint| {
            weight(endpoint.load_balancing_weight.as_ref(), report);
            if let Some(HostIdentifier::Endpoint(endpoint)) = &endpoint.host_identifier {
                report.at("endpoint", |report| host(endpoint, hosts, report));
            } else {
                report.at("endpoint", |report| report.add("must be set"));
            }
        },
    );
}

fn endpoint_weights(endpoints: &LocalityLbEndpoints) -> u64 {
    let of = |endpoint: &LbEndpoint| {
        endpoint
            .load_balancing_weight
            .as_ref()
            .map_or(1, |weight| u64::from(weight.value))
    };
    endpoints
        .lb_endpoints
        .iter()
        .map(of)
        .fold(0, u64::saturating_add)
}

fn weight(weight: Option<&UInt32Value>, report: &mut Report) {
    if weight.is_some_and(|weight| weight.value == 0) {
        report.at("load_balancing_weight", |report| {
            report.add("must be at least 1, not 0");
        });
    }
}

fn host(endpoint: &Endpoint, hosts: Hosts, report: &mut Report) {
    report.at("address", |report| {
        let address = endpoint.address.as_ref();
        match address.and_then(|address| address.address.as_ref()) {
            Some(AddressOf::SocketAddress(socket)) => {
                report.at("socket_address", |report| {
                    socket_address(socket, hosts, report);
                });
            }
            Some(AddressOf::Pipe(_) | AddressOf::EnvoyInternalAddress(_)) => {}
            None => report.add("must be set"),
        }
    });
}

fn socket_address(socket: &SocketAddress, hosts: Hosts, report: &mut Report) {
    if !matches!(socket.protocol, 0 | 1) {
        report.at("protocol", |report| {
            report.add(format!(
                "must be a number that has a name, not {}",
                socket.protocol
            ));
        });
    }
    match &socket.port_specifier {
        Some(PortSpecifier::PortValue(port)) if *port > MAX_PORT => {
            report.at("port_value", |report| {
                report.add(format!("must be at most {MAX_PORT}, not {port}"));
            });
        }
        Some(PortSpecifier::PortValue(_)) => {}
        Some(PortSpecifier::NamedPort(name)) => report.at("named_port", |report| {
            report.add(format!("must be a number, not {name:?}"));
        }),
        None => report.at("port_specifier", |report| {
            report.add("must be set to one of port_value, named_port");
        }),
    }
    report.at("address", |report| match hosts {
        Hosts::Addresses if address::parse(&socket.address).is_none() => {
            report.add(format!("must be an IP address, not {:?}", socket.address));
        }
        Hosts::Names if socket.address.is_empty() => report.add("must not be empty"),
        Hosts::Addresses | Hosts::Names => {}
    });
}
