//! Regular expressions, wherever one stands: Envoy compiles them with RE2 when it loads them.

use super::report::Report;
use meltemi_api::regex::re2_problem;
use meltemi_proto::envoy::r#type::matcher::v3::RegexMatcher;

/// An expression of a route, a policy, a rewrite, a subject name.
pub(super) fn matcher(matcher: &RegexMatcher, report: &mut Report) {
    report.at("regex", |report| {
        report.add_some(re2_problem(&matcher.regex).map(|problem| {
            format!(
                "must be a regular expression that Envoy can compile, not {:?}: {problem}",
                matcher.regex
            )
        }));
    });
}
