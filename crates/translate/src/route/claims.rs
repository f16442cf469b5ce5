//! Conditions on a JWT's claims, written as headers named `@request.auth.claims`.
//!
//! Follows <https://istio.io/latest/docs/tasks/security/authentication/jwt-route/>: nested claims
//! are parted by dots, or each stands in brackets. They hold where the proxy checks tokens.

use super::matching;
use meltemi_api::string_match::StringMatch;
use meltemi_proto::envoy::r#type::matcher::v3::{
    ListMatcher, MetadataMatcher, OrMatcher, StringMatcher, ValueMatcher, list_matcher,
    metadata_matcher::{PathSegment, path_segment::Segment},
    value_matcher::MatchPattern,
};

const PREFIX: &str = "@request.auth.claims";
const FILTER: &str = "envoy.filters.http.jwt_authn";

/// The claim that a header name means, from the outermost to the innermost; `None` for headers.
pub(super) fn path(name: &str) -> Option<Vec<String>> {
    let (prefix, rest) = name.split_at_checked(PREFIX.len())?;
    if !prefix.eq_ignore_ascii_case(PREFIX) {
        return None;
    }
    let parts: Vec<String> = match rest.strip_prefix('.') {
        Some(dotted) => dotted.split('.').map(str::to_owned).collect(),
        None => {
            let inner = rest.strip_prefix('[')?.strip_suffix(']')?;
            inner.split("][").map(str::to_owned).collect()
        }
    };
    parts.iter().all(|p| !p.is_empty()).then_some(parts)
}

/// A claim has the value, or is a list with it.
pub(super) fn matcher(claim: &[String], value: &StringMatch) -> MetadataMatcher {
    let keys = std::iter::once("payload").chain(claim.iter().map(String::as_str));
    let segment = |key: &str| PathSegment {
        segment: Some(Segment::Key(key.into())),
    };
    let pattern = match matching::text(value) {
        Some(text) => MatchPattern::OrMatch(OrMatcher {
            value_matchers: vec![one(text.clone()), any_of(text)],
        }),
        None => MatchPattern::PresentMatch(true),
    };
    MetadataMatcher {
        filter: FILTER.into(),
        path: keys.map(segment).collect(),
        value: Some(ValueMatcher {
            match_pattern: Some(pattern),
        }),
        invert: false,
    }
}

fn one(text: StringMatcher) -> ValueMatcher {
    ValueMatcher {
        match_pattern: Some(MatchPattern::StringMatch(text)),
    }
}

fn any_of(text: StringMatcher) -> ValueMatcher {
    let list = ListMatcher {
        match_pattern: Some(list_matcher::MatchPattern::OneOf(Box::new(one(text)))),
    };
    ValueMatcher {
        match_pattern: Some(MatchPattern::ListMatch(Box::new(list))),
    }
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn claims_are_named_with_dots_or_brackets() {
        assert_eq!(path("@request.auth.claims.a.b").unwrap(), ["a", "b"]);
        assert_eq!(path("@request.auth.claims[a.b][c]").unwrap(), ["a.b", "c"]);
        for no in [
            "x-header",
            "@request.auth.claims",
            "@request.auth.claims.",
            "@request.auth.claimsx",
        ] {
            assert_eq!(path(no), None, "{no}");
        }
    }
}
