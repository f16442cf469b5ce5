//! The HTTP connection manager: its settings, and the order of its filters.
//!
//! Follows Istio's order. Each filter has a file below `http/` that decides whether it is there;
//! an empty answer means "not for this listener".

mod alpn;
mod cors;
mod fault;
mod forward;
mod grpc;
mod inbound_route;
pub(crate) mod rbac;
mod request;
mod router;

pub(crate) use inbound_route::InboundRoute;
pub(crate) use request::keep_case;

use crate::listener::{Traits, access_log, chain};
use crate::wire;
use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::listener::v3 as listener;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use meltemi_types::Protocol;
use std::sync::Arc;

/// Which side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// The client's proxy.
    Outbound,
    /// The server's proxy.
    Inbound,
    /// The proxy at the edge.
    Gateway,
}

/// Whether anybody is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Access {
    /// Everybody.
    Open,
    /// Nobody: a policy is not understood, and failing open would be worse.
    Denied,
}

/// Where routes come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Routes {
    /// From the route configuration of this name.
    Rds(Arc<str>),
    /// One route, to the workload itself.
    Inline(InboundRoute),
}

/// Whether Envoy resolves the hosts of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Resolve {
    /// No.
    #[default]
    Nothing,
    /// Those that go to clusters that need it.
    Hosts,
}

/// How requests are read and where they go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HttpSpec {
    /// Which side of a call.
    pub(crate) side: Side,
    /// Where routes come from.
    pub(crate) routes: Routes,
    /// The name in statistics.
    pub(crate) stat_prefix: Arc<str>,
    /// What the port declares.
    pub(crate) protocol: Protocol,
    /// Whether anybody is let through.
    pub(crate) access: Access,
    /// Whether Envoy resolves the hosts of requests.
    pub(crate) resolve: Resolve,
}

/// Everything that a filter may read.
pub(crate) struct HttpInput<'a> {
    pub(crate) spec: &'a HttpSpec,
    pub(crate) traits: &'a Traits,
}

/// One place in the filter chain: what stands there, and the filters for a listener.
type Slot = (&'static str, fn(&HttpInput<'_>) -> Vec<hcm::HttpFilter>);

/// Nothing yet.
fn vacant(_: &HttpInput<'_>) -> Vec<hcm::HttpFilter> {
    Vec::new()
}

/// The order of HTTP filters, as Istio has it. Position *is* the order.
const FILTERS: &[Slot] = &[
    ("peer metadata", vacant),
    ("custom authorization", vacant),
    ("extensions: authn", vacant),
    ("jwt_authn", vacant),
    ("extensions: authz", vacant),
    ("rbac", rbac::http),
    ("extensions: stats", vacant),
    ("extensions: unspecified", vacant),
    ("ext_proc", vacant),
    ("grpc_web", grpc::web),
    ("grpc_stats", grpc::stats),
    ("alpn", alpn::filter),
    ("fault", fault::filter),
    ("cors", cors::filter),
    ("stats", vacant),
    ("stateful session", vacant),
    ("dynamic forward proxy", forward::filter),
    ("router", router::filter),
];

/// An HTTP filter with its configuration.
fn filter<M: prost::Message + prost::Name>(name: &str, message: &M) -> hcm::HttpFilter {
    hcm::HttpFilter {
        name: name.into(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(pack(message))),
        ..hcm::HttpFilter::default()
    }
}

/// The network filter that reads requests.
pub(crate) fn network_filter(spec: &HttpSpec, traits: &Traits) -> listener::Filter {
    let input = HttpInput { spec, traits };
    chain::network_filter(
        "envoy.filters.network.http_connection_manager",
        &connection_manager(&input),
    )
}

/// The HTTP connection manager.
fn connection_manager(input: &HttpInput<'_>) -> hcm::HttpConnectionManager {
    let HttpInput { spec, traits } = input;
    let config = &traits.mesh.config;
    let mut manager = hcm::HttpConnectionManager {
        codec_type: hcm::http_connection_manager::CodecType::Auto.into(),
        stat_prefix: spec.stat_prefix.to_string(),
        route_specifier: Some(routes(input)),
        http_filters: FILTERS.iter().flat_map(|(_, slot)| slot(input)).collect(),
        use_remote_address: Some(wire::bool(spec.side == Side::Gateway)),
        stream_idle_timeout: Some(wire::zero()),
        upgrade_configs: vec![hcm::http_connection_manager::UpgradeConfig {
            upgrade_type: "websocket".into(),
            ..hcm::http_connection_manager::UpgradeConfig::default()
        }],
        proxy_100_continue: true,
        common_http_protocol_options: traits.idle_timeout.map(|timeout| {
            core::HttpProtocolOptions {
                idle_timeout: Some(wire::duration(timeout)),
                ..core::HttpProtocolOptions::default()
            }
        }),
        http_protocol_options: http1(input),
        http2_protocol_options: (spec.side == Side::Inbound && spec.protocol.is_http2())
            .then(core::Http2ProtocolOptions::default),
        access_log: access_log::requests(config),
        ..hcm::HttpConnectionManager::default()
    };
    request::settings(input, &mut manager);
    manager
}

fn routes(input: &HttpInput<'_>) -> hcm::http_connection_manager::RouteSpecifier {
    use hcm::http_connection_manager::RouteSpecifier;
    match &input.spec.routes {
        Routes::Rds(name) => RouteSpecifier::Rds(hcm::Rds {
            config_source: Some(wire::ads()),
            route_config_name: name.to_string(),
        }),
        Routes::Inline(route) => {
            RouteSpecifier::RouteConfig(inbound_route::configuration(route, input))
        }
    }
}

fn http1(input: &HttpInput<'_>) -> Option<core::Http1ProtocolOptions> {
    let options = core::Http1ProtocolOptions {
        accept_http_10: input.traits.http10,
        allow_absolute_url: (input.spec.protocol == Protocol::HttpProxy).then(|| wire::bool(true)),
        header_key_format: keep_case(input.traits.settings.keeps_case()),
        ..core::Http1ProtocolOptions::default()
    };
    (options != core::Http1ProtocolOptions::default()).then_some(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_of_istios_filter_order_is_there() {
        let names: Vec<&str> = FILTERS.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            [
                "peer metadata",
                "custom authorization",
                "extensions: authn",
                "jwt_authn",
                "extensions: authz",
                "rbac",
                "extensions: stats",
                "extensions: unspecified",
                "ext_proc",
                "grpc_web",
                "grpc_stats",
                "alpn",
                "fault",
                "cors",
                "stats",
                "stateful session",
                "dynamic forward proxy",
                "router"
            ]
        );
    }
}
