//! Filter chains: the last network filter ends the chain and none before it does.

use super::report::Report;
use meltemi_proto::envoy::config::listener::v3::filter::ConfigType;
use meltemi_proto::envoy::config::listener::v3::{Filter, FilterChain};
use meltemi_proto::urls;
use std::collections::BTreeMap;

/// Configurations of filters that end a chain.
const ENDING: [&str; 8] = [
    "envoy.extensions.filters.network.direct_response.v3.Config",
    "envoy.extensions.filters.network.dubbo_proxy.v3.DubboProxy",
    "envoy.extensions.filters.network.echo.v3.Echo",
    "envoy.extensions.filters.network.generic_proxy.v3.GenericProxy",
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    "envoy.extensions.filters.network.thrift_proxy.v3.ThriftProxy",
];

/// Configurations of filters that leave the connection to the next one.
const PASSING: [&str; 10] = [
    "envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit",
    "envoy.extensions.filters.network.ext_authz.v3.ExtAuthz",
    "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit",
    "envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy",
    "envoy.extensions.filters.network.ratelimit.v3.RateLimit",
    "envoy.extensions.filters.network.rbac.v3.RBAC",
    "envoy.extensions.filters.network.set_filter_state.v3.Config",
    "envoy.extensions.filters.network.sni_cluster.v3.SniCluster",
    "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
    "envoy.extensions.filters.network.wasm.v3.Wasm",
];

/// Looks at the filters of a chain. A chain without any closes its connections: that is accepted.
pub(super) fn check(chain: &FilterChain, report: &mut Report) {
    let last = chain.filters.len().saturating_sub(1);
    let mut index = 0;
    report.each("filters", &chain.filters, |report, filter| {
        let name = config_name(filter);
        if index < last && ENDING.contains(&name) {
            report.add(format!(
                "must be the last filter: {name} ends the chain and nothing may follow it"
            ));
        }
        if index == last && PASSING.contains(&name) {
            report.add(format!(
                "must not be the last filter: {name} does not end the chain, as a proxy would"
            ));
        }
        index += 1;
    });
}

fn config_name(filter: &Filter) -> &str {
    match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) => urls::message_name(&any.type_url),
        Some(ConfigType::ConfigDiscovery(_)) | None => "",
    }
}

/// A tree of matchers finds chains by name.
pub(super) fn names(chains: &[FilterChain], report: &mut Report) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut index = 0;
    report.each("filter_chains", chains, |report, chain| {
        report.at("name", |report| {
            if chain.name.is_empty() {
                report.add("must not be empty beside filter_chain_matcher");
            } else if let Some(first) = seen.insert(&chain.name, index) {
                let name = &chain.name;
                report.add(format!(
                    "must not be {name:?} again, after filter_chains[{first}]"
                ));
            }
        });
        index += 1;
    });
}
