//! What carries bytes: `tcp_proxy`, and the network filters before it.
//!
//! Envoy refuses weights of 0, so [`Clusters`] cannot hold them.

use super::Traits;
use super::access_log;
use super::chain::network_filter;
use crate::http::Access;
use crate::{forward, http, wire};
use meltemi_api::duration::Duration;
use meltemi_proto::envoy::config::listener::v3 as envoy;
use meltemi_proto::envoy::extensions::filters::network::mongo_proxy::v3::MongoProxy;
use meltemi_proto::envoy::extensions::filters::network::tcp_proxy::v3 as tcp;
use meltemi_proto::envoy::r#type::v3 as envoy_type;
use meltemi_types::Port;
use std::sync::Arc;

/// Where connections go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Clusters {
    /// To one cluster.
    One(Arc<str>),
    /// To several, by weights above 0.
    Weighted(Vec<(Arc<str>, u32)>),
}

impl Clusters {
    /// One cluster gets everything; of several only those with a weight get any. `None` when
    /// nothing is left.
    pub(crate) fn new(mut all: Vec<(Arc<str>, u32)>) -> Option<Self> {
        if all.len() > 1 {
            all.retain(|(_, weight)| *weight > 0);
        }
        match all.len() {
            0 => None,
            1 => all.pop().map(|(name, _)| Self::One(name)),
            _ => Some(Self::Weighted(all)),
        }
    }
}

/// What Envoy looks at while it carries bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Sniffer {
    /// Nothing.
    #[default]
    None,
    /// The MongoDB protocol, for statistics.
    Mongo,
}

/// How the endpoint is chosen, beyond the cluster's own policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum HashBy {
    /// Not by hashing.
    #[default]
    Nothing,
    /// By the client's address.
    SourceIp,
}

/// An HTTP tunnel to carry bytes through.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tunnel {
    /// `host:port` at the far end.
    pub(crate) hostname: Arc<str>,
    /// `POST` instead of `CONNECT`.
    pub(crate) post: bool,
}

/// How bytes are carried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TcpSpec {
    /// The name in statistics.
    pub(crate) stat_prefix: Arc<str>,
    /// Where they go.
    pub(crate) clusters: Clusters,
    /// How long a connection may be idle; `None` is the proxy's own setting, then Envoy's 1h.
    pub(crate) idle_timeout: Option<Duration>,
    /// How long a connection may live; `None` is for ever.
    pub(crate) max_duration: Option<Duration>,
    /// How the endpoint is chosen.
    pub(crate) hash_by: HashBy,
    /// The tunnel they go through.
    pub(crate) tunnel: Option<Tunnel>,
    /// What Envoy looks at.
    pub(crate) sniffer: Sniffer,
    /// Connections go to this port of the server that they name.
    pub(crate) resolve: Option<Port>,
    /// Whether anybody is let through.
    pub(crate) access: Access,
}

impl TcpSpec {
    /// To one cluster, which also names the statistics.
    pub(crate) fn to(cluster: impl Into<Arc<str>>) -> Self {
        let cluster = cluster.into();
        Self {
            stat_prefix: cluster.clone(),
            clusters: Clusters::One(cluster),
            idle_timeout: None,
            max_duration: None,
            hash_by: HashBy::default(),
            tunnel: None,
            sniffer: Sniffer::default(),
            resolve: None,
            access: Access::Open,
        }
    }
}

/// The network filters of a TCP chain. Position is order (xds.md 2.12); the slots of mesh
/// extensions and authorization stay empty until those exist.
const FILTERS: &[fn(&TcpSpec, &Traits) -> Vec<envoy::Filter>] = &[
    slot_metadata_exchange,
    slot_ext_authz,
    slot_extensions_authn,
    slot_extensions_authz,
    http::rbac::network,
    slot_extensions_stats,
    slot_extensions_unspecified,
    slot_stats,
    server_names,
    mongo,
    tcp_proxy,
];

