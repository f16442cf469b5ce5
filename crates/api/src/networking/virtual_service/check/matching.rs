//! Conditions on HTTP requests.

use super::super::{HttpMatchRequest, VirtualService};
use crate::check::value::{gateways, label_name, labels, optional_port, regex};
use crate::check::{Findings, header};
use crate::string_match::StringMatch;
use meltemi_types::FieldPath;

/// Headers of this name stand for claims of the request's token; gateways read them.
const CLAIMS: &str = "@request.auth.claims";

pub(super) fn request(
    spec: &VirtualService,
    condition: &HttpMatchRequest,
    at: &FieldPath,
    out: &mut Findings,
) {
    let HttpMatchRequest {
        name: _,
        uri,
        scheme,
        method,
        authority,
        headers,
        port,
        source_labels,
        gateways: names,
        query_params,
        ignore_uri_case: _,
        without_headers,
        source_namespace,
        stat_prefix: _,
    } = condition;
    if let Some(uri) = uri {
        text(uri, &at.field("uri"), out);
    }
    for (field, condition) in [
        ("scheme", scheme),
        ("method", method),
        ("authority", authority),
    ] {
        if let Some(condition) = condition {
            value(condition, &at.field(field), out);
        }
    }
    let claims = headers
        .keys()
        .chain(without_headers.keys())
        .any(|name| name.starts_with(CLAIMS));
    if claims && spec.applies_to_sidecars() && !spec.is_delegate() {
        out.invalid(
            &at.field("headers"),
            format!("{CLAIMS} is matched on sidecars"),
            "bind the VirtualService to gateways only; sidecars cannot match claims",
        );
    }
    header_conditions(headers, &at.field("headers"), out);
    let absent = without_headers
        .iter()
        .filter(|(_, condition)| !any_value(condition));
    header_conditions(absent, &at.field("withoutHeaders"), out);
    for (name, condition) in query_params {
        let at = at.field("queryParams").field(name);
        if name.is_empty() {
            out.required(&at, "the name of a query parameter");
        }
        value(condition, &at, out);
    }
    optional_port(&at.field("port"), *port, out);
    labels(&at.field("sourceLabels"), source_labels, out);
    gateways(&at.field("gateways"), names, out);
    if let Some(namespace) = source_namespace.as_deref().filter(|name| !name.is_empty()) {
        label_name(&at.field("sourceNamespace"), namespace, out);
    }
}

/// `*` is no regular expression, and in `withoutHeaders` it stands for presence, as in Istio.
fn any_value(condition: &StringMatch) -> bool {
    let StringMatch {
        exact,
        prefix,
        regex,
    } = condition;
    regex.as_deref() == Some("*") && exact.is_none() && prefix.is_none()
}

fn header_conditions<'a>(
    headers: impl IntoIterator<Item = (&'a String, &'a StringMatch)>,
    at: &FieldPath,
    out: &mut Findings,
) {
    for (name, condition) in headers {
        let at = at.field(name);
        if !name.starts_with(CLAIMS) {
            header::matched_name(&at, name, out);
        }
        value(condition, &at, out);
    }
}

/// A condition on a header or parameter: as [`text`], and an empty prefix would be refused.
fn value(condition: &StringMatch, at: &FieldPath, out: &mut Findings) {
    text(condition, at, out);
    if condition.prefix.as_deref() == Some("") {
        out.invalid(
            &at.field("prefix"),
            "the prefix is empty",
            "leave the condition empty to ask for presence",
        );
    }
}

/// At most one of exact, prefix and regex; the expression is one that Envoy takes.
pub(super) fn text(condition: &StringMatch, at: &FieldPath, out: &mut Findings) {
    let StringMatch {
        exact,
        prefix,
        regex: pattern,
    } = condition;
    let set = [exact, prefix, pattern].into_iter().flatten().count();
    if set > 1 {
        out.conflict(
            at,
            format!("{set} of exact, prefix and regex are set"),
            "keep one of them",
        );
    }
    if let Some(pattern) = pattern {
        regex(&at.field("regex"), pattern, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::verdicts;

    fn found(condition: &str) -> String {
        let yaml =
            format!("{{hosts: [a], http: [{{match: [{condition}], redirect: {{uri: /}}}}]}}");
        verdicts::<VirtualService>(&yaml)
            .join("|")
            .replace("spec.http[0].match[0].", "")
    }

    #[test]
    fn conditions_are_checked() {
        for (condition, wanted) in [
            ("{uri: {prefix: ''}}", ""),
            (
                "{uri: {regex: '^/a(b|c)$'}, headers: {x-a: {}, ':path': {exact: b}}}",
                "",
            ),
            ("{uri: {regex: '(?=a)'}}", "InvalidRegex uri.regex"),
            ("{uri: {regex: '[a&&b]'}}", "invalidregex uri.regex"),
            ("{uri: {exact: a, prefix: b}}", "Conflict uri"),
            (
                "{headers: {x: {regex: ''}}}",
                "InvalidRegex headers.x.regex",
            ),
            (
                "{headers: {x: {prefix: ''}}}",
                "InvalidValue headers.x.prefix",
            ),
            ("{headers: {'': {exact: a}}}", "InvalidHeader headers."),
            ("{headers: {'a b': {}}}", "InvalidHeader headers.a b"),
            (
                "{withoutHeaders: {x: {regex: '?'}}}",
                "InvalidRegex withoutHeaders.x.regex",
            ),
            ("{withoutHeaders: {x: {regex: '*'}}}", ""),
            (
                "{headers: {x: {regex: '*'}}}",
                "InvalidRegex headers.x.regex",
            ),
            (
                "{queryParams: {q: {regex: '*'}}}",
                "InvalidRegex queryParams.q.regex",
            ),
            ("{port: 0}", "OutOfRange port"),
            (
                "{sourceLabels: {app: '*'}}",
                "InvalidValue sourceLabels.app",
            ),
            ("{sourceNamespace: a.b}", "InvalidValue sourceNamespace"),
            ("{gateways: [mesh, ns/gw, '']}", "InvalidValue gateways[2]"),
            (
                "{headers: {'@request.auth.claims.sub': {exact: a}}}",
                "InvalidValue headers",
            ),
        ] {
            assert_eq!(found(condition), wanted, "{condition}");
        }
    }
}
