//! The one route of inbound listeners: everything goes to the workload.
//!
//! The surprise: no timeout here, because the client's proxy keeps it; and a request that a
//! closing connection swallowed is tried again.

use super::HttpInput;
use crate::wire;
use meltemi_api::networking::virtual_service::HttpRetry;
use meltemi_proto::envoy::config::route::v3 as envoy;
use meltemi_types::Protocol;
use std::sync::Arc;

/// Where inbound requests go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InboundRoute {
    /// The cluster, which also names the route configuration.
    pub(crate) cluster: Arc<str>,
    /// `inbound|http|<service port>`.
    pub(crate) virtual_host: Arc<str>,
    /// The name of the operation in traces.
    pub(crate) operation: Arc<str>,
}

/// The route configuration.
pub(super) fn configuration(
    inbound: &InboundRoute,
    input: &HttpInput<'_>,
) -> envoy::RouteConfiguration {
    let InboundRoute {
        cluster,
        virtual_host,
        operation,
    } = inbound;
    let action = envoy::RouteAction {
        cluster_specifier: Some(envoy::route_action::ClusterSpecifier::Cluster(
            cluster.to_string(),
        )),
        timeout: Some(wire::zero()),
        max_stream_duration: Some(envoy::route_action::MaxStreamDuration {
            max_stream_duration: Some(wire::zero()),
            grpc_timeout_header_max: Some(wire::zero()),
            grpc_timeout_header_offset: None,
        }),
        retry_policy: retry(input),
        ..envoy::RouteAction::default()
    };
    let route = envoy::Route {
        name: "default".into(),
        r#match: Some(envoy::RouteMatch {
            path_specifier: Some(envoy::route_match::PathSpecifier::Prefix("/".into())),
            ..envoy::RouteMatch::default()
        }),
        action: Some(envoy::route::Action::Route(action)),
        decorator: Some(envoy::Decorator {
            operation: operation.to_string(),
            propagate: None,
        }),
        ..envoy::Route::default()
    };
    envoy::RouteConfiguration {
        name: cluster.to_string(),
        virtual_hosts: vec![envoy::VirtualHost {
            name: virtual_host.to_string(),
            domains: vec!["*".into()],
            routes: vec![route],
            ..envoy::VirtualHost::default()
        }],
        validate_clusters: Some(wire::bool(false)),
        ..envoy::RouteConfiguration::default()
    }
}

/// Mesh config's retries towards the own workload; never for gRPC, whose clients retry.
fn retry(input: &HttpInput<'_>) -> Option<envoy::RetryPolicy> {
    let default = HttpRetry::default();
    let config = &input.traits.mesh.config;
    let custom = config.default_inbound_http_retry_policy.as_ref();
    if custom.is_none() && input.spec.protocol == Protocol::Grpc {
        return None;
    }
    let HttpRetry {
        attempts,
        per_try_timeout,
        retry_on,
        retry_remote_localities: _,     // one endpoint only
        retry_ignore_previous_hosts: _, // one endpoint only
        backoff,
    } = custom.unwrap_or(&default);
    let attempts = u32::try_from(attempts.unwrap_or(2)).ok()?;
    let retry_on = retry_on.as_deref().filter(|on| !on.is_empty());
    (attempts > 0).then(|| envoy::RetryPolicy {
        retry_on: retry_on.unwrap_or("reset-before-request").into(),
        num_retries: Some(wire::u32(attempts)),
        per_try_timeout: per_try_timeout.map(wire::duration),
        retry_back_off: backoff.map(|base| envoy::retry_policy::RetryBackOff {
            base_interval: Some(wire::duration(base)),
            max_interval: None,
        }),
        ..envoy::RetryPolicy::default()
    })
}
