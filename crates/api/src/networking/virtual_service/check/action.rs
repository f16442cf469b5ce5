//! Redirects, direct responses and rewrites.

use super::super::{
    HttpBody, HttpDirectResponse, HttpRedirect, HttpRewrite, HttpRoute, RegexRewrite,
};
use crate::check::value::{optional_port, regex};
use crate::check::{Finding, Findings};
use meltemi_types::{Code, FieldPath};

fn is_set(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

pub(super) fn redirect(
    rule: &HttpRoute,
    redirect: &HttpRedirect,
    at: &FieldPath,
    out: &mut Findings,
) {
    let HttpRedirect {
        uri,
        prefix_rewrite,
        authority,
        port,
        derive_port,
        scheme,
        redirect_code,
    } = redirect;
    let prefix = is_set(prefix_rewrite.as_ref());
    if is_set(uri.as_ref()) && prefix {
        out.conflict(
            &at.field("prefixRewrite"),
            "uri and prefixRewrite are both set",
            "keep one of them",
        );
    }
    let texts = [uri, prefix_rewrite, authority, scheme];
    if !texts.into_iter().any(|text| is_set(text.as_ref()))
        && port.is_none()
        && derive_port.is_none()
        && redirect_code.is_none()
    {
        out.required(
            at,
            "what to change (uri, prefixRewrite, authority, port or scheme)",
        );
    }
    let other_match = |rule: &HttpRoute| {
        rule.matches
            .iter()
            .filter_map(|condition| condition.uri.as_ref())
            .any(|uri| uri.prefix.is_none())
    };
    if prefix && other_match(rule) {
        out.invalid(
            &at.field("prefixRewrite"),
            "prefixRewrite needs a prefix to replace",
            "match the uri by prefix in every match of the rule",
        );
    }
    if port.is_some() && derive_port.is_some() {
        out.conflict(
            &at.field("derivePort"),
            "port and derivePort are both set",
            "keep one of them",
        );
    }
    optional_port(&at.field("port"), *port, out);
    if let Some(scheme) = scheme.as_deref()
        && !matches!(scheme, "" | "http" | "https")
    {
        out.invalid(
            &at.field("scheme"),
            format!("{scheme:?} is not a scheme"),
            "use http or https",
        );
    }
    if let Some(code) = redirect_code
        && !matches!(code, 0 | 301 | 302 | 303 | 307 | 308)
    {
        out.out_of_range(
            &at.field("redirectCode"),
            format!("{code} is not a redirect that Envoy can send"),
            "use 301, 302, 303, 307 or 308",
        );
    }
}

/// Bodies beyond this are refused.
const MAX_BODY: usize = 1 << 20;
/// Bodies beyond this make every route table heavy.
const LARGE_BODY: usize = 100 << 10;

pub(super) fn direct_response(response: &HttpDirectResponse, at: &FieldPath, out: &mut Findings) {
    let HttpDirectResponse { status, body } = response;
    if !(200..=599).contains(status) {
        out.out_of_range(
            &at.field("status"),
            format!("{status} is not a status that Envoy can send"),
            "use 200 to 599",
        );
    }
    let Some(HttpBody { string, bytes }) = body else {
        return;
    };
    let at = at.field("body");
    let length = match (string, bytes) {
        (Some(_), Some(_)) => {
            out.conflict(&at, "string and bytes are both set", "keep one of them");
            return;
        }
        (None, None) => return,
        (Some(text), None) => text.len(),
        (None, Some(encoded)) => {
            let well = encoded
                .trim_end_matches('=')
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+/-_".contains(&b));
            if !well || encoded.trim_end_matches('=').len() % 4 == 1 {
                out.invalid(
                    &at.field("bytes"),
                    "the bytes are not base64",
                    "encode the body in base64, or use string",
                );
            }
            encoded.trim_end_matches('=').len() * 3 / 4
        }
    };
    if length > MAX_BODY {
        out.out_of_range(
            &at,
            format!("the body has {length} bytes"),
            "use at most 1 MiB; serve larger ones from a service",
        );
    } else if length > LARGE_BODY {
        out.push(Finding::warning(
            Code::OutOfRange,
            &at,
            format!("the body has {length} bytes, and every proxy keeps a copy"),
            "use less than 100 KiB; serve larger ones from a service",
        ));
    }
}

pub(super) fn rewrite(rewrite: &HttpRewrite, at: &FieldPath, out: &mut Findings) {
    let HttpRewrite {
        uri,
        authority,
        uri_regex_rewrite,
    } = rewrite;
    let Some(RegexRewrite { matches, rewrite }) = uri_regex_rewrite else {
        if !is_set(uri.as_ref()) && !is_set(authority.as_ref()) {
            out.required(at, "what to rewrite (uri, authority or uriRegexRewrite)");
        }
        return;
    };
    let at_regex = at.field("uriRegexRewrite");
    if is_set(uri.as_ref()) {
        out.conflict(
            &at_regex,
            "uri and uriRegexRewrite are both set",
            "keep one of them",
        );
    }
    if matches.is_empty() {
        out.required(&at_regex.field("match"), "the expression to replace");
    } else {
        regex(&at_regex.field("match"), matches, out);
    }
    if rewrite.is_empty() {
        out.required(&at_regex.field("rewrite"), "the replacement");
    }
}

#[cfg(test)]
mod tests {
    use crate::check::tests::verdicts;
    use crate::networking::virtual_service::VirtualService;

    fn found(rule: &str) -> String {
        let yaml = format!("{{hosts: [a], http: [{rule}]}}");
        verdicts::<VirtualService>(&yaml)
            .join("|")
            .replace("spec.http[0].", "")
    }

    #[test]
    fn redirects() {
        for (redirect, wanted) in [
            ("{uri: /a, redirectCode: 308}", ""),
            ("{}", "Required redirect"),
            (
                "{uri: /a, prefixRewrite: /b}",
                "Conflict redirect.prefixRewrite",
            ),
            (
                "{uri: /a, redirectCode: 299}",
                "OutOfRange redirect.redirectCode",
            ),
            ("{scheme: ftp}", "InvalidValue redirect.scheme"),
            ("{port: 70000}", "OutOfRange redirect.port"),
            (
                "{port: 80, derivePort: FROM_REQUEST_PORT}",
                "Conflict redirect.derivePort",
            ),
        ] {
            assert_eq!(
                found(&format!("{{redirect: {redirect}}}")),
                wanted,
                "{redirect}"
            );
        }
        assert_eq!(
            found("{match: [{uri: {exact: /}}], redirect: {prefixRewrite: /b}}"),
            "InvalidValue redirect.prefixRewrite"
        );
        assert_eq!(
            found("{match: [{uri: {prefix: /}}, {port: 1}], redirect: {prefixRewrite: /b}}"),
            ""
        );
    }

    #[test]
    fn direct_responses() {
        let large = format!(
            "{{status: 200, body: {{string: {}}}}}",
            "a".repeat(200 << 10)
        );
        let huge = format!("{{status: 200, body: {{bytes: {}}}}}", "a".repeat(2 << 20));
        for (response, wanted) in [
            ("{status: 503, body: {string: busy}}", ""),
            ("{status: 199}", "OutOfRange directResponse.status"),
            ("{status: 600}", "OutOfRange directResponse.status"),
            (
                "{status: 200, body: {string: a, bytes: YQ==}}",
                "Conflict directResponse.body",
            ),
            (
                "{status: 200, body: {bytes: '!'}}",
                "InvalidValue directResponse.body.bytes",
            ),
            (&large, "outofrange directResponse.body"),
            (&huge, "OutOfRange directResponse.body"),
        ] {
            assert_eq!(found(&format!("{{directResponse: {response}}}")), wanted);
        }
    }

    #[test]
    fn rewrites() {
        for (rewrite, wanted) in [
            ("{uri: /a, authority: b}", ""),
            (
                "{uriRegexRewrite: {match: '^/(.*)$', rewrite: '/x/\\1'}}",
                "",
            ),
            ("{}", "Required rewrite"),
            (
                "{uri: /, uriRegexRewrite: {match: a, rewrite: b}}",
                "Conflict rewrite.uriRegexRewrite",
            ),
            (
                "{uriRegexRewrite: {rewrite: b}}",
                "Required rewrite.uriRegexRewrite.match",
            ),
            (
                "{uriRegexRewrite: {match: a}}",
                "Required rewrite.uriRegexRewrite.rewrite",
            ),
            (
                "{uriRegexRewrite: {match: 'a++', rewrite: b}}",
                "InvalidRegex rewrite.uriRegexRewrite.match",
            ),
        ] {
            let rule = format!("{{rewrite: {rewrite}, route: [{{destination: {{host: a}}}}]}}");
            assert_eq!(found(&rule), wanted, "{rewrite}");
        }
    }
}
