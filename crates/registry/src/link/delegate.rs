//! Delegation: a rule of a root VirtualService that is replaced by the rules of another one.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#Delegate>.
//! A delegate's condition that fits no condition of the root drops its whole rule.

use meltemi_api::networking::virtual_service::{HttpMatchRequest, HttpRoute};
use meltemi_api::string_match::StringMatch;
use meltemi_model::route::{HttpMatch, HttpRule};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The delegate's `rule` as it stands in place of the root's; `None` when they exclude each other.
pub(crate) fn merge(root: &HttpRule, rule: &HttpRule) -> Option<HttpRule> {
    let matches = match (root.matches.is_empty(), rule.matches.is_empty()) {
        (true, _) => rule.matches.clone(),
        (false, true) => root.matches.clone(),
        (false, false) => merged_matches(&root.matches, &rule.matches)?,
    };
    let body = overlay(&root.body, &rule.body);
    let mirrors = match rule.mirrors.is_empty() {
        true => root.mirrors.clone(),
        false => rule.mirrors.clone(),
    };
    let name = match (&root.name, &rule.name) {
        (Some(root), Some(own)) => Some(format!("{root}-{own}").into()),
        (root, own) => own.clone().or_else(|| root.clone()),
    };
    Some(HttpRule {
        origin: rule.origin.clone(),
        name,
        matches,
        action: rule.action.clone(),
        mirrors,
        body: Arc::new(body),
    })
}

/// Whole fields: the delegate's when set, else the root's.
fn overlay(root: &HttpRoute, own: &HttpRoute) -> HttpRoute {
    let HttpRoute {
        name,
        matches,
        route,
        redirect,
        direct_response,
        delegate,
        rewrite,
        timeout,
        retries,
        fault,
        mirror,
        mirrors,
        mirror_percent,
        mirror_percentage,
        cors_policy,
        headers,
    } = own.clone();
    let root = root.clone();
    HttpRoute {
        name,
        matches,
        route,
        redirect,
        direct_response: direct_response.or(root.direct_response),
        delegate,
        rewrite: rewrite.or(root.rewrite),
        timeout: timeout.or(root.timeout),
        retries: retries.or(root.retries),
        fault: fault.or(root.fault),
        mirror: mirror.or(root.mirror),
        mirrors: if mirrors.is_empty() {
            root.mirrors
        } else {
            mirrors
        },
        mirror_percent: mirror_percent.or(root.mirror_percent),
        mirror_percentage: mirror_percentage.or(root.mirror_percentage),
        cors_policy: cors_policy.or(root.cors_policy),
        headers: headers.or(root.headers),
    }
}

fn merged_matches(root: &[HttpMatch], own: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    let mut merged = Vec::new();
    for condition in own {
        let fits = root.iter().filter(|r| compatible(r, condition));
        let before = merged.len();
        merged.extend(fits.map(|r| merged_match(r, condition)));
        if merged.len() == before {
            return None;
        }
    }
    Some(merged)
}

fn merged_match(root: &HttpMatch, own: &HttpMatch) -> HttpMatch {
    let HttpMatchRequest {
        name,
        uri,
        scheme,
        method,
        authority,
        headers,
        port,
        source_labels,
        gateways,
        query_params,
        ignore_uri_case,
        without_headers,
        source_namespace,
        stat_prefix,
    } = HttpMatchRequest::clone(&own.request);
    let root_request = HttpMatchRequest::clone(&root.request);
    let name = match (root_request.name, name) {
        (Some(root), Some(own)) => Some(format!("{root}-{own}")),
        (root, own) => own.or(root),
    };
    let request = HttpMatchRequest {
        name,
        uri: uri.or(root_request.uri),
        scheme: scheme.or(root_request.scheme),
        method: method.or(root_request.method),
        authority: authority.or(root_request.authority),
        headers: union(root_request.headers, headers),
        port: port.or(root_request.port),
        source_labels: union(root_request.source_labels, source_labels),
        gateways: if gateways.is_empty() {
            root_request.gateways
        } else {
            gateways
        },
        query_params: union(root_request.query_params, query_params),
        ignore_uri_case: ignore_uri_case.or(root_request.ignore_uri_case),
        without_headers: union(root_request.without_headers, without_headers),
        source_namespace: source_namespace.or(root_request.source_namespace),
        stat_prefix: stat_prefix.or(root_request.stat_prefix),
    };
    let attach = if own.attach.is_empty() {
        &root.attach
    } else {
        &own.attach
    };
    HttpMatch {
        origin: own.origin.clone(),
        request: Arc::new(request),
        attach: attach.clone(),
    }
}

fn union<V>(mut root: BTreeMap<String, V>, own: BTreeMap<String, V>) -> BTreeMap<String, V> {
    root.extend(own);
    root
}

fn compatible(root: &HttpMatch, own: &HttpMatch) -> bool {
    let (r, o) = (&root.request, &own.request);
    let texts = [
        (&r.uri, &o.uri),
        (&r.scheme, &o.scheme),
        (&r.method, &o.method),
        (&r.authority, &o.authority),
    ];
    let gateways = root.attach.is_empty()
        || own
            .attach
            .iter()
            .all(|gateway| root.attach.contains(gateway));
    texts.iter().all(|(r, o)| text_fits(r.as_ref(), o.as_ref()))
        && maps_fit(&r.headers, &o.headers)
        && maps_fit(&r.without_headers, &o.without_headers)
        && maps_fit(&r.query_params, &o.query_params)
        && r.ignore_uri_case.unwrap_or(false) == o.ignore_uri_case.unwrap_or(false)
        && (r.port.is_none() || o.port.is_none() || r.port == o.port)
        && (r.source_namespace.is_none() || r.source_namespace == o.source_namespace)
        && r.source_labels
            .iter()
            .all(|(k, v)| o.source_labels.get(k).is_none_or(|own| own == v))
        && gateways
}

fn maps_fit(root: &BTreeMap<String, StringMatch>, own: &BTreeMap<String, StringMatch>) -> bool {
    root.iter()
        .all(|(key, r)| own.get(key).is_none_or(|o| text_fits(Some(r), Some(o))))
}

/// A regular expression fits nothing; an exact text fits itself; a prefix fits what starts so.
fn text_fits(root: Option<&StringMatch>, own: Option<&StringMatch>) -> bool {
    let (Some(root), Some(own)) = (root, own) else {
        return true;
    };
    let whole = own.exact.as_ref().or(own.prefix.as_ref());
    match (&root.exact, &root.prefix, &root.regex, &own.regex) {
        (_, _, Some(_), _) | (_, _, _, Some(_)) => false,
        (Some(exact), _, _, _) => own.exact.as_ref() == Some(exact),
        (None, Some(prefix), _, _) => whole.is_some_and(|text| text.starts_with(prefix.as_str())),
        (None, None, None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_when_the_delegate_narrows_the_root() {
        let exact = StringMatch::exact;
        let prefix = StringMatch::prefix;
        let fits = |r: StringMatch, o: StringMatch| text_fits(Some(&r), Some(&o));
        assert!(fits(prefix("/a"), prefix("/a/b")));
        assert!(fits(prefix("/a"), exact("/a/b")));
        assert!(!fits(prefix("/a/b"), prefix("/a")));
        assert!(fits(exact("/a"), exact("/a")));
        assert!(!fits(exact("/a"), prefix("/a")));
        assert!(!fits(StringMatch::regex(".*"), exact("/a")));
        assert!(text_fits(None, Some(&StringMatch::regex(".*"))));
    }
}
