//! How Envoy finds the endpoints of an outbound cluster, and the fields that say so.
//!
//! Envoy refuses: a logical DNS cluster with several endpoints, and an original-destination
//! cluster with a load assignment or with a balancer of its own.

use super::policy::Policy;
use super::{ClusterInput, Outbound, tls};
use crate::{endpoint, forward, wire};
use meltemi_api::networking::destination_rule::{LoadBalancerSettings, SimpleLb};
use meltemi_model::{Resolution, Service, ServicePort, TargetPort};
use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::cluster::v3 as envoy;
use meltemi_proto::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CustomClusterType, DiscoveryType, EdsClusterConfig, LbConfig, LbPolicy,
    OriginalDstLbConfig,
};
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::envoy::extensions::clusters::common::dns::v3::DnsLookupFamily;
use meltemi_proto::envoy::extensions::clusters::dns::v3::DnsCluster;
use meltemi_types::{IpFamilies, Protocol, ProxyKind};

/// How Envoy finds endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// It is told: EDS.
    Endpoints,
    /// It resolves names and uses all addresses.
    StrictDns,
    /// It resolves one name and uses one address at a time.
    LogicalDns,
    /// It keeps the address that the client asked for.
    Destination,
    /// It resolves the name that each request or connection says.
    Requested,
    /// There are none, on purpose.
    Nowhere,
}

/// How Envoy finds the endpoints of a port; `None` when the port has no cluster.
pub(super) fn discovery(
    kind: ProxyKind,
    service: &Service,
    port: &ServicePort,
    policy: &Policy<'_>,
) -> Option<Discovery> {
    if port.protocol == Protocol::Udp {
        return None;
    }
    let found = match &service.resolution {
        Resolution::Endpoints if keeps_destination(policy.load_balancer) => Discovery::Destination,
        Resolution::Endpoints => Discovery::Endpoints,
        Resolution::Dns => Discovery::StrictDns,
        Resolution::DnsRoundRobin => Discovery::LogicalDns,
        Resolution::Passthrough if kind == ProxyKind::Router => Discovery::Endpoints,
        Resolution::Passthrough => Discovery::Destination,
        Resolution::DynamicDns if port.protocol.is_http() || port.protocol.is_tls() => {
            Discovery::Requested
        }
        // Nothing in the bytes names a host.
        Resolution::DynamicDns | Resolution::Alias(_) => return None,
    };
    match tls::wanted(policy, kind) {
        tls::Wanted::Impossible(_) => Some(Discovery::Nowhere),
        tls::Wanted::Unsaid
        | tls::Wanted::Plaintext
        | tls::Wanted::Mesh(_)
        | tls::Wanted::Own(_) => Some(found),
    }
}

fn keeps_destination(settings: Option<&LoadBalancerSettings>) -> bool {
    settings.and_then(|s| s.simple) == Some(SimpleLb::Passthrough)
}

/// Sets the discovery fields of `cluster`; what is set fits together whatever the balancer was.
pub(super) fn apply(
    cluster: &mut envoy::Cluster,
    found: Discovery,
    input: &ClusterInput,
    role: &Outbound,
) {
    match found {
        Discovery::Endpoints => {
            cluster.cluster_discovery_type = kind(DiscoveryType::Eds);
            cluster.eds_cluster_config = Some(EdsClusterConfig {
                eds_config: Some(wire::ads()),
                service_name: input.name.to_string(),
            });
        }
        Discovery::StrictDns | Discovery::LogicalDns => {
            let mut assignment = role.inline.as_ref().map(|e| endpoint::build(e).message);
            if found == Discovery::LogicalDns {
                assignment = assignment.map(only_one);
            }
            cluster.cluster_discovery_type = Some(dns(found, input));
            cluster.load_assignment = assignment;
        }
        Discovery::Destination => {
            original_destination(cluster);
            cluster.lb_config = port_override(role);
        }
        Discovery::Requested => {
            let config = forward::cluster(&input.mesh, input.client.families);
            cluster.lb_policy = LbPolicy::ClusterProvided.into();
            cluster.lb_config = None;
            cluster.cluster_discovery_type =
                Some(ClusterDiscoveryType::ClusterType(CustomClusterType {
                    name: "envoy.clusters.dynamic_forward_proxy".into(),
                    typed_config: Some(pack(&config)),
                }));
        }
        Discovery::Nowhere => {
            cluster.cluster_discovery_type = kind(DiscoveryType::Static);
            cluster.load_assignment = Some(ClusterLoadAssignment {
                cluster_name: input.name.to_string(),
                ..ClusterLoadAssignment::default()
            });
        }
    }
}

/// The connection keeps the address it was made for.
pub(super) fn original_destination(cluster: &mut envoy::Cluster) {
    cluster.cluster_discovery_type = kind(DiscoveryType::OriginalDst);
    cluster.lb_policy = LbPolicy::ClusterProvided.into();
    cluster.lb_config = None;
    cluster.load_assignment = None;
}

/// The type field of one of Envoy's own cluster types.
#[allow(
    clippy::unnecessary_wraps,
    reason = "the shape of the field that it is for"
)]
pub(super) fn kind(kind: DiscoveryType) -> Option<ClusterDiscoveryType> {
    Some(ClusterDiscoveryType::Type(kind.into()))
}

/// Entries without resolution that name a target port send there, whatever port clients called: a
/// route may have brought the request from another one.
fn port_override(role: &Outbound) -> Option<LbConfig> {
    let port = role.service.port(role.port)?;
    let target = match &port.target {
        TargetPort::Number(number) if !role.service.kubernetes => number,
        TargetPort::Same | TargetPort::Number(_) | TargetPort::Named(_) => return None,
    };
    (role.service.is_passthrough()).then(|| {
        LbConfig::OriginalDstLbConfig(OriginalDstLbConfig {
            upstream_port_override: Some(wire::u32(target.number())),
            ..OriginalDstLbConfig::default()
        })
    })
}

/// Envoy refuses logical DNS clusters with several endpoints.
fn only_one(mut assignment: ClusterLoadAssignment) -> ClusterLoadAssignment {
    assignment.endpoints.truncate(1);
    for group in &mut assignment.endpoints {
        group.lb_endpoints.truncate(1);
        group.priority = 0;
    }
    assignment
}

fn dns(found: Discovery, input: &ClusterInput) -> ClusterDiscoveryType {
    let family = match input.client.families {
        IpFamilies::V4 => DnsLookupFamily::V4Only,
        IpFamilies::V6 => DnsLookupFamily::V6Only,
        IpFamilies::Dual => DnsLookupFamily::All,
    };
    let config = DnsCluster {
        dns_refresh_rate: Some(wire::duration(input.mesh.config.dns_refresh_rate())),
        respect_dns_ttl: true,
        dns_jitter: Some(wire::duration(forward::jitter())),
        typed_dns_resolver_config: Some(forward::resolver()),
        dns_lookup_family: family.into(),
        all_addresses_in_single_endpoint: found == Discovery::LogicalDns,
        ..DnsCluster::default()
    };
    ClusterDiscoveryType::ClusterType(CustomClusterType {
        name: "envoy.clusters.dns".into(),
        typed_config: Some(pack(&config)),
    })
}
