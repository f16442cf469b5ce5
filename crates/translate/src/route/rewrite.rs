//! Rewriting path and host before a request is forwarded.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRewrite>.
//! A `host` among the headers to set is a rewrite too; `rewrite.authority` stands before it.

use super::Settings;
use super::headers::is_value;
use super::matching;
use meltemi_api::networking::virtual_service::{HttpRewrite, RegexRewrite};
use meltemi_proto::envoy::config::route::v3::RouteAction;
use meltemi_proto::envoy::config::route::v3::route_action::HostRewriteSpecifier;
use meltemi_proto::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;

/// Sets the rewrites of a route; `host` is what the headers to set say.
pub(super) fn apply(
    action: &mut RouteAction,
    rewrite: Option<&HttpRewrite>,
    host: Option<String>,
    settings: &Settings,
) {
    let mut host = host;
    if let Some(rewrite) = rewrite {
        let HttpRewrite {
            uri,
            authority,
            uri_regex_rewrite,
        } = rewrite;
        let usable = |text: &&String| !text.is_empty() && is_value(text);
        match uri_regex_rewrite.as_ref().and_then(regex) {
            Some(regex) => action.regex_rewrite = Some(regex),
            None => {
                let prefix = uri.as_ref().filter(usable);
                action.prefix_rewrite = prefix.cloned().unwrap_or_default();
            }
        }
        host = authority.as_ref().filter(usable).cloned().or(host);
    }
    if let Some(host) = host {
        action.host_rewrite_specifier = Some(HostRewriteSpecifier::HostRewriteLiteral(host));
        action.append_x_forwarded_host = settings.forwarded_host;
    }
}

fn regex(rewrite: &RegexRewrite) -> Option<RegexMatchAndSubstitute> {
    let RegexRewrite { matches, rewrite } = rewrite;
    (!matches.is_empty()).then(|| RegexMatchAndSubstitute {
        pattern: Some(matching::re2(matches)),
        substitution: rewrite.clone(),
    })
}
