//! Route tables: whole or inline, each table is refused for one bad route.

use super::report::Report;
use super::template;
use meltemi_proto::any;
use meltemi_proto::envoy::config::core::v3::data_source::Specifier;
use meltemi_proto::envoy::config::route::v3::retry_policy::RetryBackOff;
use meltemi_proto::envoy::config::route::v3::route::Action;
use meltemi_proto::envoy::config::route::v3::route_action::{
    ClusterSpecifier, RequestMirrorPolicy,
};
use meltemi_proto::envoy::config::route::v3::route_match::PathSpecifier;
use meltemi_proto::envoy::config::route::v3::{
    DirectResponseAction, RetryPolicy, Route, RouteAction, RouteConfiguration, RouteMatch,
    VirtualHost, WeightedCluster,
};
use meltemi_proto::envoy::extensions::path::r#match::uri_template::v3::UriTemplateMatchConfig;
use meltemi_proto::envoy::extensions::path::rewrite::uri_template::v3::UriTemplateRewriteConfig;
use meltemi_proto::google::protobuf::Duration;
use std::collections::BTreeMap;

/// How long a direct response may be unless the table says otherwise.
const MAX_BODY: u32 = 4096;

/// Looks at a table; its headers and expressions are looked at by the walk.
pub(super) fn check(table: &RouteConfiguration, report: &mut Report) {
    domains(&table.virtual_hosts, report);
    mirrors(&table.request_mirror_policies, report);
    let max_body = table
        .max_direct_response_body_size_bytes
        .as_ref()
        .map_or(MAX_BODY, |size| size.value);
    report.each("virtual_hosts", &table.virtual_hosts, |report, host| {
        mirrors(&host.request_mirror_policies, report);
        retries(host.retry_policy.as_ref(), report);
        report.each("routes", &host.routes, |report, each| {
            route(each, max_body, report);
        });
    });
}

/// A domain belongs to one virtual host, whatever its case.
fn domains(hosts: &[VirtualHost], report: &mut Report) {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    report.each("virtual_hosts", hosts, |report, host| {
        report.each("domains", &host.domains, |report, domain| {
            if let Some(owner) = owners.insert(domain.to_ascii_lowercase(), &host.name) {
                report.add(format!(
                    "must not be {domain:?} again: virtual host {owner:?} has this domain already"
                ));
            }
        });
    });
}

fn route(route: &Route, max_body: u32, report: &mut Report) {
    match &route.action {
        Some(Action::Route(action)) => {
            let matched = route.r#match.as_ref();
            report.at("route", |report| forward(action, matched, report));
        }
        Some(Action::DirectResponse(response)) => report.at("direct_response", |report| {
            body(response, max_body, report);
        }),
        Some(Action::Redirect(_) | Action::FilterAction(_) | Action::NonForwardingAction(_))
        | None => {}
    }
}

fn body(response: &DirectResponseAction, max_body: u32, report: &mut Report) {
    let specifier = response
        .body
        .as_ref()
        .and_then(|body| body.specifier.as_ref());
    let length = match specifier {
        Some(Specifier::InlineString(text)) => text.len(),
        Some(Specifier::InlineBytes(bytes)) => bytes.len(),
        Some(Specifier::Filename(_) | Specifier::EnvironmentVariable(_)) | None => 0,
    };
    if length > usize::try_from(max_body).unwrap_or(usize::MAX) {
        report.at("body", |report| {
            report.add(format!(
                "must have at most {max_body} bytes (max_direct_response_body_size_bytes), not \
                 {length}"
            ));
        });
    }
}

