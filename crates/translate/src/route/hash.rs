//! Consistent hashing: what of a request decides its endpoint. The cluster's ring is useless
//! without this part on the route.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/destination-rule/#LoadBalancerSettings-ConsistentHashLB>.

use super::headers::{is_name, is_value};
use super::timeout;
use meltemi_api::networking::destination_rule::{
    ConsistentHashLb, CookieAttribute, HttpCookie, LoadBalancerSettings, TrafficPolicy,
};
use meltemi_model::TrafficRule;
use meltemi_proto::envoy::config::route::v3::route_action::{HashPolicy, hash_policy as envoy};
use meltemi_types::Port;
use std::sync::Arc;

/// The hash of a rule for a port: the subset's port, the subset, the rule's port, the rule.
pub(super) fn of_rule(
    rule: &TrafficRule,
    subset: Option<&str>,
    port: Port,
) -> Option<Arc<ConsistentHashLb>> {
    let subset = subset
        .filter(|s| !s.is_empty())
        .and_then(|s| rule.subset(s));
    let subset = subset.and_then(|s| s.subset.traffic_policy.as_ref());
    let own = rule.policy.as_deref();
    let found = subset
        .and_then(|policy| of_port(policy, port).or_else(|| of_policy(policy)))
        .or_else(|| own.and_then(|policy| of_port(policy, port).or_else(|| of_policy(policy))))?;
    Some(Arc::new(found.clone()))
}

fn of_policy(policy: &TrafficPolicy) -> Option<&ConsistentHashLb> {
    of_balancer(policy.load_balancer.as_ref()?)
}

fn of_port(policy: &TrafficPolicy, port: Port) -> Option<&ConsistentHashLb> {
    let number = Some(port.number());
    let mut levels = policy.port_level_settings.iter();
    let level = levels.find(|level| level.port.as_ref().map(|p| p.number) == number)?;
    of_balancer(level.load_balancer.as_ref()?)
}

fn of_balancer(balancer: &LoadBalancerSettings) -> Option<&ConsistentHashLb> {
    balancer.consistent_hash.as_ref()
}

/// The policy on the route; none where the key is one that Envoy refuses.
pub(super) fn policy(hash: &ConsistentHashLb) -> Option<HashPolicy> {
    let ConsistentHashLb {
        http_header_name,
        http_cookie,
        use_source_ip,
        http_query_parameter_name,
        ring_hash: _,         // the cluster's
        maglev: _,            // the cluster's
        minimum_ring_size: _, // the cluster's
    } = hash;
    let header = http_header_name.as_deref().filter(|name| is_name(name));
    let header = header.map(|name| {
        envoy::PolicySpecifier::Header(envoy::Header {
            header_name: name.into(),
            ..envoy::Header::default()
        })
    });
    let source =
        (*use_source_ip == Some(true)).then_some(envoy::PolicySpecifier::ConnectionProperties(
            envoy::ConnectionProperties { source_ip: true },
        ));
    let query = http_query_parameter_name
        .as_ref()
        .filter(|name| !name.is_empty());
    let query = query.map(|name| {
        envoy::PolicySpecifier::QueryParameter(envoy::QueryParameter { name: name.clone() })
    });
    let cookie = || http_cookie.as_ref().and_then(cookie);
    let specifier = header.or_else(cookie).or(source).or(query)?;
    Some(HashPolicy {
        terminal: false,
        policy_specifier: Some(specifier),
    })
}

fn cookie(cookie: &HttpCookie) -> Option<envoy::PolicySpecifier> {
    let HttpCookie {
        name,
        path,
        ttl,
        attributes,
    } = cookie;
    let attributes = attributes.iter().filter_map(|attribute| {
        let CookieAttribute { name, value } = attribute;
        let value = value.clone().unwrap_or_default();
        (!name.is_empty() && is_value(name) && is_value(&value)).then(|| envoy::CookieAttribute {
            name: name.clone(),
            value,
        })
    });
    (!name.is_empty()).then(|| {
        envoy::PolicySpecifier::Cookie(envoy::Cookie {
            name: name.clone(),
            ttl: ttl.map(timeout::duration),
            path: path.clone().unwrap_or_default(),
            attributes: attributes.collect(),
        })
    })
}
