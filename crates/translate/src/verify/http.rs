//! The HTTP connection manager: its last filter is the router, and nothing contradicts itself.

use super::report::Report;
use meltemi_proto::envoy::config::route::v3::{RouteConfiguration, route::Action};
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, http_connection_manager::RouteSpecifier,
    http_filter::ConfigType,
};
use meltemi_proto::urls;
use std::collections::BTreeSet;

const ROUTER: &str = "envoy.extensions.filters.http.router.v3.Router";

/// Looks at a connection manager; its filters and routes are looked at by the walk.
pub(super) fn check(manager: &HttpConnectionManager, report: &mut Report) {
    filters(&manager.http_filters, report);
    if let Some(RouteSpecifier::RouteConfig(routes)) = &manager.route_specifier {
        report.at("route_config", |report| inline_routes(routes, report));
    }
    let remote = manager.use_remote_address.as_ref();
    if remote.is_some_and(|remote| remote.value)
        && !manager.original_ip_detection_extensions.is_empty()
    {
        report.at("use_remote_address", |report| {
            report.add("must not be true beside original_ip_detection_extensions");
        });
    }
    let mut seen = BTreeSet::new();
    report.each(
        "upgrade_configs",
        &manager.upgrade_configs,
        |report, upgrade| {
            if !seen.insert(upgrade.upgrade_type.to_ascii_lowercase()) {
                report.at("upgrade_type", |report| {
                    report.add(format!("must not be {:?} again", upgrade.upgrade_type));
                });
            }
        },
    );
}

/// No filters at all are accepted; such a listener answers nothing.
fn filters(filters: &[HttpFilter], report: &mut Report) {
    let last = filters.len().saturating_sub(1);
    let mut index = 0;
    report.each("http_filters", filters, |report, filter| {
        if let Some(ConfigType::TypedConfig(any)) = &filter.config_type {
            let name = urls::message_name(&any.type_url);
            if index < last && name == ROUTER {
                report.add("must be the last filter: nothing may follow the router");
            }
            let is_core = name.starts_with("envoy.extensions.filters.http.");
            if index == last && is_core && name != ROUTER {
                report.add(format!(
                    "must be followed by the router: {name} does not end the chain"
                ));
            }
        }
        index += 1;
    });
}

/// Inline routes look their clusters up when the listener is loaded, unless told not to.
fn inline_routes(routes: &RouteConfiguration, report: &mut Report) {
    let validates = routes
        .validate_clusters
        .as_ref()
        .is_none_or(|validate| validate.value);
    let all = routes.virtual_hosts.iter().flat_map(|host| &host.routes);
    let has_clusters = all
        .into_iter()
        .any(|route| matches!(route.action, Some(Action::Route(_))));
    if validates && has_clusters {
        report.at("validate_clusters", |report| {
            report.add("must be false: the clusters may arrive after the listener");
        });
    }
}
