//! From a destination to what carries bytes there: the cluster, and the parts of DestinationRules
//! that belong to the client's `tcp_proxy`.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/destination-rule/>. The
//! surprise: of several weighted destinations the first one's rule decides how clients are hashed.

use super::tcp_proxy::{Clusters, HashBy, Sniffer, TcpSpec, Tunnel};
use crate::cluster::policy::Policy;
use crate::http::Access;
use crate::name;
use crate::view::View;
use meltemi_api::networking::destination_rule::{Subset, TunnelSettings};
use meltemi_api::networking::virtual_service as api;
use meltemi_model::{Backend, BackendTarget, Resolution, RouteTable, Service, TrafficRule};
use meltemi_types::{HostPattern, Port, Protocol};
use std::sync::Arc;

/// A service, a subset of it, and a port.
struct Destination<'a> {
    host: &'a HostPattern,
    subset: &'a str,
    port: Port,
}

/// The port at a service that a listener's port means: its only one, else the same number.
pub(super) fn port_of(service: Option<&Service>, listener: Option<Port>) -> Option<Port> {
    let ports = service.map_or(&[] as &[_], |s| &s.ports);
    match ports {
        [only] => Some(only.number),
        _ => listener.or_else(|| ports.first().map(|p| p.number)),
    }
}

/// The cluster of an egress proxy, for what nobody declared. A short name is completed with the
/// namespace of the Sidecar, else with the root namespace.
pub(crate) fn egress_proxy(view: &View<'_>, proxy: &api::Destination) -> Option<Arc<str>> {
    let api::Destination { host, subset, port } = proxy;
    let full = match host.contains('.') {
        true => host.clone(),
        false => {
            let namespace = match &view.scope.sidecar {
                Some(sidecar) => &sidecar.namespace,
                None => &view.mesh().root_namespace,
            };
            format!("{host}.{namespace}.svc.{}", view.mesh().cluster_domain)
        }
    };
    let host: HostPattern = full.parse().ok()?;
    let only = || match &*view.by_host.get(&host)?.ports {
        [port] => Some(port.number),
        _ => None,
    };
    let port = match port {
        Some(selector) => Port::new(selector.number)?,
        None => only()?,
    };
    let subset = subset.as_deref().unwrap_or_default();
    Some(name::outbound_cluster(port, subset, &host))
}

/// Everything to the service itself.
pub(super) fn service(view: &View<'_>, service: &Service, port: Port) -> TcpSpec {
    let destination = Destination {
        host: &service.key.host,
        subset: "",
        port,
    };
    single(view, &destination)
}

/// As the rule of a VirtualService says; weights are shares.
pub(super) fn backends(
    view: &View<'_>,
    table: &RouteTable,
    backends: &[Backend],
    listener: Option<Port>,
) -> TcpSpec {
    let resolved: Vec<(Option<Destination<'_>>, u32)> = backends
        .iter()
        .map(|backend| (destination(view, &backend.target, listener), backend.weight))
        .collect();
    if let [(Some(only), _)] = resolved.as_slice() {
        return single(view, only);
    }
    let clusters = resolved.iter().map(|(destination, weight)| {
        let cluster = match destination {
            Some(d) => name::outbound_cluster(d.port, d.subset, d.host),
            None => name::BLACK_HOLE.into(),
        };
        (cluster, *weight)
    });
    let Some(clusters) = Clusters::new(clusters.collect()) else {
        return TcpSpec::to(name::BLACK_HOLE);
    };
    let first = resolved.iter().find_map(|(d, _)| d.as_ref());
    let hash_by = first.map(|d| hash_by(&policy(view, d)));
    TcpSpec {
        stat_prefix: format!("{}.{}", table.name, table.namespace).into(),
        clusters,
        hash_by: hash_by.unwrap_or_default(),
        ..TcpSpec::to(name::BLACK_HOLE)
    }
}

/// What Envoy looks at on a port of this protocol.
pub(super) fn sniffer(protocol: Protocol) -> Sniffer {
    match protocol == Protocol::Mongo {
        true => Sniffer::Mongo,
        false => Sniffer::None,
    }
}

/// The rule for a destination, and the subset that is meant.
fn rule<'a>(
    view: &View<'a>,
    destination: &Destination<'_>,
) -> (Option<&'a TrafficRule>, Option<&'a Subset>) {
    let service = view.by_host.get(destination.host);
    let rule = service.and_then(|s| view.rule(s)).map(|r| &**r);
    let subset = rule.and_then(|r| r.subset(destination.subset));
    (rule, subset.map(|s| &*s.subset))
}

fn policy<'a>(view: &View<'a>, destination: &Destination<'_>) -> Policy<'a> {
    let (rule, subset) = rule(view, destination);
    Policy::outbound(rule, subset, destination.port, &view.mesh().config)
}

fn destination<'a>(
    view: &View<'_>,
    target: &'a BackendTarget,
    listener: Option<Port>,
) -> Option<Destination<'a>> {
    match target {
        BackendTarget::Invalid => None,
        BackendTarget::Service { host, subset, port } => {
            let service = view.by_host.get(host).map(|s| &**s);
            Some(Destination {
                host,
                subset: subset.as_deref().unwrap_or_default(),
                port: port.or_else(|| port_of(service, listener))?,
            })
        }
    }
}

fn single(view: &View<'_>, destination: &Destination<'_>) -> TcpSpec {
    let Destination { host, subset, port } = destination;
    let policy = policy(view, destination);
    let tcp = policy.connection_pool.and_then(|pool| pool.tcp.as_ref());
    let cluster = name::outbound_cluster(*port, subset, host);
    TcpSpec {
        stat_prefix: cluster.clone(),
        clusters: Clusters::One(cluster),
        idle_timeout: tcp.and_then(|t| t.idle_timeout),
        max_duration: tcp.and_then(|t| t.max_connection_duration),
        hash_by: hash_by(&policy),
        tunnel: through(view, destination),
        sniffer: Sniffer::None,
        resolve: resolved(view, destination),
        access: Access::Open,
    }
}

/// The port at servers whose names only the connections say.
fn resolved(view: &View<'_>, destination: &Destination<'_>) -> Option<Port> {
    let service = view.by_host.get(destination.host)?;
    let port = service.port(destination.port)?;
    let target = port.target.number(port.number).unwrap_or(port.number);
    (service.resolution == Resolution::DynamicDns).then_some(target)
}

fn hash_by(policy: &Policy<'_>) -> HashBy {
    let hash = policy
        .load_balancer
        .and_then(|lb| lb.consistent_hash.as_ref());
    match hash.and_then(|h| h.use_source_ip) {
        Some(true) => HashBy::SourceIp,
        Some(false) | None => HashBy::Nothing,
    }
}

/// The tunnel of the subset, else of the whole rule.
fn through(view: &View<'_>, destination: &Destination<'_>) -> Option<Tunnel> {
    let (rule, subset) = rule(view, destination);
    let own = subset.and_then(|s| s.traffic_policy.as_ref()?.tunnel.as_ref());
    let whole = || rule.and_then(|r| r.policy.as_ref()?.tunnel.as_ref());
    own.or_else(whole).map(tunnel)
}

fn tunnel(settings: &TunnelSettings) -> Tunnel {
    let TunnelSettings {
        protocol,
        target_host,
        target_port,
    } = settings;
    let hostname = match target_host.contains(':') {
        true => format!("[{target_host}]:{target_port}"),
        false => format!("{target_host}:{target_port}"),
    };
    Tunnel {
        hostname: hostname.into(),
        post: protocol.as_deref() == Some("POST"),
    }
}
