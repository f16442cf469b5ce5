//! RDS: which route configurations sidecars ask for, and what each one is.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/> and Envoy's
//! `RouteConfiguration`. `plan` decides which route table serves which host at which port and what
//! every destination resolves to; `build` writes virtual hosts, domains and routes. The surprise:
//! a route table for a host without a service has a virtual host on port 80 only.

mod action;
mod catch_all;
mod claims;
mod cors;
mod direct;
mod domains;
mod fault;
mod gateway;
mod hash;
mod headers;
pub(crate) mod hosts;
mod matching;
mod mirror;
pub(crate) mod names;
mod percent;
mod plan;
mod redirect;
mod resolve;
mod retry;
mod rewrite;
#[cfg(test)]
mod rule_tests;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timeout;
mod virtual_host;
mod weight;

use crate::by_id::ById;
use crate::plan::{Built, Planned};
use crate::view::View;
use crate::wire;
use catch_all::Rest;
use meltemi_api::networking::destination_rule::ConsistentHashLb;
use meltemi_api::networking::virtual_service::HttpRetry;
use meltemi_model::{DnsCapture, Patch, RouteTable, Service};
use meltemi_proto::envoy::config::route::v3 as envoy;
use meltemi_types::{ClusterId, HostPattern, IpFamilies, Port, ProxyKind};
use std::sync::Arc;

/// Istio's limit for the body of a direct response; Envoy's own is 4 KiB.
const LARGEST_BODY: u32 = 1_048_576;

/// Everything one route configuration depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteInput {
    name: Arc<str>,
    naming: Naming,
    settings: Arc<Settings>,
    hosts: Vec<HostInput>,
    /// Of a gateway; it has nothing else.
    edge: Vec<EdgeHost>,
    rest: Rest,
    patches: Arc<[Patch]>,
}

/// How the domains of virtual hosts are made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Naming {
    /// There is one virtual host and it takes everything.
    Everything,
    /// By host; the port of a request's authority is not looked at.
    Hosts(Arc<Client>),
    /// By host and port: the listener serves all ports.
    HostsAndPorts(Arc<Client>),
}

/// The facts of a class that decide under which names its services are known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Client {
    domain: Arc<str>,
    cluster: ClusterId,
    families: IpFamilies,
    dns: DnsCapture,
}

/// Mesh-wide settings that routes depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Settings {
    /// For routes that say nothing of retries; `None` is Istio's default.
    retries: Option<HttpRetry>,
    /// `x-envoy-attempt-count` is sent.
    attempt_count: bool,
    /// `x-forwarded-host` is sent when the host is rewritten.
    forwarded_host: bool,
}

/// What one virtual host is made from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct HostInput {
    host: HostPattern,
    port: Port,
    /// `None` where only the host's own name counts.
    service: Option<ById<Service>>,
    /// Other names for the service (ExternalName).
    aliases: Vec<HostPattern>,
    routes: HostRoutes,
}

/// A virtual host of a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct EdgeHost {
    name: Arc<str>,
    domains: Vec<Arc<str>>,
    /// In order.
    tables: Vec<Arc<TablePlan>>,
    /// Plaintext is answered with a redirect to HTTPS.
    redirect: bool,
}

/// The routes of a virtual host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum HostRoutes {
    /// Everything to the service of that name, spread by the hash if there is one.
    Default(Option<Arc<ConsistentHashLb>>),
    /// Those of a route table.
    Table(Arc<TablePlan>),
}

/// A route table as one listener port of one class sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct TablePlan {
    table: ById<RouteTable>,
    port: Port,
    rules: Vec<RulePlan>,
}

/// A rule of a route table that is in force, and what it resolves to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct RulePlan {
    /// Which rule of the table.
    rule: usize,
    /// Which of its conditions apply; `None` for a rule without any: it takes everything.
    conditions: Option<Vec<usize>>,
    /// One for each backend.
    backends: Vec<Target>,
    /// One for each mirror.
    mirrors: Vec<Target>,
}

/// What a destination resolves to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Target {
    /// A cluster, and what requests to it are spread by.
    Cluster {
        name: Arc<str>,
        hash: Option<Arc<ConsistentHashLb>>,
    },
    /// Nothing: answered with 500.
    Invalid,
}

/// Lists the route configurations that the listeners of a class may ask for.
#[must_use]
pub fn plan(view: &View<'_>) -> Planned<RouteInput> {
    match view.key.kind {
        ProxyKind::Sidecar => plan::plan(view),
        ProxyKind::Router => gateway::plan(view),
        ProxyKind::Waypoint | ProxyKind::Ztunnel => Planned::default(),
    }
}

/// Makes one route configuration.
#[must_use]
pub fn build(input: &RouteInput) -> Built<envoy::RouteConfiguration> {
    let RouteInput {
        name,
        naming,
        settings,
        hosts,
        edge,
        rest,
        patches: _, // nothing fills them yet
    } = input;
    let mut built = virtual_host::all(naming, settings, hosts);
    let gateway = gateway::virtual_hosts(edge, settings, &mut built.diagnostics);
    built.hosts.extend(gateway);
    built.hosts.sort_by(|a, b| a.name.cmp(&b.name));
    if !built.takes_everything {
        built.hosts.extend(catch_all::virtual_host(rest, settings));
    }
    let message = envoy::RouteConfiguration {
        name: name.to_string(),
        validate_clusters: Some(wire::bool(false)),
        max_direct_response_body_size_bytes: Some(wire::u32(direct::largest_body(&built.hosts))),
        ignore_port_in_host_matching: !matches!(naming, Naming::HostsAndPorts(_)),
        virtual_hosts: built.hosts,
        ..envoy::RouteConfiguration::default()
    };
    Built {
        message,
        diagnostics: built.diagnostics,
    }
}
