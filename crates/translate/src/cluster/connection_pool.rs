//! Limits and timeouts: <https://istio.io/latest/docs/reference/config/networking/destination-rule/#ConnectionPoolSettings>.
//!
//! Where nothing is said Istio lifts Envoy's limits (1024 connections and requests, 3 retries).
//! A zero means "not set", as it does in Istio.

use crate::wire;
use meltemi_api::duration::Duration;
use meltemi_api::mesh_config::MeshConfig;
use meltemi_api::networking::destination_rule::{
    ConnectionPoolSettings, HttpSettings, RetryBudget, TcpKeepalive, TcpSettings,
};
use meltemi_api::percent::Decimal;
use meltemi_proto::envoy::config::cluster::v3 as envoy;
use meltemi_proto::envoy::config::cluster::v3::circuit_breakers::{Thresholds, thresholds};
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::r#type::v3::Percent;

/// The shortest time that Envoy takes where none would make no sense.
pub(super) const SHORTEST: Duration = Duration::from_millis(1);

/// Sets timeouts, keep-alive and circuit breakers.
pub(super) fn apply(
    cluster: &mut envoy::Cluster,
    pool: Option<&ConnectionPoolSettings>,
    mesh: &MeshConfig,
) {
    let tcp = pool.and_then(|p| p.tcp.as_ref());
    let http = pool.and_then(|p| p.http.as_ref());
    let timeout = tcp
        .and_then(|t| t.connect_timeout)
        .filter(|t| *t >= SHORTEST);
    cluster.connect_timeout = Some(wire::duration(
        timeout.unwrap_or_else(|| mesh.connect_timeout()),
    ));
    let keepalive = keepalive(
        mesh.tcp_keepalive.as_ref(),
        tcp.and_then(|t| t.tcp_keepalive.as_ref()),
    );
    cluster.upstream_connection_options = keepalive.map(|k| envoy::UpstreamConnectionOptions {
        tcp_keepalive: Some(k),
        ..envoy::UpstreamConnectionOptions::default()
    });
    cluster.circuit_breakers = Some(envoy::CircuitBreakers {
        thresholds: vec![limits(tcp, http)],
        per_host_thresholds: Vec::new(),
    });
}

fn limits(tcp: Option<&TcpSettings>, http: Option<&HttpSettings>) -> Thresholds {
    let mut thresholds = Thresholds {
        max_connections: limit(None),
        max_pending_requests: limit(None),
        max_requests: limit(None),
        max_retries: limit(None),
        ..Thresholds::default()
    };
    if let Some(tcp) = tcp {
        let TcpSettings {
            max_connections,
            connect_timeout: _,         // `apply`
            tcp_keepalive: _,           // `apply`
            max_connection_duration: _, // http_options.rs
            idle_timeout: _,            // http_options.rs
        } = tcp;
        thresholds.max_connections = limit(*max_connections);
    }
    if let Some(http) = http {
        let HttpSettings {
            http1_max_pending_requests,
            http2_max_requests,
            max_retries,
            max_requests_per_connection: _, // this and the rest: http_options.rs
            idle_timeout: _,
            h2_upgrade_policy: _,
            use_client_protocol: _,
            max_concurrent_streams: _,
            http2_keep_alive: _,
        } = http;
        thresholds.max_pending_requests = limit(*http1_max_pending_requests);
        thresholds.max_requests = limit(*http2_max_requests);
        thresholds.max_retries = limit(*max_retries);
    }
    thresholds
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "the shape of the fields that it is for"
)]
fn limit(value: Option<i64>) -> Option<meltemi_proto::google::protobuf::UInt32Value> {
    let value = value.filter(|v| *v > 0).unwrap_or(i64::MAX);
    Some(wire::u32(u32::try_from(value).unwrap_or(u32::MAX)))
}

