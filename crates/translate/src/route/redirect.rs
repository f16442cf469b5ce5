//! Redirects.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRedirect>.
//! A port that the scheme implies is not written into the answer. Sidecars never terminate TLS for
//! their own workload's calls, so that the scheme is `http` where none is given.

use super::headers::is_value;
use meltemi_api::networking::virtual_service::{HttpRedirect, RedirectPort};
use meltemi_proto::envoy::config::route::v3::RedirectAction;
use meltemi_proto::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};
use meltemi_types::Port;

/// The answer; `None` for a status that is no redirect, and for texts that fit no header.
pub(super) fn action(redirect: &HttpRedirect, listener: Port) -> Option<RedirectAction> {
    let HttpRedirect {
        uri,
        prefix_rewrite,
        authority,
        port,
        derive_port,
        scheme,
        redirect_code,
    } = redirect;
    let text = |value: &Option<String>| value.clone().filter(|v| !v.is_empty());
    let (uri, prefix, host) = (text(uri), text(prefix_rewrite), text(authority));
    let texts = [&uri, &prefix, &host];
    if texts.into_iter().flatten().any(|text| !is_value(text)) {
        return None;
    }
    let prefix = prefix.map(PathRewriteSpecifier::PrefixRewrite);
    let path = uri.map(PathRewriteSpecifier::PathRedirect);
    let scheme = text(scheme);
    let implied = match scheme.as_deref() {
        Some("https") => 443,
        _ => 80,
    };
    let port = match (port.filter(|p| *p != 0), derive_port) {
        (Some(port), _) => port,
        (None, Some(RedirectPort::FromRequestPort)) => listener.number(),
        (None, Some(RedirectPort::FromProtocolDefault) | None) => 0,
    };
    Some(RedirectAction {
        host_redirect: host.unwrap_or_default(),
        port_redirect: if port == implied { 0 } else { port },
        response_code: code(redirect_code.unwrap_or(0))?.into(),
        path_rewrite_specifier: prefix.or(path),
        scheme_rewrite_specifier: scheme.map(SchemeRewriteSpecifier::SchemeRedirect),
        ..RedirectAction::default()
    })
}

fn code(status: u32) -> Option<RedirectResponseCode> {
    Some(match status {
        0 | 301 => RedirectResponseCode::MovedPermanently,
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => return None,
    })
}
