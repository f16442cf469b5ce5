//! When failing endpoints are left out: <https://istio.io/latest/docs/reference/config/networking/destination-rule/#OutlierDetection>.
//!
//! The surprise: Istio turns Envoy's success-rate ejection off as soon as the block is there.

use super::connection_pool::SHORTEST;
use crate::wire;
use meltemi_api::networking::destination_rule::OutlierDetection;
use meltemi_proto::envoy::config::cluster::v3 as envoy;
use meltemi_proto::google::protobuf::UInt32Value;

/// Envoy's outlier detection.
pub(super) fn outlier(settings: &OutlierDetection) -> envoy::OutlierDetection {
    let OutlierDetection {
        consecutive_errors: _, // deprecated and without effect in Istio too
        split_external_local_origin_errors,
        consecutive_local_origin_failures,
        consecutive_gateway_errors,
        consecutive_5xx_errors,
        interval,
        base_ejection_time,
        max_ejection_percent,
        min_health_percent: _, // the panic threshold: load_balancer.rs
        outlier_detection_http_error_codes: _, // http_options.rs
    } = settings;
    let split = split_external_local_origin_errors.unwrap_or(false);
    let local = consecutive_local_origin_failures.filter(|n| split && *n > 0);
    envoy::OutlierDetection {
        consecutive_5xx: consecutive_5xx_errors.map(wire::u32),
        enforcing_consecutive_5xx: consecutive_5xx_errors.map(enforced),
        consecutive_gateway_failure: consecutive_gateway_errors.map(wire::u32),
        enforcing_consecutive_gateway_failure: consecutive_gateway_errors.map(enforced),
        interval: interval.filter(|i| *i >= SHORTEST).map(wire::duration),
        base_ejection_time: base_ejection_time
            .filter(|t| *t >= SHORTEST)
            .map(wire::duration),
        max_ejection_percent: max_ejection_percent
            .filter(|p| *p > 0)
            .map(|p| wire::u32(u32::try_from(p).unwrap_or(100).min(100))),
        enforcing_success_rate: Some(wire::u32(0)),
        split_external_local_origin_errors: split,
        consecutive_local_origin_failure: local.map(wire::u32),
        enforcing_consecutive_local_origin_failure: local.map(enforced),
        enforcing_local_origin_success_rate: split.then(|| wire::u32(0)),
        ..envoy::OutlierDetection::default()
    }
}

/// A number of zero errors turns the detection off.
fn enforced(errors: u32) -> UInt32Value {
    wire::u32(if errors == 0 { 0 } else { 100 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(yaml: &str) -> envoy::OutlierDetection {
        outlier(&serde_yaml::from_str(yaml).unwrap())
    }

    #[test]
    fn an_empty_block_only_turns_the_success_rate_off() {
        let expected = envoy::OutlierDetection {
            enforcing_success_rate: Some(wire::u32(0)),
            ..envoy::OutlierDetection::default()
        };
        assert_eq!(made("{}"), expected);
    }

    #[test]
    fn zero_errors_turn_a_detection_off() {
        let made = made("{consecutive5xxErrors: 0, consecutiveGatewayErrors: 3}");
        assert_eq!(made.enforcing_consecutive_5xx, Some(wire::u32(0)));
        assert_eq!(made.consecutive_gateway_failure, Some(wire::u32(3)));
        assert_eq!(
            made.enforcing_consecutive_gateway_failure,
            Some(wire::u32(100))
        );
    }

    #[test]
    fn local_failures_count_only_when_they_are_split() {
        let both = "consecutiveLocalOriginFailures: 4, maxEjectionPercent: 250";
        let one = made(&format!("{{{both}}}"));
        assert_eq!(one.consecutive_local_origin_failure, None);
        assert_eq!(one.max_ejection_percent, Some(wire::u32(100)));
        let split = made(&format!("{{{both}, splitExternalLocalOriginErrors: true}}"));
        assert_eq!(split.consecutive_local_origin_failure, Some(wire::u32(4)));
        assert_eq!(
            split.enforcing_local_origin_success_rate,
            Some(wire::u32(0))
        );
    }
}
