//! gRPC: the bridge for gRPC-Web ports, and the statistics that every listener has.

use super::{HttpInput, filter as one};
use crate::wire;
use meltemi_proto::envoy::extensions::filters::http::grpc_stats::v3::{
    FilterConfig, filter_config::PerMethodStatSpecifier,
};
use meltemi_proto::envoy::extensions::filters::http::grpc_web::v3::GrpcWeb;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use meltemi_types::Protocol;

/// The bridge, on gRPC-Web ports only.
pub(super) fn web(input: &HttpInput<'_>) -> Vec<HttpFilter> {
    let wanted = input.spec.protocol == Protocol::GrpcWeb;
    wanted
        .then(|| one("envoy.filters.http.grpc_web", &GrpcWeb {}))
        .into_iter()
        .collect()
}

/// Message counts, kept for access logs and not as one statistic for each method.
pub(super) fn stats(_: &HttpInput<'_>) -> Vec<HttpFilter> {
    let config = FilterConfig {
        emit_filter_state: true,
        per_method_stat_specifier: Some(PerMethodStatSpecifier::StatsForAllMethods(wire::bool(
            false,
        ))),
        ..FilterConfig::default()
    };
    vec![one("envoy.filters.http.grpc_stats", &config)]
}
