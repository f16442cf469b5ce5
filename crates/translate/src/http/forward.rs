//! Resolving the host of a request: only where a service of the listener needs it, and without
//! effect on requests to other clusters.

use super::{HttpInput, Resolve, filter as one};
use crate::forward;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;

/// The filter.
pub(super) fn filter(input: &HttpInput<'_>) -> Vec<HttpFilter> {
    match input.spec.resolve {
        Resolve::Nothing => Vec::new(),
        Resolve::Hosts => {
            let config = forward::requests(&input.traits.mesh, input.traits.families);
            vec![one("envoy.filters.http.dynamic_forward_proxy", &config)]
        }
    }
}
