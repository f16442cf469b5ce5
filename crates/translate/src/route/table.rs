//! A route table's rules become Envoy's routes, in order: one for each condition.
//!
//! Follows Istio: compilation stops at a route that takes every request. What Envoy cannot be told
//! (a status out of range, say) has no route; the checks of the object have reported it.

use super::matching::{self, is_everything};
use super::{RulePlan, Settings, TablePlan, action};
use crate::name;
use crate::wire;
use meltemi_model::RouteTable;
use meltemi_model::route::HttpRule;
use meltemi_proto::envoy::config::core::v3::Metadata;
use meltemi_proto::envoy::config::route::v3 as envoy;
use meltemi_proto::envoy::config::route::v3::{
    route::Action, route_action::ClusterSpecifier, route_match::PathSpecifier,
};
use meltemi_proto::google::protobuf::Struct;
use meltemi_types::{Code, Diagnostic};
use std::collections::BTreeMap;

/// The routes of a table.
pub(super) fn routes(
    plan: &TablePlan,
    settings: &Settings,
    found: &mut Vec<Diagnostic>,
) -> Vec<envoy::Route> {
    let mut routes: Vec<envoy::Route> = Vec::new();
    let mut finished = false;
    for rule_plan in &plan.rules {
        let Some(rule) = plan.table.http.get(rule_plan.rule) else {
            continue;
        };
        if finished {
            found.push(shadowed(rule));
            continue;
        }
        for route in of_rule(plan, rule, rule_plan, settings) {
            let last = route.r#match.as_ref().is_some_and(is_everything);
            routes.push(route);
            if last {
                finished = true;
                break;
            }
        }
    }
    routes
}

fn shadowed(rule: &HttpRule) -> Diagnostic {
    Diagnostic::warning(
        Code::ShadowedRoute,
        rule.origin.clone(),
        "an earlier route takes every request, so this one is never used",
        "move it before that route, or remove it",
    )
}

fn of_rule(
    plan: &TablePlan,
    rule: &HttpRule,
    rule_plan: &RulePlan,
    settings: &Settings,
) -> Vec<envoy::Route> {
    let Some(template) = action::template(rule, rule_plan, plan.port, settings) else {
        return Vec::new();
    };
    let name = rule.name.as_deref().unwrap_or_default();
    let template = envoy::Route {
        metadata: Some(config(&plan.table)),
        ..template
    };
    let finish = |route: envoy::Route| envoy::Route {
        decorator: Some(decorator(plan, &route)),
        ..route
    };
    let Some(conditions) = &rule_plan.conditions else {
        return vec![finish(envoy::Route {
            name: name.into(),
            r#match: Some(matching::everything()),
            ..template
        })];
    };
    let conditions = conditions
        .iter()
        .filter_map(|index| rule.matches.get(*index));
    conditions
        .filter_map(|condition| {
            let request = &condition.request;
            let mut matched = matching::route_match(request)?;
            if plan.table.matches_elements() {
                matching::by_elements(&mut matched);
            }
            Some(finish(envoy::Route {
                name: match request.name.as_deref().filter(|n| !n.is_empty()) {
                    Some(own) => format!("{name}.{own}"),
                    None => name.into(),
                },
                stat_prefix: request.stat_prefix.clone().unwrap_or_default(),
                r#match: Some(matched),
                ..template.clone()
            }))
        })
        .collect()
}

/// `filter_metadata.istio.config`: which object the route came from.
fn config(table: &RouteTable) -> Metadata {
    let path = wire::string_value(&wire::config_path(&table.origin));
    let istio = Struct {
        fields: BTreeMap::from([("config".into(), path)]),
    };
    Metadata {
        filter_metadata: BTreeMap::from([("istio".into(), istio)]),
        ..Metadata::default()
    }
}

/// How spans name the operation: `<host>:<port><path>`, by the table's name where there is not one
/// cluster.
fn decorator(plan: &TablePlan, route: &envoy::Route) -> envoy::Decorator {
    let specifier = route
        .r#match
        .as_ref()
        .and_then(|m| m.path_specifier.as_ref());
    let path = match specifier {
        Some(PathSpecifier::Prefix(prefix)) => format!("{prefix}*"),
        Some(PathSpecifier::Path(path)) => path.clone(),
        Some(PathSpecifier::PathSeparatedPrefix(prefix)) => format!("{prefix}/*"),
        Some(PathSpecifier::SafeRegex(regex)) => regex.regex.clone(),
        Some(PathSpecifier::ConnectMatcher(_) | PathSpecifier::PathMatchPolicy(_)) | None => {
            "/*".into()
        }
    };
    let action = match &route.action {
        Some(Action::Route(action)) => action.cluster_specifier.as_ref(),
        Some(
            Action::Redirect(_)
            | Action::DirectResponse(_)
            | Action::FilterAction(_)
            | Action::NonForwardingAction(_),
        )
        | None => None,
    };
    let cluster = match action {
        Some(ClusterSpecifier::Cluster(cluster)) => name::parse_outbound(cluster),
        Some(
            ClusterSpecifier::ClusterHeader(_)
            | ClusterSpecifier::WeightedClusters(_)
            | ClusterSpecifier::ClusterSpecifierPlugin(_)
            | ClusterSpecifier::InlineClusterSpecifierPlugin(_),
        )
        | None => None,
    };
    let operation = match cluster {
        Some((port, _, host)) => format!("{host}:{port}{path}"),
        None => format!("{}:{}{path}", plan.table.name, plan.port),
    };
    envoy::Decorator {
        operation,
        ..envoy::Decorator::default()
    }
}
