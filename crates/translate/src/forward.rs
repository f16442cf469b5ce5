//! Names that Envoy resolves when a request or connection asks for them: hosts with a wildcard and
//! resolution `DYNAMIC_DNS`.
//!
//! A cluster and the filters before it find each other by the name of a cache, and Envoy refuses
//! two caches of one name that differ: all of them come from here.

use crate::wire;
use meltemi_api::duration::Duration;
use meltemi_model::Mesh;
use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::cluster::v3::cluster::DnsLookupFamily;
use meltemi_proto::envoy::config::core::v3::TypedExtensionConfig;
use meltemi_proto::envoy::extensions::clusters::dynamic_forward_proxy::v3::ClusterConfig;
use meltemi_proto::envoy::extensions::clusters::dynamic_forward_proxy::v3::cluster_config::ClusterImplementationSpecifier;
use meltemi_proto::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use meltemi_proto::envoy::extensions::filters::http::dynamic_forward_proxy::v3 as http;
use meltemi_proto::envoy::extensions::filters::network::sni_dynamic_forward_proxy::v3 as sni;
use meltemi_proto::envoy::extensions::network::dns_resolver::cares::v3::CaresDnsResolverConfig;
use meltemi_types::{IpFamilies, Port};

/// The name of the one cache.
const CACHE: &str = "dynamic_forward_proxy";

/// The cache of names that all of a proxy's filters and clusters share.
fn cache(mesh: &Mesh, families: IpFamilies) -> DnsCacheConfig {
    DnsCacheConfig {
        name: CACHE.into(),
        dns_lookup_family: match families {
            IpFamilies::V4 => DnsLookupFamily::V4Only,
            IpFamilies::V6 => DnsLookupFamily::V6Only,
            IpFamilies::Dual => DnsLookupFamily::All,
        }
        .into(),
        dns_refresh_rate: Some(wire::duration(mesh.config.dns_refresh_rate())),
        typed_dns_resolver_config: Some(resolver()),
        ..DnsCacheConfig::default()
    }
}

/// How names are asked for; bounded, so that a stuck socket is left behind.
pub(crate) fn resolver() -> TypedExtensionConfig {
    let config = CaresDnsResolverConfig {
        udp_max_queries: Some(wire::u32(100)),
        ..CaresDnsResolverConfig::default()
    };
    TypedExtensionConfig {
        name: "envoy.network.dns_resolver.cares".into(),
        typed_config: Some(pack(&config)),
    }
}

/// How much a name's refreshes are spread.
pub(crate) fn jitter() -> Duration {
    Duration::from_millis(100)
}

/// The type of a cluster that resolves the names of its requests. Server names and certificates
/// are as the traffic policy says, so Envoy is told not to demand its own way.
pub(crate) fn cluster(mesh: &Mesh, families: IpFamilies) -> ClusterConfig {
    ClusterConfig {
        allow_insecure_cluster_options: true,
        cluster_implementation_specifier: Some(ClusterImplementationSpecifier::DnsCacheConfig(
            cache(mesh, families),
        )),
        ..ClusterConfig::default()
    }
}

/// The HTTP filter: resolves the host of each request that goes to such a cluster.
pub(crate) fn requests(mesh: &Mesh, families: IpFamilies) -> http::FilterConfig {
    http::FilterConfig {
        implementation_specifier: Some(
            http::filter_config::ImplementationSpecifier::DnsCacheConfig(cache(mesh, families)),
        ),
        ..http::FilterConfig::default()
    }
}

/// The network filter: resolves the server name of a TLS connection and goes to that `port` of it.
pub(crate) fn server_names(mesh: &Mesh, families: IpFamilies, port: Port) -> sni::FilterConfig {
    sni::FilterConfig {
        dns_cache_config: Some(cache(mesh, families)),
        port_specifier: Some(sni::filter_config::PortSpecifier::PortValue(port.number())),
        ..sni::FilterConfig::default()
    }
}
