//! Checks of single values: ports, durations, hosts, labels, namespaces, addresses.

use super::{Finding, Findings};
use crate::duration::Duration;
use crate::regex::{re2_problem, re2_warning};
use meltemi_types::{Code, FieldPath};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A port, 1 to 65535.
pub(crate) fn port(at: &FieldPath, number: i64, out: &mut Findings) {
    if !(1..=65535).contains(&number) {
        out.out_of_range(
            at,
            format!("{number} is not a port"),
            "use a number from 1 to 65535",
        );
    }
}

/// A port that may be absent.
pub(crate) fn optional_port(at: &FieldPath, number: Option<impl Into<i64>>, out: &mut Findings) {
    if let Some(number) = number {
        port(at, number.into(), out);
    }
}

/// A number that must not be negative.
pub(crate) fn not_negative(at: &FieldPath, number: Option<i64>, out: &mut Findings) {
    let Some(number) = number else { return };
    if number < 0 {
        out.out_of_range(at, format!("{number} is negative"), "use 0 or more");
    } else if number > i64::from(i32::MAX) {
        out.out_of_range(
            at,
            format!("{number} is too large"),
            "use at most 2147483647",
        );
    }
}

/// A duration of at least 1ms, in whole milliseconds.
pub(crate) fn duration(at: &FieldPath, value: Option<Duration>, out: &mut Findings) {
    let Some(value) = value else { return };
    if value < Duration::from_millis(1) {
        wrong_duration(at, value, "use at least 1ms", out);
    } else if value.as_nanos() % 1_000_000 != 0 {
        wrong_duration(at, value, "use whole milliseconds", out);
    }
}

/// A duration that may be 0, else at least 1ms.
pub(crate) fn duration_or_zero(at: &FieldPath, value: Option<Duration>, out: &mut Findings) {
    duration(at, value.filter(|value| !value.is_zero()), out);
}

fn wrong_duration(at: &FieldPath, value: Duration, remedy: &str, out: &mut Findings) {
    out.push(Finding::error(
        Code::InvalidDuration,
        at,
        format!("{value} cannot be used here"),
        remedy,
    ));
}

/// A regular expression that Envoy takes.
pub(crate) fn regex(at: &FieldPath, pattern: &str, out: &mut Findings) {
    let refuse = |message: String| {
        Finding::error(
            Code::InvalidRegex,
            at,
            message,
            "write it in RE2 syntax, https://github.com/google/re2/wiki/Syntax",
        )
    };
    if pattern.is_empty() {
        out.push(refuse("the regular expression is empty".into()));
    } else if pattern.chars().count() > 1024 {
        out.push(refuse(
            "the regular expression is longer than 1024 characters".into(),
        ));
    } else if let Some(problem) = re2_problem(pattern) {
        out.push(refuse(format!("Envoy refuses {pattern:?}: {problem}")));
    } else if let Some(warning) = re2_warning(pattern) {
        out.push(Finding::warning(
            Code::InvalidRegex,
            at,
            format!("{pattern:?} may not mean what it looks like: {warning}"),
            "write it in RE2 syntax",
        ));
    }
}

/// True for a DNS label; Istio allows upper case.
pub(crate) fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

