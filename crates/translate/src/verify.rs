//! Nothing structurally invalid leaves: what Envoy would refuse is found before it is sent.
//!
//! One bad resource makes Envoy refuse a whole response, and a delta response partly, by chance;
//! one kind (a path template in an RBAC policy) even ends the process. Two walks look at each
//! resource: the rules that come with the descriptors (`meltemi_proto::rules`), and the traps that
//! no descriptor tells, each confirmed with Envoy 1.40. What is reported here, Envoy refuses, or
//! would for some state of its other resources; what needs another resource or the proxy's own
//! facts (certificates, which filters it has) is not looked at.

use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_proto::envoy::config::listener::v3::Listener;
use meltemi_proto::envoy::config::route::v3::RouteConfiguration;

mod address;
mod assignment;
mod chain_match;
mod cluster;
mod filter_chain;
mod format;
mod header;
mod http;
mod jwt;
mod listener;
mod rbac;
mod regex;
mod report;
mod route;
mod template;
mod tls;
mod walk;

use report::Report;

/// What Envoy would refuse in a cluster.
#[must_use]
pub fn cluster(message: &Cluster, body: &[u8]) -> Vec<String> {
    let mut report = Report::default();
    walk::resource::<Cluster>(body, &mut report);
    cluster::check(message, &mut report);
    report.finish()
}

/// What Envoy would refuse in a load assignment.
#[must_use]
pub fn endpoint(message: &ClusterLoadAssignment, body: &[u8]) -> Vec<String> {
    let mut report = Report::default();
    if assignment::is_unusual(message) {
        walk::resource::<ClusterLoadAssignment>(body, &mut report);
    }
    assignment::check(message, assignment::Hosts::Addresses, &mut report);
    report.finish()
}

/// What Envoy would refuse in a listener.
#[must_use]
pub fn listener(message: &Listener, body: &[u8]) -> Vec<String> {
    let mut report = Report::default();
    walk::resource::<Listener>(body, &mut report);
    listener::check(message, &mut report);
    report.finish()
}

/// What Envoy would refuse in a route configuration.
#[must_use]
pub fn route(_message: &RouteConfiguration, body: &[u8]) -> Vec<String> {
    let mut report = Report::default();
    walk::resource::<RouteConfiguration>(body, &mut report);
    report.finish()
}

#[cfg(test)]
mod tests;
