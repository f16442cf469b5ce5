//! Retries: Istio tries twice more where nothing is said, and avoids the hosts that failed.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRetry>.

use super::{Settings, timeout};
use crate::wire;
use meltemi_api::networking::virtual_service::HttpRetry;
use meltemi_proto::any;
use meltemi_proto::envoy::config::route::v3::RetryPolicy;
use meltemi_proto::envoy::config::route::v3::retry_policy::{
    RetryBackOff, RetryHostPredicate, RetryPriority, retry_host_predicate, retry_priority,
};
use meltemi_proto::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use meltemi_proto::envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig;

const DEFAULT_CONDITIONS: &str =
    "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
const STATUS_CODES: &str = "retriable-status-codes";
const DEFAULT_ATTEMPTS: u32 = 2;
const HOST_ATTEMPTS: i64 = 5;

/// Whether another host may be chosen for a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hosts {
    /// Any.
    Any,
    /// The hash always gives the same one.
    Hashed,
}

/// The policy of a route; `None` turns retries off.
pub(super) fn policy(
    own: Option<&HttpRetry>,
    settings: &Settings,
    hosts: Hosts,
) -> Option<RetryPolicy> {
    let default = RetryPolicy {
        retry_on: DEFAULT_CONDITIONS.into(),
        num_retries: Some(wire::u32(DEFAULT_ATTEMPTS)),
        host_selection_retry_max_attempts: HOST_ATTEMPTS,
        retry_host_predicate: match hosts {
            Hosts::Any => vec![previous_hosts()],
            Hosts::Hashed => Vec::new(),
        },
        ..RetryPolicy::default()
    };
    match own.or(settings.retries.as_ref()) {
        None => Some(default),
        Some(retries) => written(retries, default),
    }
}

fn written(retries: &HttpRetry, default: RetryPolicy) -> Option<RetryPolicy> {
    let HttpRetry {
        attempts,
        per_try_timeout,
        retry_on,
        retry_remote_localities,
        retry_ignore_previous_hosts,
        backoff,
    } = retries;
    let attempts = u32::try_from(attempts.unwrap_or(0))
        .ok()
        .filter(|a| *a > 0)?;
    let mut policy = RetryPolicy {
        num_retries: Some(wire::u32(attempts)),
        per_try_timeout: timeout::positive(*per_try_timeout),
        ..default
    };
    if let Some(conditions) = retry_on.as_deref().filter(|c| !c.is_empty()) {
        (policy.retry_on, policy.retriable_status_codes) = split(conditions);
    }
    match retry_ignore_previous_hosts {
        Some(true) => policy.retry_host_predicate = vec![previous_hosts()],
        Some(false) => policy.retry_host_predicate = Vec::new(),
        None => {}
    }
    if *retry_remote_localities == Some(true) {
        policy.retry_priority = Some(previous_priorities());
    }
    policy.retry_back_off = timeout::positive(*backoff).map(|base| RetryBackOff {
        base_interval: Some(base),
        max_interval: None,
    });
    Some(policy)
}

/// Envoy's conditions, and the status codes among them.
fn split(conditions: &str) -> (String, Vec<u32>) {
    let mut names: Vec<&str> = Vec::new();
    let mut codes = Vec::new();
    for part in conditions
        .split(',')
        .map(str::trim)
        .filter(|p| !p.is_empty())
    {
        match part.parse() {
            Ok(code) => codes.push(code),
            Err(_) => names.push(part),
        }
    }
    if !codes.is_empty() && !names.contains(&STATUS_CODES) {
        names.push(STATUS_CODES);
    }
    (names.join(","), codes)
}

fn previous_hosts() -> RetryHostPredicate {
    let config = any::pack(&PreviousHostsPredicate::default());
    RetryHostPredicate {
        name: "envoy.retry_host_predicates.previous_hosts".into(),
        config_type: Some(retry_host_predicate::ConfigType::TypedConfig(config)),
    }
}

fn previous_priorities() -> RetryPriority {
    let config = any::pack(&PreviousPrioritiesConfig {
        update_frequency: 2,
    });
    RetryPriority {
        name: "envoy.retry_priorities.previous_priorities".into(),
        config_type: Some(retry_priority::ConfigType::TypedConfig(config)),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn status_codes_are_told_from_conditions() {
        let (names, codes) = split("5xx, 503,gateway-error,504");
        assert_eq!(names, "5xx,gateway-error,retriable-status-codes");
        assert_eq!(codes, [503, 504]);
        assert_eq!(split("reset").0, "reset");
    }
}
