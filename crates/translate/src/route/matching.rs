//! Conditions on requests.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPMatchRequest>.
//! An empty prefix takes everything present: Envoy refuses it as such. Conditions on the caller and
//! the listener are decided when planning.

use super::claims;
use super::headers::is_match_name;
use crate::wire;
use meltemi_api::networking::virtual_service::HttpMatchRequest;
use meltemi_api::string_match::StringMatch;
use meltemi_proto::envoy::config::route::v3 as envoy;
use meltemi_proto::envoy::config::route::v3::{
    header_matcher::HeaderMatchSpecifier, query_parameter_matcher::QueryParameterMatchSpecifier,
    route_match::PathSpecifier,
};
use meltemi_proto::envoy::r#type::matcher::v3::{
    RegexMatcher, StringMatcher, string_matcher::MatchPattern,
};

/// Every request.
pub(super) fn everything() -> envoy::RouteMatch {
    envoy::RouteMatch {
        path_specifier: Some(PathSpecifier::Prefix("/".into())),
        ..envoy::RouteMatch::default()
    }
}

/// True when a match takes every request.
pub(super) fn is_everything(matched: &envoy::RouteMatch) -> bool {
    let path = match &matched.path_specifier {
        Some(PathSpecifier::Prefix(prefix) | PathSpecifier::PathSeparatedPrefix(prefix)) => {
            prefix == "/"
        }
        Some(PathSpecifier::SafeRegex(regex)) => matches!(regex.regex.as_str(), ".*" | "*"),
        Some(
            PathSpecifier::Path(_)
            | PathSpecifier::ConnectMatcher(_)
            | PathSpecifier::PathMatchPolicy(_),
        )
        | None => false,
    };
    path && matched.headers.is_empty()
        && matched.query_parameters.is_empty()
        && matched.dynamic_metadata.is_empty()
}

/// The match of one condition; `None` when no request can satisfy it.
pub(super) fn route_match(request: &HttpMatchRequest) -> Option<envoy::RouteMatch> {
    let HttpMatchRequest {
        name: _, // the route's name: table.rs
        uri,
        scheme,
        method,
        authority,
        headers,
        port: _,          // decided when planning: resolve.rs
        source_labels: _, // decided when planning
        gateways: _,      // decided when planning
        query_params,
        ignore_uri_case,
        without_headers,
        source_namespace: _, // decided when planning
        stat_prefix: _,      // the route's: table.rs
    } = request;
    let path = path(uri.as_ref());
    let regex = matches!(path, PathSpecifier::SafeRegex(_));
    let mut matched = envoy::RouteMatch {
        path_specifier: Some(path),
        case_sensitive: (*ignore_uri_case == Some(true) && !regex).then(|| wire::bool(false)),
        ..envoy::RouteMatch::default()
    };
    for (name, value) in headers {
        if let Some(claim) = claims::path(name) {
            matched
                .dynamic_metadata
                .push(claims::matcher(&claim, value));
        } else if is_match_name(name) {
            matched.headers.push(header(name, value));
        } else {
            return None;
        }
    }
    for (name, value) in without_headers {
        if let Some(claim) = claims::path(name) {
            let mut matcher = claims::matcher(&claim, value);
            matcher.invert = true;
            matched.dynamic_metadata.push(matcher);
        } else if is_match_name(name) {
            matched.headers.push(absent(name, value));
        }
    }
    let special = [
        (":method", method),
        (":authority", authority),
        (":scheme", scheme),
    ];
    for (name, value) in special {
        matched
            .headers
            .extend(value.as_ref().map(|v| header(name, v)));
    }
    let parameters = query_params.iter().filter(|(name, _)| !name.is_empty());
    matched.query_parameters = parameters.map(|(name, value)| query(name, value)).collect();
    Some(matched)
}

/// Makes a prefix take whole elements of the path only.
pub(super) fn by_elements(matched: &mut envoy::RouteMatch) {
    let prefix = match &matched.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) => prefix.trim_end_matches('/'),
        Some(
            PathSpecifier::Path(_)
            | PathSpecifier::SafeRegex(_)
            | PathSpecifier::PathSeparatedPrefix(_)
            | PathSpecifier::ConnectMatcher(_)
            | PathSpecifier::PathMatchPolicy(_),
        )
        | None => return,
    };
    if !prefix.is_empty() {
        matched.path_specifier = Some(PathSpecifier::PathSeparatedPrefix(prefix.into()));
    }
}

fn path(uri: Option<&StringMatch>) -> PathSpecifier {
    let Some(StringMatch {
        exact,
        prefix,
        regex,
    }) = uri
    else {
        return PathSpecifier::Prefix("/".into());
    };
    let regex = regex.as_ref().filter(|r| !r.is_empty());
    match (exact, prefix, regex) {
        (Some(exact), _, _) => PathSpecifier::Path(exact.clone()),
        (None, Some(prefix), _) if !prefix.is_empty() => PathSpecifier::Prefix(prefix.clone()),
        (None, None, Some(regex)) => PathSpecifier::SafeRegex(re2(regex)),
        (None, _, _) => PathSpecifier::Prefix("/".into()),
    }
}

/// An expression that must match as a whole.
pub(super) fn re2(regex: &str) -> RegexMatcher {
    RegexMatcher {
        regex: regex.into(),
        ..RegexMatcher::default()
    }
}

/// The matcher of a text; `None` for mere presence.
pub(super) fn text(value: &StringMatch) -> Option<StringMatcher> {
    let StringMatch {
        exact,
        prefix,
        regex,
    } = value;
    let pattern = match (exact, prefix, regex.as_deref()) {
        (Some(exact), _, _) => MatchPattern::Exact(exact.clone()),
        (None, Some(prefix), _) if prefix.is_empty() => return None,
        (None, Some(prefix), _) => MatchPattern::Prefix(prefix.clone()),
        (None, None, Some("")) => MatchPattern::Exact(String::new()),
        (None, None, Some("*")) | (None, None, None) => return None,
        (None, None, Some(regex)) => MatchPattern::SafeRegex(re2(regex)),
    };
    Some(StringMatcher {
        match_pattern: Some(pattern),
        ..StringMatcher::default()
    })
}

fn header(name: &str, value: &StringMatch) -> envoy::HeaderMatcher {
    let specifier = match text(value) {
        Some(text) => HeaderMatchSpecifier::StringMatch(text),
        None => HeaderMatchSpecifier::PresentMatch(true),
    };
    envoy::HeaderMatcher {
        name: name.into(),
        header_match_specifier: Some(specifier),
        ..envoy::HeaderMatcher::default()
    }
}

/// A header must not have the value, or must not be there at all.
fn absent(name: &str, value: &StringMatch) -> envoy::HeaderMatcher {
    let matcher = header(name, value);
    let by_value = matches!(
        matcher.header_match_specifier,
        Some(HeaderMatchSpecifier::StringMatch(_))
    );
    envoy::HeaderMatcher {
        invert_match: true,
        treat_missing_header_as_empty: by_value,
        ..matcher
    }
}

fn query(name: &str, value: &StringMatch) -> envoy::QueryParameterMatcher {
    let specifier = match text(value) {
        Some(text) => QueryParameterMatchSpecifier::StringMatch(text),
        None => QueryParameterMatchSpecifier::PresentMatch(true),
    };
    envoy::QueryParameterMatcher {
        name: name.into(),
        query_parameter_match_specifier: Some(specifier),
    }
}
