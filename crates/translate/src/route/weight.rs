//! Several destinations, each with a share of the requests.
//!
//! Destinations without a weight get nothing and are left out; Envoy refuses a set whose weights
//! sum to zero, or to more than 32 bits.

use super::Target;
use super::headers::Changes;
use crate::name;
use crate::wire;
use meltemi_model::route::Backend;
use meltemi_proto::envoy::config::route::v3::WeightedCluster;
use meltemi_proto::envoy::config::route::v3::weighted_cluster::{
    ClusterWeight, cluster_weight::HostRewriteSpecifier,
};

/// The destinations by weight; `None` when there is none that is a destination.
pub(super) fn clusters(backends: &[Backend], targets: &[Target]) -> Option<WeightedCluster> {
    let pairs = backends.iter().zip(targets);
    let used: Vec<_> = pairs.filter(|(backend, _)| backend.weight > 0).collect();
    if used.iter().all(|(_, target)| **target == Target::Invalid) {
        return None;
    }
    let sum: u64 = used
        .iter()
        .map(|(backend, _)| u64::from(backend.weight))
        .sum();
    let divisor = sum.div_ceil(u64::from(u32::MAX) - used.len() as u64).max(1);
    let clusters = used.into_iter().map(|(backend, target)| {
        let weight = u64::from(backend.weight).div_ceil(divisor);
        weighted(backend, target, u32::try_from(weight).unwrap_or(u32::MAX))
    });
    Some(WeightedCluster {
        clusters: clusters.collect(),
        ..WeightedCluster::default()
    })
}

fn weighted(backend: &Backend, target: &Target, weight: u32) -> ClusterWeight {
    let changes = Changes::of(backend.headers.as_ref());
    ClusterWeight {
        name: match target {
            Target::Cluster { name, hash: _ } => name.to_string(),
            Target::Invalid => name::UNKNOWN_SERVICE.into(),
        },
        weight: Some(wire::u32(weight)),
        request_headers_to_add: changes.request.add,
        request_headers_to_remove: changes.request.remove,
        response_headers_to_add: changes.response.add,
        response_headers_to_remove: changes.response.remove,
        host_rewrite_specifier: changes.host.map(HostRewriteSpecifier::HostRewriteLiteral),
        ..ClusterWeight::default()
    }
}