fn forward(action: &RouteAction, matched: Option<&RouteMatch>, report: &mut Report) {
    if let Some(ClusterSpecifier::WeightedClusters(clusters)) = &action.cluster_specifier {
        report.at("weighted_clusters", |report| weights(clusters, report));
    }
    let rewrites = [
        !action.prefix_rewrite.is_empty(),
        action.regex_rewrite.is_some(),
        action.path_rewrite_policy.is_some(),
        !action.path_rewrite.is_empty(),
    ];
    if rewrites.iter().filter(|is_set| **is_set).count() > 1 {
        report.add(
            "must rewrite the path in one way only: prefix_rewrite, regex_rewrite, \
             path_rewrite_policy or path_rewrite",
        );
    }
    path_rewrite(action, matched, report);
    mirrors(&action.request_mirror_policies, report);
    retries(action.retry_policy.as_ref(), report);
}

fn weights(clusters: &WeightedCluster, report: &mut Report) {
    let mut sum = 0_u64;
    let mut unset = false;
    report.each("clusters", &clusters.clusters, |report, cluster| {
        match cluster.weight.as_ref() {
            Some(weight) => sum = sum.saturating_add(weight.value.into()),
            None => {
                unset = true;
                report.at("weight", |report| report.add("must be set"));
            }
        }
        one_of(&cluster.name, &cluster.cluster_header, "name", report);
    });
    if !clusters.clusters.is_empty() && !unset && sum == 0 {
        report.add("must have a weight above 0");
    }
    if sum > u32::MAX.into() {
        report.add(format!(
            "must have weights that sum up to at most {}, not {sum}",
            u32::MAX
        ));
    }
}

fn one_of(name: &str, header: &str, field: &str, report: &mut Report) {
    if name.is_empty() == header.is_empty() {
        report.add(format!("must have either a {field} or a cluster_header"));
    }
}

fn mirrors(policies: &[RequestMirrorPolicy], report: &mut Report) {
    report.each("request_mirror_policies", policies, |report, policy| {
        one_of(&policy.cluster, &policy.cluster_header, "cluster", report);
    });
}

fn retries(policy: Option<&RetryPolicy>, report: &mut Report) {
    let Some(RetryBackOff {
        base_interval: Some(base),
        max_interval: Some(most),
    }) = policy.and_then(|policy| policy.retry_back_off.as_ref())
    else {
        return;
    };
    let whole = |duration: &Duration| (duration.seconds, duration.nanos);
    if whole(most) < whole(base) {
        report.at("retry_policy.retry_back_off.max_interval", |report| {
            report.add("must not be shorter than base_interval");
        });
    }
}

/// A rewrite by template takes its variables from the template of the match.
fn path_rewrite(action: &RouteAction, matched: Option<&RouteMatch>, report: &mut Report) {
    let policy = action.path_rewrite_policy.as_ref();
    let config = policy.and_then(|policy| policy.typed_config.as_ref());
    let Some(Ok(rewrite)) = config.map(any::unpack::<UriTemplateRewriteConfig>) else {
        return;
    };
    report.at("path_rewrite_policy", |report| {
        let text = &rewrite.path_template_rewrite;
        let wanted = match template::parse_rewrite(text) {
            Ok(variables) => variables,
            Err(problem) => {
                return report.add(format!("must be a path, not {text:?}: {problem}"));
            }
        };
        let Some(of_match) = match_template(matched) else {
            return report.add("must not be used without a path_match_policy");
        };
        // A template that is wrong is told where it stands.
        let Ok(known) = template::parse(&of_match.path_template) else {
            return;
        };
        if let Some(unknown) = wanted.iter().find(|variable| !known.contains(variable)) {
            report.add(format!(
                "must not use {unknown:?}, which the path_match_policy has not"
            ));
        }
    });
}

fn match_template(matched: Option<&RouteMatch>) -> Option<UriTemplateMatchConfig> {
    match matched?.path_specifier.as_ref()? {
        PathSpecifier::PathMatchPolicy(policy) => any::unpack(policy.typed_config.as_ref()?).ok(),
        PathSpecifier::Prefix(_)
        | PathSpecifier::Path(_)
        | PathSpecifier::SafeRegex(_)
        | PathSpecifier::ConnectMatcher(_)
        | PathSpecifier::PathSeparatedPrefix(_) => None,
    }
}
