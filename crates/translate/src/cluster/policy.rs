//! Which block of which policy is in force for one port of one subset.
//!
//! Istio's rules: a block of the subset replaces the rule's block; an entry of `portLevelSettings`
//! replaces four blocks at once, so a block it leaves out is the default and not the parent's;
//! what is still unset comes from mesh config.

use meltemi_api::mesh_config::{DefaultTrafficPolicy, MeshConfig};
use meltemi_api::networking::destination_rule::{
    ClientTlsSettings, ConnectionPoolSettings, LoadBalancerSettings, OutlierDetection,
    PortTrafficPolicy, ProxyProtocol, RetryBudget, Subset, TrafficPolicy,
};
use meltemi_model::TrafficRule;
use meltemi_types::Port;

/// The blocks in force.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Policy<'a> {
    pub(crate) load_balancer: Option<&'a LoadBalancerSettings>,
    pub(crate) connection_pool: Option<&'a ConnectionPoolSettings>,
    pub(crate) outlier_detection: Option<&'a OutlierDetection>,
    pub(crate) tls: Option<&'a ClientTlsSettings>,
    pub(crate) proxy_protocol: Option<&'a ProxyProtocol>,
    pub(crate) retry_budget: Option<&'a RetryBudget>,
    /// True when the rule selects the workloads that use it.
    pub(crate) selects: bool,
}

impl<'a> Policy<'a> {
    /// What holds for the traffic of clients to a port of a service or subset.
    pub(crate) fn outbound(
        rule: Option<&'a TrafficRule>,
        subset: Option<&'a Subset>,
        port: Port,
        mesh: &'a MeshConfig,
    ) -> Self {
        let host = rule.and_then(|rule| rule.policy.as_deref());
        let subset = subset.and_then(|subset| subset.traffic_policy.as_ref());
        let (mut policy, mut ports) = host.map(open).unwrap_or_default();
        if let Some((own, own_ports)) = subset.map(open) {
            policy = own.or(policy);
            if !own_ports.is_empty() {
                ports = own_ports;
            }
        }
        policy.selects = rule.is_some_and(|rule| rule.selector.is_some());
        policy.for_port(ports, port).or_default(mesh)
    }

    fn or(self, lower: Self) -> Self {
        Self {
            load_balancer: self.load_balancer.or(lower.load_balancer),
            connection_pool: self.connection_pool.or(lower.connection_pool),
            outlier_detection: self.outlier_detection.or(lower.outlier_detection),
            tls: self.tls.or(lower.tls),
            proxy_protocol: self.proxy_protocol.or(lower.proxy_protocol),
            retry_budget: self.retry_budget.or(lower.retry_budget),
            selects: self.selects || lower.selects,
        }
    }

    fn for_port(self, ports: &'a [PortTrafficPolicy], number: Port) -> Self {
        let Some(entry) = ports.iter().find(|entry| is_for(entry, number)) else {
            return self;
        };
        let PortTrafficPolicy {
            port: _,
            load_balancer,
            connection_pool,
            outlier_detection,
            tls,
        } = entry;
        Self {
            load_balancer: load_balancer.as_ref(),
            connection_pool: connection_pool.as_ref(),
            outlier_detection: outlier_detection.as_ref(),
            tls: tls.as_ref(),
            ..self
        }
    }

    fn or_default(self, mesh: &'a MeshConfig) -> Self {
        let Some(DefaultTrafficPolicy {
            connection_pool,
            outlier_detection,
        }) = &mesh.default_traffic_policy
        else {
            return self;
        };
        Self {
            connection_pool: self.connection_pool.or(connection_pool.as_ref()),
            outlier_detection: self.outlier_detection.or(outlier_detection.as_ref()),
            ..self
        }
    }
}

fn is_for(entry: &PortTrafficPolicy, number: Port) -> bool {
    entry.port.as_ref().and_then(|p| Port::new(p.number)) == Some(number)
}

fn open(policy: &TrafficPolicy) -> (Policy<'_>, &[PortTrafficPolicy]) {
    let TrafficPolicy {
        load_balancer,
        connection_pool,
        outlier_detection,
        tls,
        port_level_settings,
        tunnel: _, // of the TCP proxy: see the listener
        proxy_protocol,
        retry_budget,
    } = policy;
    let policy = Policy {
        load_balancer: load_balancer.as_ref(),
        connection_pool: connection_pool.as_ref(),
        outlier_detection: outlier_detection.as_ref(),
        tls: tls.as_ref(),
        proxy_protocol: proxy_protocol.as_ref(),
        retry_budget: retry_budget.as_ref(),
        selects: false,
    };
    (policy, port_level_settings)
}

/// The limits that the rule of a service sets for inbound traffic to one of its ports.
pub(super) fn inbound_pool(policy: &TrafficPolicy, port: Port) -> Option<&ConnectionPoolSettings> {
    let (policy, ports) = open(policy);
    policy.for_port(ports, port).connection_pool
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: serde::de::DeserializeOwned>(yaml: &str) -> T {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn max_connections(policy: Policy<'_>) -> Option<i64> {
        policy.connection_pool?.tcp.as_ref()?.max_connections
    }

    #[test]
    fn a_port_entry_replaces_four_blocks_at_once() {
        let policy: TrafficPolicy = read(
            "{connectionPool: {tcp: {maxConnections: 1}}, tls: {mode: SIMPLE}, retryBudget: {minRetryConcurrency: 5},
              portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]}",
        );
        let (open, ports) = open(&policy);
        let on = |n| open.for_port(ports, Port::new(n).unwrap());
        assert_eq!(max_connections(on(81)), Some(1));
        assert_eq!(max_connections(on(80)), None);
        assert!(on(80).tls.is_none() && on(80).load_balancer.is_some());
        assert!(on(80).retry_budget.is_some());
    }

    #[test]
    fn the_subset_replaces_blocks_and_the_mesh_fills_what_is_left() {
        let rule = super::super::testing::rule(
            "{host: a.shop.svc.cluster.local, trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}, tls: {mode: SIMPLE}},
              subsets: [{name: v1, trafficPolicy: {connectionPool: {tcp: {maxConnections: 2}}}}]}",
        );
        let mesh: MeshConfig = read(
            "{defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}, outlierDetection: {}}}",
        );
        let port = Port::new(80).unwrap();
        let subset = &rule.subset("v1").unwrap().subset;
        let policy = Policy::outbound(Some(&rule), Some(subset), port, &mesh);
        assert_eq!(max_connections(policy), Some(2));
        assert!(policy.tls.is_some() && policy.outlier_detection.is_some());
        let policy = Policy::outbound(None, None, port, &mesh);
        assert_eq!(max_connections(policy), Some(9));
    }
}
