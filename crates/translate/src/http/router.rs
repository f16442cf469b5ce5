//! The router: the last filter.

use super::{HttpInput, filter as one, request};
use meltemi_proto::envoy::extensions::filters::http::router::v3::Router;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;

/// The filter.
pub(super) fn filter(input: &HttpInput<'_>) -> Vec<HttpFilter> {
    let router = Router {
        suppress_envoy_headers: request::hides_debug_headers(input),
        ..Router::default()
    };
    vec![one("envoy.filters.http.router", &router)]
}
