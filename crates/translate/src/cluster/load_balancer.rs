//! How an endpoint is chosen: <https://istio.io/latest/docs/reference/config/networking/destination-rule/#LoadBalancerSettings>.
//!
//! Istio's default is least requests, not Envoy's round robin, and no panic mode, because
//! endpoints that are not ready are sent too.

use super::connection_pool::{SHORTEST, percentage};
use super::outbound::Problem;
use crate::endpoint::locality::{PERSISTENT_SESSION, Setting};
use crate::wire;
use meltemi_api::networking::destination_rule::{
    ConsistentHashLb, LoadBalancerSettings, Maglev, OutlierDetection, RingHash, SimpleLb,
    WarmupConfiguration,
};
use meltemi_api::percent::Decimal;
use meltemi_model::Service;
use meltemi_proto::envoy::config::cluster::v3 as envoy;
use meltemi_proto::envoy::config::cluster::v3::cluster::common_lb_config::{
    LocalityConfigSpecifier, LocalityWeightedLbConfig,
};
use meltemi_proto::envoy::config::cluster::v3::cluster::{
    CommonLbConfig, LbConfig, LbPolicy, LeastRequestLbConfig, MaglevLbConfig, RingHashLbConfig,
    RoundRobinLbConfig, SlowStartConfig,
};
use meltemi_proto::envoy::config::core::v3::{HealthStatus, HealthStatusSet, RuntimeDouble};
use meltemi_types::Code;

/// Envoy's upper bound of a ring.
const LARGEST_RING: u64 = 8_388_608;
/// Envoy's upper bound of a Maglev table.
const LARGEST_TABLE: u64 = 5_000_011;

/// Sets the balancer; answers what a user should know about it.
pub(super) fn apply(
    cluster: &mut envoy::Cluster,
    settings: Option<&LoadBalancerSettings>,
) -> Option<Problem> {
    let default = LoadBalancerSettings::default();
    let LoadBalancerSettings {
        simple,
        consistent_hash,
        locality_lb_setting: _, // endpoint/locality.rs
        zone_aware_lb_setting,
        warmup_duration_secs,
        warmup,
    } = settings.unwrap_or(&default);
    let legacy = warmup_duration_secs.map(|duration| WarmupConfiguration {
        duration: Some(duration),
        ..WarmupConfiguration::default()
    });
    let slow_start_config = warmup.as_ref().or(legacy.as_ref()).and_then(slow_start);
    let (policy, config, problem) = match (consistent_hash, simple.unwrap_or_default()) {
        (Some(hash), _) => hashing(hash),
        (None, SimpleLb::Random) => (LbPolicy::Random, None, None),
        (None, SimpleLb::RoundRobin) => {
            let config = slow_start_config.map(|slow| {
                LbConfig::RoundRobinLbConfig(RoundRobinLbConfig {
                    slow_start_config: Some(slow),
                })
            });
            (LbPolicy::RoundRobin, config, None)
        }
        // Passthrough is a way of discovery and replaces the balancer there.
        (
            None,
            SimpleLb::Unspecified
            | SimpleLb::LeastConn
            | SimpleLb::LeastRequest
            | SimpleLb::Passthrough,
        ) => {
            let config = slow_start_config.map(|slow| {
                LbConfig::LeastRequestLbConfig(LeastRequestLbConfig {
                    slow_start_config: Some(slow),
                    ..LeastRequestLbConfig::default()
                })
            });
            (LbPolicy::LeastRequest, config, None)
        }
    };
    cluster.lb_policy = policy.into();
    cluster.lb_config = config;
    let zones = zone_aware_lb_setting.as_ref().map(|_| Problem {
        field: "loadBalancer",
        code: Code::NotSupportedYet,
        fatal: false,
        message: "zoneAwareLbSetting has no effect yet",
        remedy: "use localityLbSetting",
    });
    problem.or(zones)
}

fn slow_start(warmup: &WarmupConfiguration) -> Option<SlowStartConfig> {
    let WarmupConfiguration {
        duration,
        minimum_percent,
        aggression,
    } = warmup;
    let one = Decimal::from_whole(1);
    let least = minimum_percent.filter(|p| p.is_percentage());
    Some(SlowStartConfig {
        slow_start_window: Some(wire::duration(duration.filter(|d| *d >= SHORTEST)?)),
        aggression: Some(RuntimeDouble {
            default_value: aggression
                .filter(|a| *a > Decimal::default())
                .unwrap_or(one)
                .to_f64(),
            runtime_key: String::new(),
        }),
        min_weight_percent: Some(percentage(least.unwrap_or(Decimal::from_whole(10)))),
    })
}

