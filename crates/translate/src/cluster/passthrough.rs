//! The clusters that belong to no service: where traffic goes that nobody claims.

use super::{ClusterInput, connection_pool, discovery, http_options};
use crate::{name, wire};
use meltemi_api::duration::Duration;
use meltemi_proto::envoy::config::cluster::v3 as envoy;
use meltemi_proto::envoy::config::cluster::v3::cluster::DiscoveryType;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::core::v3::address::Address;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_types::IpFamilies;

/// How long an idle connection of unknown traffic is kept.
const IDLE: Duration = Duration::from_secs(300);

/// Outbound traffic to where it was going anyway.
pub(super) fn outbound(input: &ClusterInput) -> envoy::Cluster {
    let mut cluster = named(input);
    connection_pool::apply(&mut cluster, None, &input.mesh.config);
    discovery::original_destination(&mut cluster);
    let options = http_options::passthrough(IDLE, input.client.keeps_case);
    http_options::set(&mut cluster, Some(options));
    cluster
}

/// Inbound traffic to ports that no service declares.
pub(super) fn inbound(input: &ClusterInput) -> envoy::Cluster {
    envoy::Cluster {
        upstream_bind_config: Some(bind(input.client.families)),
        ..outbound(input)
    }
}

/// Traffic to nowhere.
pub(super) fn black_hole(input: &ClusterInput) -> envoy::Cluster {
    let mut cluster = named(input);
    connection_pool::apply(&mut cluster, None, &input.mesh.config);
    cluster.cluster_discovery_type = discovery::kind(DiscoveryType::Static);
    cluster.load_assignment = Some(ClusterLoadAssignment {
        cluster_name: cluster.name.clone(),
        ..ClusterLoadAssignment::default()
    });
    cluster
}

fn named(input: &ClusterInput) -> envoy::Cluster {
    envoy::Cluster {
        name: input.name.to_string(),
        alt_stat_name: name::stat(&input.name),
        ..envoy::Cluster::default()
    }
}

/// The address that connections to the workload come from, by which the redirection rules know
/// that they went through the proxy already.
pub(super) fn bind(families: IpFamilies) -> core::BindConfig {
    let (first, second) = match families {
        IpFamilies::V4 => ("127.0.0.6", None),
        IpFamilies::V6 => ("::6", None),
        IpFamilies::Dual => ("127.0.0.6", Some("::6")),
    };
    let extra = second
        .and_then(source)
        .map(|address| core::ExtraSourceAddress {
            address: Some(address),
            socket_options: None,
        });
    core::BindConfig {
        source_address: source(first),
        extra_source_addresses: extra.into_iter().collect(),
        ..core::BindConfig::default()
    }
}

fn source(address: &str) -> Option<core::SocketAddress> {
    match wire::socket_address(address, 0).address {
        Some(Address::SocketAddress(socket)) => Some(socket),
        Some(Address::Pipe(_) | Address::EnvoyInternalAddress(_)) | None => None,
    }
}
