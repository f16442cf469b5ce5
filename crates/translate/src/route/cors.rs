//! Cross-origin resource sharing, switched on for single routes.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#CorsPolicy>.
//! Istio forwards preflight requests of unknown origins where Envoy would answer them.

use super::{matching, percent};
use crate::wire;
use meltemi_api::networking::virtual_service::{CorsPolicy as Policy, UnmatchedPreflights};
use meltemi_api::string_match::StringMatch;
use meltemi_proto::any;
use meltemi_proto::envoy::extensions::filters::http::cors::v3::CorsPolicy;
use meltemi_proto::google::protobuf::Any;

/// The name of the filter.
const FILTER: &str = "envoy.filters.http.cors";

/// The route's part of the CORS filter.
pub(super) fn per_route(policy: &Policy) -> (String, Any) {
    let Policy {
        allow_origin,
        allow_origins,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials,
        unmatched_preflights,
    } = policy;
    let legacy: Vec<StringMatch> = match allow_origins.as_slice() {
        [] => allow_origin.iter().map(|o| StringMatch::exact(o)).collect(),
        _ => Vec::new(),
    };
    let origins = allow_origins.iter().chain(&legacy);
    let forward = match unmatched_preflights {
        Some(UnmatchedPreflights::Ignore) => false,
        Some(UnmatchedPreflights::Forward | UnmatchedPreflights::Unspecified) | None => true,
    };
    let cors = CorsPolicy {
        allow_origin_string_match: origins.filter_map(matching::text).collect(),
        allow_methods: allow_methods.join(","),
        allow_headers: allow_headers.join(","),
        expose_headers: expose_headers.join(","),
        max_age: max_age
            .map(|age| age.seconds().to_string())
            .unwrap_or_default(),
        allow_credentials: allow_credentials.map(wire::bool),
        filter_enabled: Some(percent::fixed(percent::hundredths(100))),
        forward_not_matching_preflights: Some(wire::bool(forward)),
        ..CorsPolicy::default()
    };
    (FILTER.to_owned(), any::pack(&cors))
}
