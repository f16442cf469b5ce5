//! Retries, faults and CORS.

use super::super::{Abort, CorsPolicy, Delay, HttpFaultInjection, HttpRetry};
use super::matching::text;
use crate::check::value::duration;
use crate::check::{Check, Findings, header};
use crate::percent::Percent;
use meltemi_types::FieldPath;

/// What Envoy can retry on, besides HTTP statuses.
const RETRY_ON: &[&str] = &[
    "5xx",
    "cancelled",
    "connect-failure",
    "deadline-exceeded",
    "envoy-ratelimited",
    "gateway-error",
    "http3-post-connect-failure",
    "internal",
    "refused-stream",
    "reset",
    "reset-before-request",
    "resource-exhausted",
    "retriable-4xx",
    "retriable-headers",
    "retriable-status-codes",
    "unavailable",
];

impl Check for HttpRetry {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        retry(self, at, out);
    }
}

pub(super) fn retry(policy: &HttpRetry, at: &FieldPath, out: &mut Findings) {
    let HttpRetry {
        attempts,
        per_try_timeout,
        retry_on,
        retry_remote_localities,
        retry_ignore_previous_hosts,
        backoff,
    } = policy;
    let attempts = attempts.unwrap_or(0);
    let settings = per_try_timeout.is_some()
        || retry_on.as_deref().is_some_and(|on| !on.is_empty())
        || retry_remote_localities.is_some()
        || retry_ignore_previous_hosts.is_some()
        || backoff.is_some();
    if !(0..=i64::from(i32::MAX)).contains(&attempts) {
        out.out_of_range(
            &at.field("attempts"),
            format!("{attempts} attempts"),
            "use 0 to turn retries off, or the number of tries after the first",
        );
    } else if attempts == 0 && settings {
        out.conflict(
            &at.field("attempts"),
            "0 attempts turn retries off, but other settings are there",
            "set attempts to 1 or more, or remove the other settings",
        );
    }
    duration(&at.field("perTryTimeout"), *per_try_timeout, out);
    duration(&at.field("backoff"), *backoff, out);
    for condition in retry_on.as_deref().unwrap_or_default().split(',') {
        let condition = condition.trim();
        let status = condition
            .parse::<u16>()
            .is_ok_and(|code| (100..=599).contains(&code));
        if !condition.is_empty() && !status && !RETRY_ON.contains(&condition) {
            out.invalid(
                &at.field("retryOn"),
                format!("{condition:?} is no condition to retry on"),
                "use HTTP statuses and Envoy's retry conditions, separated by commas",
            );
        }
    }
}

/// A share of 0, or of 0.0001 to 100 percent.
pub(super) fn percentage(at: &FieldPath, percent: Option<Percent>, out: &mut Findings) {
    let Some(Percent { value }) = percent else {
        return;
    };
    if !value.is_percentage() || (1..100).contains(&value.millionths()) {
        out.out_of_range(at, format!("{value} percent"), "use 0, or 0.0001 to 100");
    }
}

pub(super) fn fault(fault: &HttpFaultInjection, at: &FieldPath, out: &mut Findings) {
    let HttpFaultInjection { delay, abort } = fault;
    if delay.is_none() && abort.is_none() {
        out.required(at, "a delay or an abort");
    }
    if let Some(delay) = delay {
        check_delay(delay, &at.field("delay"), out);
    }
    if let Some(abort) = abort {
        check_abort(abort, &at.field("abort"), out);
    }
}

fn check_delay(delay: &Delay, at: &FieldPath, out: &mut Findings) {
    let Delay {
        percent,
        fixed_delay,
        exponential_delay,
        percentage: share,
    } = delay;
    if let Some(percent) = percent
        && !(0..=100).contains(percent)
    {
        out.out_of_range(
            &at.field("percent"),
            format!("{percent} percent"),
            "use 0 to 100",
        );
    }
    percentage(&at.field("percentage"), *share, out);
    if exponential_delay.is_some() {
        out.invalid(
            &at.field("exponentialDelay"),
            "exponentialDelay is not supported",
            "use fixedDelay",
        );
    } else if fixed_delay.is_none() {
        out.required(&at.field("fixedDelay"), "the delay");
    }
    duration(&at.field("fixedDelay"), *fixed_delay, out);
}

/// The gRPC status names.
const GRPC_STATUS: &[&str] = &[
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn check_abort(abort: &Abort, at: &FieldPath, out: &mut Findings) {
    let Abort {
        http_status,
        grpc_status,
        http2_error,
        percentage: share,
    } = abort;
    percentage(&at.field("percentage"), *share, out);
    if http2_error.is_some() {
        out.invalid(
            &at.field("http2Error"),
            "http2Error is not supported",
            "use httpStatus or grpcStatus",
        );
    }
    match (http_status, grpc_status) {
        (None, None) if http2_error.is_none() => out.ignored(
            at,
            "the abort has no status, so it aborts nothing",
            "set httpStatus or grpcStatus",
        ),
        (Some(_), Some(_)) => out.conflict(
            &at.field("grpcStatus"),
            "httpStatus and grpcStatus are both set",
            "keep one of them",
        ),
        _ => {}
    }
    if let Some(status) = http_status
        && !(200..=599).contains(status)
    {
        out.out_of_range(
            &at.field("httpStatus"),
            format!("{status} is not a status that Envoy can send"),
            "use 200 to 599",
        );
    }
    if let Some(status) = grpc_status
        && !GRPC_STATUS.contains(&status.as_str())
    {
        out.invalid(
            &at.field("grpcStatus"),
            format!("{status:?} is not a gRPC status"),
            "use a name such as UNAVAILABLE",
        );
    }
}

const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*",
];