/// True for a name of labels, the last of which is no number; a trailing dot is fine.
pub(crate) fn is_fqdn(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 255 && text.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// True for a name, one whose first label is or starts with `*`, or `*`.
pub(crate) fn is_wildcard_domain(text: &str) -> bool {
    match text.strip_prefix('*') {
        None => is_fqdn(text),
        Some("") => true,
        Some(rest) if rest.len() > 254 => false,
        Some(rest) => match rest.strip_prefix('.') {
            Some(rest) => is_fqdn(rest),
            // `*-x.com` and `*x.com`.
            None => is_fqdn(&format!("a{rest}")),
        },
    }
}

/// True for `outbound_.PORT_.SUBSET_.HOST`, the server name that gateways between networks route
/// by; the subset may be empty.
pub(crate) fn is_routed_server_name(text: &str) -> bool {
    let parts: Vec<&str> = text.split("_.").collect();
    match parts.as_slice() {
        ["outbound", port, subset, host] => {
            port.parse::<u16>().is_ok() && (subset.is_empty() || is_label(subset)) && is_fqdn(host)
        }
        _ => false,
    }
}

/// A host to send traffic to: `*` alone is none.
pub(crate) fn host(at: &FieldPath, text: &str, out: &mut Findings) {
    if text.is_empty() {
        out.required(at, "the host");
    } else if text == "*" || !is_wildcard_domain(text) {
        bad_host(
            at,
            text,
            "use a DNS name such as reviews.shop.svc.cluster.local",
            out,
        );
    }
}

/// A host to match: a name, one with a leading `*`, or `*`.
pub(crate) fn wildcard_host(at: &FieldPath, text: &str, out: &mut Findings) {
    if text.is_empty() {
        out.required(at, "the host");
    } else if !is_wildcard_domain(text) {
        bad_host(at, text, "use a DNS name, '*.' and a suffix, or '*'", out);
    }
}

/// Reports that `text` is no host.
pub(crate) fn bad_host(at: &FieldPath, text: &str, remedy: &str, out: &mut Findings) {
    out.push(Finding::error(
        Code::InvalidHost,
        at,
        format!("{text:?} is not a host"),
        remedy,
    ));
}

/// A namespace, or something else that is a DNS label.
pub(crate) fn label_name(at: &FieldPath, text: &str, out: &mut Findings) {
    if !is_label(text) {
        out.invalid(
            at,
            format!("{text:?} is not a DNS label"),
            "use 1 to 63 letters, digits and '-', with a letter or digit at both ends",
        );
    }
}

fn is_label_value(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        && edge(bytes.first())
        && edge(bytes.last())
}

fn is_label_key(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    !name.is_empty() && is_label_value(name) && prefix.is_none_or(is_fqdn)
}

/// Labels by Kubernetes' rules.
pub(crate) fn labels(at: &FieldPath, labels: &BTreeMap<String, String>, out: &mut Findings) {
    for (key, value) in labels {
        let at = at.field(key);
        if !is_label_key(key) {
            out.invalid(
                &at,
                format!("{key:?} is not a label key"),
                "use a name of letters, digits, '-', '_' and '.', perhaps after a DNS prefix and '/'",
            );
        }
        if !is_label_value(value) {
            out.invalid(
                &at,
                format!("{value:?} is not a label value"),
                "use at most 63 letters, digits, '-', '_' and '.'",
            );
        }
    }
}

/// The labels of a workload selector: no wildcards, and a warning when there are none.
pub(crate) fn selector(at: &FieldPath, selected: &BTreeMap<String, String>, out: &mut Findings) {
    if selected.is_empty() {
        out.ignored(
            at,
            "the selector has no labels, so it selects every workload of the namespace",
            "add labels, or drop the selector",
        );
    }
    labels(at, selected, out);
}

/// The namespaces that see an object: `*`, `.` or names.
pub(crate) fn export_to(at: &FieldPath, namespaces: &[String], out: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (index, name) in namespaces.iter().enumerate() {
        let at = at.index(index);
        if !matches!(name.as_str(), "*" | ".") {
            label_name(&at, name, out);
        }
        let own = out.namespace().map(|own| own.as_str().to_owned());
        let resolved = match (name.as_str(), own) {
            (".", Some(own)) => own,
            (name, _) => name.to_owned(),
        };
        if !seen.insert(resolved) {
            out.invalid(
                &at,
                format!("{name:?} is there twice"),
                "remove one of them",
            );
        }
        if name == "*" && namespaces.len() > 1 {
            out.conflict(&at, "'*' stands beside other namespaces", "use '*' alone");
        }
    }
}

/// A reference to a gateway: `mesh`, `NAME`, `NAMESPACE/NAME`.
pub(crate) fn gateways(at: &FieldPath, names: &[String], out: &mut Findings) {
    for (index, name) in names.iter().enumerate() {
        let well = match name.split_once('/') {
            Some((namespace, name)) => (namespace == "." || is_label(namespace)) && is_label(name),
            None => is_fqdn(name),
        };
        if !well {
            out.invalid(
                &at.index(index),
                format!("{name:?} is not a gateway"),
                "use mesh, NAME or NAMESPACE/NAME",
            );
        } else if !name.contains('/') && name.contains('.') {
            out.push(Finding::warning(
                Code::InvalidValue,
                &at.index(index),
                format!("{name:?} names a gateway in the old way, by its domain"),
                "use NAMESPACE/NAME",
            ));
        }
    }
}

/// Addresses, single or as CIDR.
pub(crate) fn subnets(at: &FieldPath, subnets: &[String], out: &mut Findings) {
    for (index, text) in subnets.iter().enumerate() {
        if text.parse::<ipnet::IpNet>().is_err() && text.parse::<IpAddr>().is_err() {
            out.invalid(
                &at.index(index),
                format!("{text:?} is not an address range"),
                "use an IP address or a CIDR such as 10.0.0.0/8",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_wildcards() {
        for (text, wanted) in [
            ("reviews", true),
            ("a.b.c", true),
            ("a.b.c.", true),
            ("a_b.c", false),
            ("*", true),
            ("*.com", true),
            ("*-a.com", true),
            ("*a.com", true),
            ("*.a.*", false),
            ("a.*.com", false),
            ("foo.ba!r", false),
            ("1.2.3.4", false),
            ("", false),
            ("a..b", false),
            ("-a.b", false),
        ] {
            assert_eq!(is_wildcard_domain(text), wanted, "{text}");
        }
        assert!(!is_fqdn(&"a.".repeat(200)));
        for (text, wanted) in [
            ("outbound_.80_._.e2e.mesh", true),
            ("outbound_.80_.v1_.e2e.mesh", true),
            ("outbound_.80_._", false),
            ("outbound_.http_._.e2e.mesh", false),
        ] {
            assert_eq!(is_routed_server_name(text), wanted, "{text}");
        }
    }

    #[test]
    fn labels_follow_kubernetes() {
        for (key, wanted) in [
            ("app", true),
            ("app.kubernetes.io/name", true),
            ("", false),
            ("a/b/c", false),
            ("/a", false),
            ("-a", false),
            ("*", false),
        ] {
            assert_eq!(is_label_key(key), wanted, "{key}");
        }
        assert!(is_label_value("") && is_label_value("v1.2_3-x") && !is_label_value("*"));
    }

    #[test]
    fn durations_count_whole_milliseconds() {
        let found = |text: &str| {
            let mut out = Findings::new();
            duration(&FieldPath::root(), text.parse().ok(), &mut out);
            !out.is_empty()
        };
        assert!(found("0s") && found("-1s") && found("999us") && found("1.5ms"));
        assert!(!found("1ms") && !found("10s"));
    }
}
