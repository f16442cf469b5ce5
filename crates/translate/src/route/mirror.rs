//! Copies of requests to other destinations; their answers are dropped.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPMirrorPolicy>.
//! Unlike Envoy's default the copy keeps its host, without `-shadow`.

use super::{Target, percent};
use crate::wire;
use meltemi_model::route::Mirror;
use meltemi_proto::envoy::config::route::v3::route_action::RequestMirrorPolicy;

/// The policies, in order; a mirror that gets nothing, or that cannot be, has none.
pub(super) fn policies(mirrors: &[Mirror], targets: &[Target]) -> Vec<RequestMirrorPolicy> {
    let pairs = mirrors.iter().zip(targets);
    pairs
        .filter_map(|(mirror, target)| {
            let Mirror { target: _, share } = mirror;
            let cluster = match target {
                Target::Cluster { name, hash: _ } => name,
                Target::Invalid => return None,
            };
            (*share > 0).then(|| RequestMirrorPolicy {
                cluster: cluster.to_string(),
                runtime_fraction: Some(percent::fixed(percent::millionths(*share))),
                trace_sampled: Some(wire::bool(false)),
                disable_shadow_host_suffix_append: true,
                ..RequestMirrorPolicy::default()
            })
        })
        .collect()
}
