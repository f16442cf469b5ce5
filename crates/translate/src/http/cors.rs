//! The CORS filter: always there, switched on by a route's own configuration.

use super::{HttpInput, filter as one};
use meltemi_proto::envoy::extensions::filters::http::cors::v3::Cors;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;

/// The filter.
pub(super) fn filter(_: &HttpInput<'_>) -> Vec<HttpFilter> {
    vec![one("envoy.filters.http.cors", &Cors {})]
}