/// Keep-alive probes: each field of the rule's over the mesh's.
fn keepalive(
    mesh: Option<&TcpKeepalive>,
    rule: Option<&TcpKeepalive>,
) -> Option<core::TcpKeepalive> {
    let mut result = core::TcpKeepalive::default();
    for settings in [mesh, rule].into_iter().flatten() {
        let TcpKeepalive {
            probes,
            time,
            interval,
        } = settings;
        let seconds = |d: Option<Duration>| {
            let seconds = d?.seconds();
            Some(wire::u32(u32::try_from(seconds).ok().filter(|s| *s > 0)?))
        };
        let probes = probes.filter(|p| *p > 0).map(wire::u32);
        result.keepalive_probes = probes.or(result.keepalive_probes);
        result.keepalive_time = seconds(*time).or(result.keepalive_time);
        result.keepalive_interval = seconds(*interval).or(result.keepalive_interval);
    }
    (mesh.is_some() || rule.is_some()).then_some(result)
}

/// Limits retries in relation to active requests; replaces the fixed number of retries.
pub(super) fn retry_budget(cluster: &mut envoy::Cluster, budget: Option<&RetryBudget>) {
    let Some(RetryBudget {
        percent,
        budget_interval,
        min_retry_concurrency,
    }) = budget
    else {
        return;
    };
    let share = percent.filter(|p| p.is_percentage());
    let budget = thresholds::RetryBudget {
        budget_percent: Some(percentage(share.unwrap_or(Decimal::from_whole(20)))),
        budget_interval: budget_interval
            .filter(|i| *i >= SHORTEST)
            .map(wire::duration),
        min_retry_concurrency: Some(wire::u32(min_retry_concurrency.unwrap_or(3))),
    };
    let breakers = cluster.circuit_breakers.get_or_insert_default();
    for thresholds in &mut breakers.thresholds {
        thresholds.retry_budget = Some(budget);
    }
}

/// A percentage, cut to 0 to 100.
pub(super) fn percentage(value: Decimal) -> Percent {
    Percent {
        value: value.to_f64().clamp(0.0, 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(pool: &str, mesh: &str) -> envoy::Cluster {
        let pool: ConnectionPoolSettings = serde_yaml::from_str(pool).unwrap();
        let mesh: MeshConfig = serde_yaml::from_str(mesh).unwrap();
        let mut cluster = envoy::Cluster::default();
        apply(&mut cluster, Some(&pool), &mesh);
        cluster
    }

    #[test]
    fn what_is_not_said_is_not_limited() {
        let cluster = made("{tcp: {maxConnections: 7}, http: {maxRetries: 0}}", "{}");
        let breakers = cluster.circuit_breakers.unwrap();
        let thresholds = breakers.thresholds.first().unwrap();
        assert_eq!(thresholds.max_connections, Some(wire::u32(7)));
        assert_eq!(thresholds.max_retries, Some(wire::u32(u32::MAX)));
        assert_eq!(cluster.connect_timeout, Some(wire::seconds(10)));
        assert_eq!(cluster.upstream_connection_options, None);
    }

    #[test]
    fn keepalive_of_the_rule_goes_over_the_mesh_field_by_field() {
        let cluster = made(
            "{tcp: {tcpKeepalive: {time: 60s}, connectTimeout: 30ms}}",
            "{tcpKeepalive: {probes: 3, time: 10s}}",
        );
        let options = cluster.upstream_connection_options.unwrap();
        let keepalive = options.tcp_keepalive.unwrap();
        assert_eq!(keepalive.keepalive_probes, Some(wire::u32(3)));
        assert_eq!(keepalive.keepalive_time, Some(wire::u32(60)));
        assert_eq!(keepalive.keepalive_interval, None);
        assert_eq!(cluster.connect_timeout.unwrap().nanos, 30_000_000);
    }

    #[test]
    fn a_retry_budget_has_istios_defaults() {
        let mut cluster = made("{}", "{}");
        retry_budget(&mut cluster, Some(&RetryBudget::default()));
        let breakers = cluster.circuit_breakers.unwrap();
        let budget = breakers.thresholds.first().unwrap().retry_budget.unwrap();
        assert_eq!(budget.budget_percent, Some(Percent { value: 20.0 }));
        assert_eq!(budget.min_retry_concurrency, Some(wire::u32(3)));
    }
}
