//! What a rule does with requests: everything of a route but its match and its name.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRoute>.
//! Order inside of a route: mirrors, timeout and retries, rewrite, headers.

use super::headers::Changes;
use super::{RulePlan, Settings, Target, cors, direct, fault, hash, matching, mirror};
use super::{redirect, retry, rewrite, timeout, weight};
use meltemi_api::networking::destination_rule::ConsistentHashLb;
use meltemi_api::networking::virtual_service::HttpRoute;
use meltemi_model::route::{Backend, HttpAction, HttpRule};
use meltemi_proto::envoy::config::route::v3 as envoy;
use meltemi_proto::envoy::config::route::v3::{
    route::Action,
    route_action::{ClusterSpecifier, HashPolicy},
};
use meltemi_types::Port;

/// The route of a service without a route table.
pub(super) fn default_route(
    cluster: &str,
    hash: Option<&ConsistentHashLb>,
    settings: &Settings,
) -> envoy::Route {
    let mut action = envoy::RouteAction {
        cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.into())),
        hash_policy: hash.and_then(hash::policy).into_iter().collect(),
        ..envoy::RouteAction::default()
    };
    timeout::apply(&mut action, None);
    action.retry_policy = retry::policy(None, settings, hosts(&action));
    let operation = crate::name::parse_outbound(cluster)
        .map(|(port, _, host)| format!("{host}:{port}/*"))
        .unwrap_or_default();
    envoy::Route {
        name: "default".into(),
        r#match: Some(matching::everything()),
        decorator: Some(envoy::Decorator {
            operation,
            ..envoy::Decorator::default()
        }),
        action: Some(Action::Route(action)),
        ..envoy::Route::default()
    }
}

/// How a retry may choose its host: a single hashed destination always gives the same one.
fn hosts(action: &envoy::RouteAction) -> retry::Hosts {
    let single = matches!(action.cluster_specifier, Some(ClusterSpecifier::Cluster(_)));
    match single && !action.hash_policy.is_empty() {
        true => retry::Hosts::Hashed,
        false => retry::Hosts::Any,
    }
}

/// The route of a rule without match and name; `None` when there is nothing that Envoy could do.
pub(super) fn template(
    rule: &HttpRule,
    plan: &RulePlan,
    port: Port,
    settings: &Settings,
) -> Option<envoy::Route> {
    let HttpRoute {
        name: _,            // the rule's: table.rs
        matches: _,         // the rule's conditions
        route: _,           // the rule's backends
        redirect: _,        // the rule's action
        direct_response: _, // the rule's action
        delegate: _,        // merged before
        rewrite: _,         // with the destinations, below
        timeout: _,         // with the destinations, below
        retries: _,         // with the destinations, below
        fault,
        mirror: _,            // the rule's mirrors
        mirrors: _,           // the rule's mirrors
        mirror_percent: _,    // the rule's mirrors
        mirror_percentage: _, // the rule's mirrors
        cors_policy,
        headers,
    } = &*rule.body;
    let mut changes = Changes::of(headers.as_ref());
    let action = match &rule.action {
        HttpAction::Redirect(to) => Action::Redirect(redirect::action(to, port)?),
        HttpAction::Direct(answer) => Action::DirectResponse(direct::action(answer)?),
        HttpAction::Forward(backends) => forward(rule, backends, plan, (&mut changes, settings)),
    };
    let mut route = envoy::Route {
        action: Some(action),
        request_headers_to_add: changes.request.add,
        request_headers_to_remove: changes.request.remove,
        response_headers_to_add: changes.response.add,
        response_headers_to_remove: changes.response.remove,
        ..envoy::Route::default()
    };
    let filters = &mut route.typed_per_filter_config;
    filters.extend(fault.as_ref().and_then(fault::per_route));
    filters.extend(cors_policy.as_ref().map(cors::per_route));
    Some(route)
}

/// Sends requests to the backends.
fn forward(
    rule: &HttpRule,
    backends: &[Backend],
    plan: &RulePlan,
    (changes, settings): (&mut Changes, &Settings),
) -> Action {
    let body = &*rule.body;
    let mut action = envoy::RouteAction::default();
    match (backends, plan.backends.as_slice()) {
        ([backend], [Target::Cluster { name, hash }]) => {
            action.cluster_specifier = Some(ClusterSpecifier::Cluster(name.to_string()));
            action.hash_policy = hash.as_deref().and_then(hash::policy).into_iter().collect();
            changes.append(Changes::of(backend.headers.as_ref()));
        }
        (several, targets) => match weight::clusters(several, targets) {
            Some(clusters) => {
                action.hash_policy = hash_policies(targets);
                action.cluster_specifier = Some(ClusterSpecifier::WeightedClusters(clusters));
                if targets.contains(&Target::Invalid) {
                    use envoy::route_action::ClusterNotFoundResponseCode::InternalServerError;
                    action.cluster_not_found_response_code = InternalServerError.into();
                }
            }
            None => return Action::DirectResponse(direct::failure()),
        },
    }
    action.request_mirror_policies = mirror::policies(&rule.mirrors, &plan.mirrors);
    timeout::apply(&mut action, body.timeout);
    action.retry_policy = retry::policy(body.retries.as_ref(), settings, hosts(&action));
    rewrite::apply(
        &mut action,
        body.rewrite.as_ref(),
        changes.host.take(),
        settings,
    );
    Action::Route(action)
}

/// Those of all destinations, each once.
fn hash_policies(targets: &[Target]) -> Vec<HashPolicy> {
    let mut all: Vec<HashPolicy> = Vec::new();
    for target in targets {
        let policy = match target {
            Target::Cluster { name: _, hash } => hash.as_deref().and_then(hash::policy),
            Target::Invalid => None,
        };
        all.extend(policy.filter(|policy| !all.contains(policy)));
    }
    all
}
