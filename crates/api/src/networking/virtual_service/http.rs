//! HTTP rules: what they match, and where the requests go.

use super::{
    CorsPolicy, Destination, Headers, HttpDirectResponse, HttpFaultInjection, HttpRedirect,
    HttpRetry, HttpRewrite,
};
use crate::duration::Duration;
use crate::message::message;
use crate::percent::Percent;
use crate::string_match::StringMatch;
use std::collections::BTreeMap;

message! {
    /// One rule for HTTP requests. Sets one of `route`, `redirect`, `directResponse`, or
    /// `delegate`.
    pub struct HttpRoute {
        /// A name for logs and statistics.
        pub name: Option<String>,
        /// Alternatives; a request must satisfy one of them. Default: every request matches.
        #[serde(rename = "match")]
        pub matches: Vec<HttpMatchRequest>,
        /// The destinations, split by weight.
        pub route: Vec<HttpRouteDestination>,
        /// Answers with a redirect.
        pub redirect: Option<HttpRedirect>,
        /// Answers with a fixed response.
        pub direct_response: Option<HttpDirectResponse>,
        /// Hands the requests to the rules of another VirtualService.
        pub delegate: Option<Delegate>,
        /// Rewrites path and host. Not together with `redirect`.
        pub rewrite: Option<HttpRewrite>,
        /// How long a request may take, retries included; at least 1ms. Default: no limit.
        pub timeout: Option<Duration>,
        /// How failed requests are tried again. Default: mesh config's `defaultHttpRetryPolicy`.
        pub retries: Option<HttpRetry>,
        /// Faults to inject.
        pub fault: Option<HttpFaultInjection>,
        /// A destination that gets a copy of the requests; its answers are dropped.
        pub mirror: Option<Destination>,
        /// Destinations that get copies of the requests. Excludes `mirror`.
        pub mirrors: Vec<HttpMirrorPolicy>,
        /// Deprecated: the share that `mirror` gets, in whole percent. Use `mirrorPercentage`.
        #[serde(alias = "mirror_percent")]
        pub mirror_percent: Option<u32>,
        /// The share of requests that `mirror` gets. Default: all of them.
        pub mirror_percentage: Option<Percent>,
        /// Cross-origin resource sharing.
        pub cors_policy: Option<CorsPolicy>,
        /// Changes of headers.
        pub headers: Option<Headers>,
    }
}

message! {
    /// Conditions on a request; all that are set must hold.
    pub struct HttpMatchRequest {
        /// A name, appended to the rule's in logs.
        pub name: Option<String>,
        /// The path, without the query.
        pub uri: Option<StringMatch>,
        /// The scheme: `http` or `https`.
        pub scheme: Option<StringMatch>,
        /// The method, for example `GET`.
        pub method: Option<StringMatch>,
        /// The `Host` or `:authority` header.
        pub authority: Option<StringMatch>,
        /// Headers by lower-case name; an empty condition asks for presence.
        pub headers: BTreeMap<String, StringMatch>,
        /// The port of the listener that the request came in on, 1 to 65535.
        pub port: Option<u32>,
        /// Labels that the client's workload must carry.
        pub source_labels: BTreeMap<String, String>,
        /// Gateways that the condition is for; replaces the VirtualService's list.
        pub gateways: Vec<String>,
        /// Query parameters by name; an empty condition asks for presence.
        pub query_params: BTreeMap<String, StringMatch>,
        /// Whether the case of the path is ignored (exact and prefix only). Default false.
        pub ignore_uri_case: Option<bool>,
        /// Headers that must not match; an empty condition asks for absence.
        pub without_headers: BTreeMap<String, StringMatch>,
        /// The namespace that the client's workload must be in.
        pub source_namespace: Option<String>,
        /// A prefix for statistics of the route.
        pub stat_prefix: Option<String>,
    }
}

message! {
    /// A destination of requests and its share of them.
    pub struct HttpRouteDestination {
        /// The service. Required.
        pub destination: Destination,
        /// The share, relative to the sum of all weights of the rule. Default 0, or everything
        /// when there is one destination.
        pub weight: Option<i64>,
        /// Changes of headers, for this destination alone.
        pub headers: Option<Headers>,
    }
}

message! {
    /// A destination that gets copies of requests.
    pub struct HttpMirrorPolicy {
        /// The service. Required.
        pub destination: Destination,
        /// The share of requests. Default: all of them.
        pub percentage: Option<Percent>,
    }
}

message! {
    /// Another VirtualService whose rules take over.
    pub struct Delegate {
        /// Its name. Required.
        pub name: Option<String>,
        /// Its namespace. Default: that of the delegating VirtualService.
        pub namespace: Option<String>,
    }
}