macro_rules! empty_slots {
    ($($(#[$meta:meta])* $name:ident;)*) => {$(
        $(#[$meta])*
        fn $name(_: &TcpSpec, _: &Traits) -> Vec<envoy::Filter> {
            Vec::new()
        }
    )*};
}

empty_slots! {
    /// Istio's own exchange of metadata: not in stock Envoy.
    slot_metadata_exchange;
    /// AuthorizationPolicy `CUSTOM`.
    slot_ext_authz;
    /// WasmPlugin, phase AUTHN.
    slot_extensions_authn;
    /// WasmPlugin, phase AUTHZ.
    slot_extensions_authz;
    /// WasmPlugin, phase STATS.
    slot_extensions_stats;
    /// WasmPlugin without phase.
    slot_extensions_unspecified;
    /// Mesh metrics.
    slot_stats;
}

/// All network filters of a TCP chain, in order.
pub(crate) fn filters(spec: &TcpSpec, traits: &Traits) -> Vec<envoy::Filter> {
    FILTERS.iter().flat_map(|slot| slot(spec, traits)).collect()
}

/// Resolving the server name of a TLS connection.
fn server_names(spec: &TcpSpec, traits: &Traits) -> Vec<envoy::Filter> {
    let made = spec.resolve.map(|port| {
        let config = forward::server_names(&traits.mesh, traits.families, port);
        network_filter("envoy.filters.network.sni_dynamic_forward_proxy", &config)
    });
    made.into_iter().collect()
}

fn mongo(spec: &TcpSpec, _: &Traits) -> Vec<envoy::Filter> {
    match spec.sniffer {
        Sniffer::None => Vec::new(),
        Sniffer::Mongo => {
            let proxy = MongoProxy {
                stat_prefix: spec.stat_prefix.to_string(),
                ..MongoProxy::default()
            };
            vec![network_filter("envoy.filters.network.mongo_proxy", &proxy)]
        }
    }
}

fn tcp_proxy(spec: &TcpSpec, traits: &Traits) -> Vec<envoy::Filter> {
    let TcpSpec {
        stat_prefix,
        clusters,
        idle_timeout,
        max_duration,
        hash_by,
        tunnel,
        sniffer: _,
        resolve: _,
        access: _,
    } = spec;
    let proxy = tcp::TcpProxy {
        stat_prefix: stat_prefix.to_string(),
        cluster_specifier: Some(specifier(clusters)),
        idle_timeout: idle_timeout.or(traits.idle_timeout).map(wire::duration),
        max_downstream_connection_duration: max_duration.map(wire::duration),
        hash_policy: match hash_by {
            HashBy::Nothing => Vec::new(),
            HashBy::SourceIp => vec![source_ip()],
        },
        tunneling_config: tunnel.as_ref().map(tunneling),
        access_log: access_log::requests(&traits.mesh.config),
        ..tcp::TcpProxy::default()
    };
    vec![network_filter("envoy.filters.network.tcp_proxy", &proxy)]
}

fn specifier(clusters: &Clusters) -> tcp::tcp_proxy::ClusterSpecifier {
    use tcp::tcp_proxy::{ClusterSpecifier, WeightedCluster, weighted_cluster::ClusterWeight};
    match clusters {
        Clusters::One(name) => ClusterSpecifier::Cluster(name.to_string()),
        Clusters::Weighted(all) => ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: all
                .iter()
                .map(|(name, weight)| ClusterWeight {
                    name: name.to_string(),
                    weight: *weight,
                    metadata_match: None,
                })
                .collect(),
        }),
    }
}

fn source_ip() -> envoy_type::HashPolicy {
    use envoy_type::hash_policy::{PolicySpecifier, SourceIp};
    envoy_type::HashPolicy {
        policy_specifier: Some(PolicySpecifier::SourceIp(SourceIp {})),
    }
}

fn tunneling(tunnel: &Tunnel) -> tcp::tcp_proxy::TunnelingConfig {
    tcp::tcp_proxy::TunnelingConfig {
        hostname: tunnel.hostname.to_string(),
        use_post: tunnel.post,
        ..tcp::tcp_proxy::TunnelingConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_of_zero_never_reaches_envoy() {
        let of = |weights: &[u32]| {
            let names = ["a", "b", "c"].into_iter().map(Arc::from);
            Clusters::new(names.zip(weights.iter().copied()).collect())
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[0]), Some(Clusters::One("a".into())));
        assert_eq!(of(&[0, 0]), None);
        assert_eq!(of(&[0, 7]), Some(Clusters::One("b".into())));
        let Some(Clusters::Weighted(both)) = of(&[1, 0, 9]) else {
            panic!("two are left")
        };
        assert_eq!(both, [("a".into(), 1), ("c".into(), 9)]);
    }
}
