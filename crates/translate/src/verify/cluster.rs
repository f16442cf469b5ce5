//! Clusters: discovery, endpoints and load balancing must fit each other.

use super::assignment::{self, Hosts};
use super::report::Report;
use meltemi_proto::any;
use meltemi_proto::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, LbConfig, LbPolicy,
};
use meltemi_proto::envoy::config::cluster::v3::{Cluster, OutlierDetection};
use meltemi_proto::envoy::extensions::clusters::dns::v3::DnsCluster;
use meltemi_proto::envoy::extensions::load_balancing_policies::maglev::v3::Maglev;
use meltemi_proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use meltemi_proto::envoy::extensions::upstreams::http::v3::http_protocol_options::UpstreamProtocolOptions;
use meltemi_proto::google::protobuf::{Duration, UInt64Value};
use prost::Name;

/// How the endpoints become known; an extension that is not known here is [`Discovery::Other`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Discovery {
    Static,
    StrictDns,
    LogicalDns,
    Eds,
    OriginalDst,
    Other,
}

/// Looks at a cluster; its transport sockets are looked at by the walk.
pub(super) fn check(cluster: &Cluster, report: &mut Report) {
    let discovery = discovery(cluster);
    endpoints(cluster, discovery, report);
    let has_config = cluster.eds_cluster_config.is_some();
    report.at("eds_cluster_config", |report| {
        if !has_config && discovery == Discovery::Eds {
            report.add("must be set in an EDS cluster");
        }
        if has_config && !matches!(discovery, Discovery::Eds | Discovery::Other) {
            report.add("must not be set: the type of the cluster is not EDS");
        }
    });
    load_balancing(cluster, discovery, report);
    if let Some(outliers) = &cluster.outlier_detection {
        report.at("outlier_detection", |report| ejection(outliers, report));
    }
    protocol_options(cluster, report);
}

fn discovery(cluster: &Cluster) -> Discovery {
    let number = match &cluster.cluster_discovery_type {
        Some(ClusterDiscoveryType::ClusterType(custom)) => {
            let dns = custom.typed_config.as_ref();
            return match dns.map(any::unpack::<DnsCluster>) {
                // The names that stood for two types come with types of their own.
                Some(Ok(dns)) if custom.name == "envoy.clusters.dns" => {
                    match dns.all_addresses_in_single_endpoint {
                        true => Discovery::LogicalDns,
                        false => Discovery::StrictDns,
                    }
                }
                Some(_) | None => Discovery::Other,
            };
        }
        Some(ClusterDiscoveryType::Type(number)) => *number,
        None => 0,
    };
    match DiscoveryType::try_from(number) {
        Ok(DiscoveryType::Static) => Discovery::Static,
        Ok(DiscoveryType::StrictDns) => Discovery::StrictDns,
        Ok(DiscoveryType::LogicalDns) => Discovery::LogicalDns,
        Ok(DiscoveryType::Eds) => Discovery::Eds,
        Ok(DiscoveryType::OriginalDst) => Discovery::OriginalDst,
        // The rules refuse such a number.
        Err(_) => Discovery::Other,
    }
}

fn endpoints(cluster: &Cluster, discovery: Discovery, report: &mut Report) {
    let assignment = cluster.load_assignment.as_ref();
    report.at("load_assignment", |report| {
        let localities = assignment.map_or(&[][..], |assignment| &assignment.endpoints);
        let counts: Vec<usize> = localities
            .iter()
            .map(|one| one.lb_endpoints.len())
            .collect();
        if discovery == Discovery::LogicalDns && counts != [1] {
            let count: usize = counts.iter().sum();
            report.add(format!(
                "must have one locality with one endpoint in a LOGICAL_DNS cluster, not {} with \
                 {count}",
                counts.len()
            ));
        }
        if discovery == Discovery::OriginalDst && assignment.is_some() {
            report.add("must not be set in an ORIGINAL_DST cluster");
        }
        let hosts = match discovery {
            Discovery::Static => Hosts::Addresses,
            Discovery::StrictDns | Discovery::LogicalDns => Hosts::Names,
            Discovery::Eds | Discovery::OriginalDst | Discovery::Other => return,
        };
        if let Some(assignment) = assignment {
            assignment::check(assignment, hosts, report);
        }
    });
}

