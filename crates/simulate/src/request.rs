//! Which route takes a request. By path alone, as traffic scenarios are written, or by
//! everything that the call says of itself.

use crate::call::{Call, Request};
use crate::matching;
use crate::outcome::Stop;
use meltemi_proto::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use meltemi_proto::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use meltemi_proto::envoy::config::route::v3::route_match::PathSpecifier;
use meltemi_proto::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher, RouteMatch};

/// True when the route takes the call.
pub(crate) fn matches(matcher: &RouteMatch, call: &Call) -> Result<bool, Stop> {
    let (path, query) = call.path.split_once('?').unwrap_or((&call.path, ""));
    if !by_path(matcher, path)? {
        return Ok(false);
    }
    let Some(request) = &call.request else {
        return Ok(true);
    };
    if !matcher.cookies.is_empty()
        || !matcher.dynamic_metadata.is_empty()
        || !matcher.filter_state.is_empty()
        || matcher.tls_context.is_some()
        || matcher.grpc.is_some()
        || matcher.runtime_fraction.is_some()
    {
        return Err(Stop::unsupported(
            "a route that asks for more than the request says",
        ));
    }
    for header in &matcher.headers {
        if !by_header(header, call, request)? {
            return Ok(false);
        }
    }
    for parameter in &matcher.query_parameters {
        if !by_parameter(parameter, query)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn by_path(matcher: &RouteMatch, path: &str) -> Result<bool, Stop> {
    let exact = matcher.case_sensitive.as_ref().is_none_or(|c| c.value);
    let fold = |text: &str| match exact {
        true => text.to_owned(),
        false => text.to_ascii_lowercase(),
    };
    match &matcher.path_specifier {
        Some(PathSpecifier::Prefix(prefix)) => Ok(fold(path).starts_with(&fold(prefix))),
        Some(PathSpecifier::PathSeparatedPrefix(prefix)) => {
            let path = fold(path);
            let rest = path.strip_prefix(&fold(prefix));
            Ok(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        }
        Some(PathSpecifier::Path(wanted)) => Ok(fold(path) == fold(wanted)),
        Some(PathSpecifier::SafeRegex(regex)) => matching::regex(regex, path),
        Some(PathSpecifier::ConnectMatcher(_)) => Ok(false),
        Some(PathSpecifier::PathMatchPolicy(_)) | None => {
            Err(Stop::unsupported("a route without a known form of path"))
        }
    }
}

fn by_header(matcher: &HeaderMatcher, call: &Call, request: &Request) -> Result<bool, Stop> {
    let value = match matcher.name.to_ascii_lowercase().as_str() {
        ":method" if request.method.is_empty() => Some("GET"),
        ":method" => Some(request.method.as_str()),
        ":path" => Some(call.path.as_str()),
        ":authority" | "host" => Some(call.host.as_str()),
        ":scheme" => return Err(Stop::unsupported("a route that asks for the scheme")),
        name => request.headers.get(name).map(String::as_str),
    };
    let missing = matcher.treat_missing_header_as_empty.then_some("");
    let value = value.or(missing);
    let holds = match (&matcher.header_match_specifier, value) {
        (None, value) => value.is_some(),
        (Some(HeaderMatchSpecifier::PresentMatch(wanted)), value) => value.is_some() == *wanted,
        // A header that is not there matches nothing, inverted or not, but absence.
        (Some(_), None) => return Ok(matcher.invert_match),
        (Some(HeaderMatchSpecifier::StringMatch(wanted)), Some(value)) => {
            matching::string(wanted, value)?
        }
        (Some(HeaderMatchSpecifier::RangeMatch(range)), Some(value)) => value
            .parse::<i64>()
            .is_ok_and(|value| range.start <= value && value < range.end),
        (Some(_), Some(_)) => return Err(Stop::unsupported("a deprecated header matcher")),
    };
    Ok(holds != matcher.invert_match)
}

fn by_parameter(matcher: &QueryParameterMatcher, query: &str) -> Result<bool, Stop> {
    let pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let value = pairs
        .filter(|(name, _)| *name == matcher.name)
        .map(|(_, value)| value)
        .next();
    match (&matcher.query_parameter_match_specifier, value) {
        (None, value) => Ok(value.is_some()),
        (Some(QueryParameterMatchSpecifier::PresentMatch(wanted)), value) => {
            Ok(value.is_some() == *wanted)
        }
        (Some(QueryParameterMatchSpecifier::StringMatch(_)), None) => Ok(false),
        (Some(QueryParameterMatchSpecifier::StringMatch(wanted)), Some(value)) => {
            matching::string(wanted, value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::message;
    use serde_json::{Value, json};

    fn taken(matcher: &Value, call: &Call) -> bool {
        let matcher: RouteMatch = message("envoy.config.route.v3.RouteMatch", matcher);
        matches(&matcher, call).unwrap()
    }

    fn to(path: &str) -> Call {
        Call {
            path: path.into(),
            ..Call::new(80)
        }
    }

    #[test]
    fn paths_match_in_each_form() {
        assert!(taken(&json!({"prefix": "/a"}), &to("/ab?x=1")));
        assert!(!taken(&json!({"path_separated_prefix": "/a"}), &to("/ab")));
        assert!(taken(&json!({"path_separated_prefix": "/a"}), &to("/a/b")));
        assert!(taken(&json!({"path": "/a"}), &to("/a?x=1")));
        assert!(taken(
            &json!({"path": "/A", "case_sensitive": false}),
            &to("/a")
        ));
        assert!(!taken(&json!({"safe_regex": {"regex": "/a"}}), &to("/a/b")));
        assert!(taken(
            &json!({"safe_regex": {"regex": "/a.*"}}),
            &to("/a/b")
        ));
        assert!(!taken(&json!({"connect_matcher": {}}), &to("/")));
    }

    #[test]
    fn the_rest_counts_only_when_the_call_says_it() {
        let matcher = json!({
            "prefix": "/",
            "headers": [
                {"name": "x-user", "string_match": {"exact": "me"}},
                {"name": ":method", "string_match": {"exact": "GET"}},
                {"name": "x-none", "string_match": {"exact": "a"}, "invert_match": true},
                {"name": "x-count", "range_match": {"start": 1, "end": 5}},
            ],
            "query_parameters": [
                {"name": "v", "string_match": {"prefix": "2"}},
                {"name": "w", "present_match": true},
            ],
        });
        assert!(taken(&matcher, &to("/")));
        let with = |path: &str, user: &str| {
            let pairs = [("x-user", user), ("x-count", "4")];
            let headers = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
            let request = Some(Request {
                method: String::new(),
                headers,
            });
            Call {
                request,
                ..to(path)
            }
        };
        assert!(taken(&matcher, &with("/?v=21&w", "me")));
        assert!(!taken(&matcher, &with("/?v=1&w", "me")));
        assert!(!taken(&matcher, &with("/?v=21&w", "you")));
        assert!(!taken(&matcher, &with("/?v=21", "me")));
    }
}