pub(super) fn cors(policy: &CorsPolicy, at: &FieldPath, out: &mut Findings) {
    let CorsPolicy {
        allow_origin: _,
        allow_origins,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials: _,
        unmatched_preflights: _,
    } = policy;
    for (index, origin) in allow_origins.iter().enumerate() {
        let at = at.field("allowOrigins").index(index);
        text(origin, &at, out);
        let empty = |field: &Option<String>| field.as_deref().is_some_and(str::is_empty);
        if origin.is_presence() || empty(&origin.exact) || empty(&origin.prefix) {
            out.required(&at, "the origin (exact, prefix or regex)");
        }
    }
    for (index, method) in allow_methods.iter().enumerate() {
        if !METHODS.contains(&method.as_str()) {
            out.invalid(
                &at.field("allowMethods").index(index),
                format!("{method:?} is not an HTTP method"),
                "use a standard method in upper case, or '*'",
            );
        }
    }
    for (field, names) in [
        ("allowHeaders", allow_headers),
        ("exposeHeaders", expose_headers),
    ] {
        for (index, name) in names.iter().enumerate() {
            header::name(&at.field(field).index(index), name, out);
        }
    }
    duration(&at.field("maxAge"), *max_age, out);
    if max_age.is_some_and(|age| age.as_millis() > 0 && age.subsec_nanos() != 0) {
        out.invalid(
            &at.field("maxAge"),
            "maxAge counts whole seconds",
            "use whole seconds, as in 24h",
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::check::tests::verdicts;
    use crate::networking::virtual_service::VirtualService;

    fn found(rule: &str) -> String {
        let yaml =
            format!("{{hosts: [a], http: [{{{rule}, route: [{{destination: {{host: a}}}}]}}]}}");
        verdicts::<VirtualService>(&yaml)
            .join("|")
            .replace("spec.http[0].", "")
    }

    #[test]
    fn retries() {
        for (policy, wanted) in [
            (
                "{attempts: 3, perTryTimeout: 2s, retryOn: 'gateway-error,503, reset'}",
                "",
            ),
            ("{attempts: 0}", ""),
            ("{attempts: -1}", "OutOfRange retries.attempts"),
            ("{perTryTimeout: 2s}", "Conflict retries.attempts"),
            (
                "{attempts: 0, retryRemoteLocalities: true}",
                "Conflict retries.attempts",
            ),
            (
                "{attempts: 1, perTryTimeout: 999ns}",
                "InvalidDuration retries.perTryTimeout",
            ),
            (
                "{attempts: 1, backoff: 0s}",
                "InvalidDuration retries.backoff",
            ),
            (
                "{attempts: 1, retryOn: '600'}",
                "InvalidValue retries.retryOn",
            ),
            (
                "{attempts: 1, retryOn: 'reset,nope'}",
                "InvalidValue retries.retryOn",
            ),
        ] {
            assert_eq!(found(&format!("retries: {policy}")), wanted, "{policy}");
        }
    }

    #[test]
    fn faults() {
        for (fault, wanted) in [
            ("{delay: {fixedDelay: 5s, percentage: {value: 0.1}}}", ""),
            ("{abort: {httpStatus: 503}, delay: {fixedDelay: 1ms}}", ""),
            (
                "{abort: {grpcStatus: UNAVAILABLE, percentage: {value: 0}}}",
                "",
            ),
            ("{}", "Required fault"),
            ("{delay: {}}", "Required fault.delay.fixedDelay"),
            (
                "{delay: {fixedDelay: 0s}}",
                "InvalidDuration fault.delay.fixedDelay",
            ),
            (
                "{delay: {fixedDelay: 1s, percent: 101}}",
                "OutOfRange fault.delay.percent",
            ),
            (
                "{delay: {fixedDelay: 1s, percentage: {value: 0.00001}}}",
                "OutOfRange fault.delay.percentage",
            ),
            (
                "{delay: {exponentialDelay: 1s}}",
                "InvalidValue fault.delay.exponentialDelay",
            ),
            (
                "{abort: {percentage: {value: 1}}}",
                "ignoredfield fault.abort",
            ),
            (
                "{abort: {httpStatus: 9000}}",
                "OutOfRange fault.abort.httpStatus",
            ),
            (
                "{abort: {grpcStatus: BUSY}}",
                "InvalidValue fault.abort.grpcStatus",
            ),
            (
                "{abort: {http2Error: X}}",
                "InvalidValue fault.abort.http2Error",
            ),
            (
                "{abort: {httpStatus: 500, grpcStatus: OK}}",
                "Conflict fault.abort.grpcStatus",
            ),
        ] {
            assert_eq!(found(&format!("fault: {fault}")), wanted, "{fault}");
        }
    }

    #[test]
    fn cors() {
        for (policy, wanted) in [
            (
                "{allowOrigins: [{exact: 'https://a'}], allowMethods: [GET, '*'], maxAge: 24h}",
                "",
            ),
            (
                "{allowOrigins: [{}]}",
                "Required corsPolicy.allowOrigins[0]",
            ),
            (
                "{allowOrigins: [{regex: '('}]}",
                "InvalidRegex corsPolicy.allowOrigins[0].regex",
            ),
            (
                "{allowMethods: [get]}",
                "InvalidValue corsPolicy.allowMethods[0]",
            ),
            (
                "{allowHeaders: ['a b']}",
                "InvalidHeader corsPolicy.allowHeaders[0]",
            ),
            (
                "{exposeHeaders: ['']}",
                "InvalidHeader corsPolicy.exposeHeaders[0]",
            ),
            ("{maxAge: 1500ms}", "InvalidValue corsPolicy.maxAge"),
        ] {
            assert_eq!(found(&format!("corsPolicy: {policy}")), wanted, "{policy}");
        }
    }
}