fn load_balancing(cluster: &Cluster, discovery: Discovery, report: &mut Report) {
    // The extension field takes the place of the enum, except where the cluster brings its own.
    let extension = cluster.load_balancing_policy.as_ref();
    let provided = cluster.lb_policy() == LbPolicy::ClusterProvided;
    report.at("lb_policy", |report| {
        if discovery == Discovery::OriginalDst && !provided {
            report.add("must be CLUSTER_PROVIDED in an ORIGINAL_DST cluster");
        }
        let provides = matches!(discovery, Discovery::OriginalDst | Discovery::Other);
        if !provides && provided && extension.is_none() {
            report.add("must not be CLUSTER_PROVIDED: clusters of this type provide none");
        }
    });
    if provided && cluster.lb_subset_config.is_some() {
        report.at("lb_subset_config", |report| {
            report.add("must not be set beside the policy CLUSTER_PROVIDED");
        });
    }
    let by_extension = cluster.lb_policy() == LbPolicy::LoadBalancingPolicyConfig;
    let has_policies = extension.is_some_and(|policy| !policy.policies.is_empty());
    if (by_extension || extension.is_some()) && !has_policies {
        report.at("load_balancing_policy", |report| {
            report.add("must have a policy")
        });
    }
    match (&cluster.lb_config, cluster.lb_policy()) {
        (Some(LbConfig::MaglevLbConfig(config)), LbPolicy::Maglev) => {
            report.at("maglev_lb_config", |report| {
                table(config.table_size.as_ref(), report);
            });
        }
        (Some(LbConfig::RingHashLbConfig(config)), LbPolicy::RingHash) => {
            let sizes = (&config.minimum_ring_size, &config.maximum_ring_size);
            if let (Some(least), Some(most)) = sizes
                && least.value > most.value
            {
                report.at("ring_hash_lb_config", |report| {
                    report.add("must not have a minimum_ring_size above its maximum_ring_size");
                });
            }
        }
        _ => {}
    }
}

/// The typed form of the policy.
pub(super) fn maglev(config: &Maglev, report: &mut Report) {
    table(config.table_size.as_ref(), report);
}

fn table(size: Option<&UInt64Value>, report: &mut Report) {
    if let Some(size) = size
        && !is_taken_for_prime(size.value)
    {
        report.at("table_size", |report| {
            report.add(format!("must be a prime number, not {}", size.value));
        });
    }
}

/// As Envoy looks: 1 passes. Sizes beyond what the rules allow are theirs to refuse.
fn is_taken_for_prime(size: u64) -> bool {
    const MAX_TABLE: u64 = 5_000_011;
    if size > MAX_TABLE {
        return true;
    }
    size != 0
        && (2..)
            .take_while(|by| by * by <= size)
            .all(|by| !size.is_multiple_of(by))
}

/// Both times default: 30 seconds, and the longer of 300 seconds and the base.
fn ejection(outliers: &OutlierDetection, report: &mut Report) {
    let whole = |duration: &Duration| {
        i128::from(duration.seconds) * 1_000_000_000 + i128::from(duration.nanos)
    };
    let base = outliers
        .base_ejection_time
        .as_ref()
        .map_or(30_000_000_000, whole);
    if outliers
        .max_ejection_time
        .as_ref()
        .is_some_and(|most| whole(most) < base)
    {
        report.at("max_ejection_time", |report| {
            report.add("must not be shorter than base_ejection_time, which is 30s unless set");
        });
    }
}

/// Negotiation needs TLS.
fn protocol_options(cluster: &Cluster, report: &mut Report) {
    let has_socket = cluster.transport_socket.is_some()
        || !cluster.transport_socket_matches.is_empty()
        || cluster.transport_socket_matcher.is_some();
    let name = HttpProtocolOptions::full_name();
    let options = cluster.typed_extension_protocol_options.get(&name);
    if let Some(Ok(options)) = options.map(any::unpack::<HttpProtocolOptions>)
        && let Some(UpstreamProtocolOptions::AutoConfig(_)) = options.upstream_protocol_options
        && !has_socket
    {
        report.at(
            &format!("typed_extension_protocol_options[{name:?}]"),
            |report| {
                report.at("auto_config", |report| {
                    report.add("must not be used without a transport socket that negotiates");
                });
            },
        );
    }
}