/// The keys of the hash are on the routes; here is the algorithm.
fn hashing(hash: &ConsistentHashLb) -> (LbPolicy, Option<LbConfig>, Option<Problem>) {
    let ConsistentHashLb {
        http_header_name: _, // the keys: route
        http_cookie: _,
        use_source_ip: _,
        http_query_parameter_name: _,
        ring_hash,
        maglev,
        minimum_ring_size,
    } = hash;
    if let Some(Maglev { table_size }) = maglev {
        let usable = table_size.filter(|size| *size <= LARGEST_TABLE && is_prime(*size));
        let problem = (usable.is_none() && table_size.is_some()).then_some(Problem {
            field: "loadBalancer",
            code: Code::InvalidValue,
            fatal: false,
            message: "maglev.tableSize is not a prime number up to 5000011, so 65537 is used",
            remedy: "use a prime number",
        });
        let config = LbConfig::MaglevLbConfig(MaglevLbConfig {
            table_size: usable.map(Into::into),
        });
        return (LbPolicy::Maglev, Some(config), problem);
    }
    let size = match ring_hash {
        Some(RingHash { minimum_ring_size }) => *minimum_ring_size,
        None => Some(minimum_ring_size.filter(|s| *s > 0).unwrap_or(1024)),
    };
    let config = LbConfig::RingHashLbConfig(RingHashLbConfig {
        minimum_ring_size: size.filter(|s| *s > 0).map(|s| s.min(LARGEST_RING).into()),
        ..RingHashLbConfig::default()
    });
    (LbPolicy::RingHash, Some(config), None)
}

fn is_prime(number: u64) -> bool {
    let divides = |d: &u64| number.is_multiple_of(*d);
    number >= 2 && !(2..).take_while(|d| d * d <= number).any(|d| divides(&d))
}

/// Sets what does not depend on the balancer: panic mode, localities, sessions.
pub(super) fn common(
    cluster: &mut envoy::Cluster,
    service: &Service,
    outlier: Option<&OutlierDetection>,
    preference: Option<Setting<'_>>,
) {
    let least = outlier.and_then(|o| o.min_health_percent).unwrap_or(0);
    let weighted = preference.is_some_and(|setting| setting.is_weighted());
    let sticky = service.labels.value(PERSISTENT_SESSION).is_some();
    cluster.common_lb_config = Some(CommonLbConfig {
        healthy_panic_threshold: Some(percentage(Decimal::from_whole(least))),
        locality_config_specifier: weighted.then_some(
            LocalityConfigSpecifier::LocalityWeightedLbConfig(LocalityWeightedLbConfig {}),
        ),
        override_host_status: sticky.then(|| HealthStatusSet {
            statuses: [
                HealthStatus::Unknown,
                HealthStatus::Healthy,
                HealthStatus::Draining,
                HealthStatus::Degraded,
            ]
            .map(Into::into)
            .to_vec(),
        }),
        ..CommonLbConfig::default()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(yaml: &str) -> (LbPolicy, Option<LbConfig>, Option<Problem>) {
        let settings: LoadBalancerSettings = serde_yaml::from_str(yaml).unwrap();
        let mut cluster = envoy::Cluster::default();
        let problem = apply(&mut cluster, Some(&settings));
        let policy = LbPolicy::try_from(cluster.lb_policy).unwrap();
        (policy, cluster.lb_config, problem)
    }

    #[test]
    fn the_default_is_least_requests() {
        assert_eq!(made("{}"), (LbPolicy::LeastRequest, None, None));
        assert_eq!(made("{simple: RANDOM}"), (LbPolicy::Random, None, None));
    }

    #[test]
    fn warm_up_has_defaults_and_only_where_it_can_be() {
        let (_, config, _) = made("{warmup: {duration: 30s}}");
        let Some(LbConfig::LeastRequestLbConfig(config)) = config else {
            panic!("{config:?}");
        };
        let slow = config.slow_start_config.unwrap();
        assert_eq!(slow.slow_start_window, Some(wire::seconds(30)));
        assert_eq!(slow.min_weight_percent.unwrap().value, 10.0);
        assert_eq!(slow.aggression.unwrap().default_value, 1.0);
        assert_eq!(made("{simple: RANDOM, warmupDurationSecs: 1s}").1, None);
        assert!(
            made("{simple: ROUND_ROBIN, warmupDurationSecs: 1s}")
                .1
                .is_some()
        );
    }

    #[test]
    fn a_table_is_prime_and_a_ring_has_a_bound() {
        let (policy, config, problem) = made("{consistentHash: {maglev: {tableSize: 1000}}}");
        assert_eq!(policy, LbPolicy::Maglev);
        assert!(problem.is_some());
        assert_eq!(
            config,
            Some(LbConfig::MaglevLbConfig(MaglevLbConfig {
                table_size: None
            }))
        );
        let (_, _, problem) = made("{consistentHash: {maglev: {tableSize: 5000011}}}");
        assert_eq!(problem, None);
        let ring = |yaml| match made(yaml).1 {
            Some(LbConfig::RingHashLbConfig(ring)) => ring.minimum_ring_size.map(|s| s.value),
            other => panic!("{other:?}"),
        };
        assert_eq!(ring("{consistentHash: {useSourceIp: true}}"), Some(1024));
        assert_eq!(
            ring("{consistentHash: {ringHash: {minimumRingSize: 99999999}}}"),
            Some(LARGEST_RING)
        );
    }
}
