//! The clusters towards the workload itself: one per port that it serves.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/sidecar/#IstioIngressListener>.
//! A Sidecar's `ingress` replaces the ports of the services. Without redirection only `ingress`
//! counts: listeners on the workload's own ports would stand in its way.

use super::http_options::{self, AutoSni, HttpInput, HttpVersion};
use super::{ClientTraits, ClusterInput, Inbound, Pool, Role, Towards};
use super::{connection_pool, discovery, metadata, passthrough, policy};
use crate::by_id::ById;
use crate::class::{InboundKey, InboundTarget};
use crate::plan::Planned;
use crate::{name, wire};
use meltemi_api::mesh_config::InboundTrafficPolicyMode;
use meltemi_api::networking::destination_rule::ConnectionPoolSettings;
use meltemi_api::networking::sidecar::{IstioIngressListener, SidecarPort};
use meltemi_model::proxy::Interception;
use meltemi_model::{Service, SidecarRule, patch};
use meltemi_proto::envoy::config::cluster::v3 as envoy;
use meltemi_proto::envoy::config::cluster::v3::cluster::DiscoveryType;
use meltemi_proto::envoy::config::core::v3::Address;
use meltemi_proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use meltemi_proto::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use meltemi_types::{Code, Diagnostic, FieldPath, Origin, Port, Protocol, ProxyKind};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The longest time that Envoy takes for the clean-up of original-destination hosts: for ever.
const NEVER: i64 = 9_223_372_035;

/// Lists the clusters towards the workload itself.
#[must_use]
pub fn plan_inbound(key: &InboundKey) -> Planned<ClusterInput> {
    let mut planned = Planned::default();
    if key.kind != ProxyKind::Sidecar {
        return planned;
    }
    let captured = key.interception != Interception::None;
    let patches = patch::none();
    let input = |name: Arc<str>, role| ClusterInput {
        name,
        role,
        mesh: key.mesh.clone(),
        client: ClientTraits {
            kind: key.kind,
            families: key.families,
            certificates: key.certificates,
            keeps_case: key.settings.keeps_case(),
        },
        patches: patches.clone(),
    };
    let ports = match key.sidecar.as_ref().filter(|s| !s.spec.ingress.is_empty()) {
        Some(sidecar) => of_sidecar(key, sidecar, &mut planned.diagnostics),
        None if captured => of_services(key),
        None => Vec::new(),
    };
    for (role, origins) in ports {
        let input = input(name::inbound_cluster(role.port), Role::Inbound(role));
        planned.push(input.name.clone(), input, origins);
    }
    if captured {
        let input = input(name::INBOUND_PASSTHROUGH.into(), Role::InboundPassthrough);
        planned.push(name::INBOUND_PASSTHROUGH, input, Vec::new());
    }
    planned
}

type Found = Vec<(Inbound, Vec<Origin>)>;

/// One per workload port; the oldest service decides about the protocol and the limits.
fn of_services(key: &InboundKey) -> Found {
    let mut ports: BTreeMap<Port, Vec<&InboundTarget>> = BTreeMap::new();
    for target in &key.targets {
        ports.entry(target.target).or_default().push(target);
    }
    let towards = |port| match key.mesh.config.inbound_mode() {
        InboundTrafficPolicyMode::Passthrough => Towards::Destination,
        InboundTrafficPolicyMode::Localhost => Towards::Address(loopback(key), port),
    };
    let made = |(port, targets): (Port, Vec<&InboundTarget>)| {
        let first = targets.iter().find(|t| t.port.protocol != Protocol::Udp)?;
        let role = Inbound {
            port,
            protocol: first.port.protocol,
            services: services(&targets),
            towards: towards(port),
            pool: pool(key, first),
        };
        let origins = targets.iter().map(|t| t.service.origin.clone());
        Some((role, origins.collect()))
    };
    ports.into_iter().filter_map(made).collect()
}

fn services(targets: &[&InboundTarget]) -> Vec<(ById<Service>, Port)> {
    let pair = |target: &&InboundTarget| (target.service.clone(), target.port.number);
    targets.iter().map(pair).collect()
}

fn pool(key: &InboundKey, target: &InboundTarget) -> Option<Pool> {
    let sidecar = key.sidecar.as_ref();
    let sidecar = sidecar.filter(|s| s.spec.inbound_connection_pool.is_some());
    let rule = || Some(Pool::Rule(target.policy.clone()?, target.port.number));
    sidecar.map(|s| Pool::Sidecar(s.clone())).or_else(rule)
}

fn of_sidecar(
    key: &InboundKey,
    sidecar: &ById<SidecarRule>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Found {
    let mut found = Found::new();
    for (index, listener) in sidecar.spec.ingress.iter().enumerate() {
        let IstioIngressListener {
            port,
            bind: _, // of the listener
            capture_mode: _,
            default_endpoint,
            tls: _,
            connection_pool,
        } = listener;
        let Some((port, protocol)) = port.as_ref().and_then(port_of) else {
            continue;
        };
        let path = FieldPath::spec().field("ingress").index(index);
        let Some(towards) = towards(key, default_endpoint.as_deref(), port) else {
            diagnostics.push(Diagnostic::error(
                Code::InvalidValue,
                sidecar.origin.at(path.field("defaultEndpoint")),
                format!("{default_endpoint:?} is no endpoint, so the port cannot be reached"),
                "use 127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT, [::]:PORT or unix:///PATH",
            ));
            continue;
        };
        let targets: Vec<&InboundTarget> =
            key.targets.iter().filter(|t| t.target == port).collect();
        let own = connection_pool.is_some() || sidecar.spec.inbound_connection_pool.is_some();
        let role = Inbound {
            port,
            protocol,
            services: services(&targets),
            towards,
            pool: match targets.first() {
                _ if own => Some(Pool::Ingress(sidecar.clone(), index)),
                Some(target) => pool(key, target),
                None => None,
            },
        };
        found.push((role, vec![sidecar.origin.at(path)]));
    }
    found
}

/// The number and protocol of an ingress port; the name may tell the protocol (`http-admin`).
fn port_of(port: &SidecarPort) -> Option<(Port, Protocol)> {
    let SidecarPort {
        number,
        protocol,
        name,
        target_port: _, // without effect in Istio too
    } = port;
    let written = protocol.as_deref().and_then(Protocol::by_name);
    let named = || {
        let name = name.as_deref()?;
        let prefix = name.split_once('-').map_or(name, |(prefix, _)| prefix);
        match name {
            "grpc-web" => Some(Protocol::GrpcWeb),
            _ if name.starts_with("grpc-web-") => Some(Protocol::GrpcWeb),
            _ => Protocol::by_name(prefix),
        }
    };
    let protocol = written.or_else(named).unwrap_or(Protocol::Auto);
    Some((Port::new(*number)?, protocol))
}

fn towards(key: &InboundKey, endpoint: Option<&str>, port: Port) -> Option<Towards> {
    let Some(endpoint) = endpoint.filter(|e| !e.is_empty()) else {
        return Some(match key.interception {
            Interception::None => Towards::Address(loopback(key), port),
            Interception::Redirect | Interception::Tproxy => Towards::Destination,
        });
    };
    if let Some(path) = endpoint.strip_prefix("unix://") {
        return Some(Towards::Pipe(path.into()));
    }
    let address: SocketAddr = endpoint.parse().ok()?;
    let port = Port::new(address.port().into())?;
    let ip = match address.ip() {
        any if any.is_unspecified() => {
            let fits = |ip: &&IpAddr| ip.is_ipv4() == any.is_ipv4();
            *key.ips.iter().find(fits).or_else(|| key.ips.first())?
        }
        ip => ip,
    };
    Some(Towards::Address(ip, port))
}

fn loopback(key: &InboundKey) -> IpAddr {
    let fallback = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    key.families.loopback().parse().unwrap_or(fallback)
}

/// Makes a cluster towards the workload itself.
pub(super) fn build(input: &ClusterInput, role: &Inbound) -> envoy::Cluster {
    let mut cluster = envoy::Cluster {
        name: input.name.to_string(),
        alt_stat_name: name::stat(&metadata::inbound_stat(input, role)),
        metadata: metadata::inbound(role),
        ..envoy::Cluster::default()
    };
    let pool = limits(role.pool.as_ref());
    connection_pool::apply(&mut cluster, pool, &input.mesh.config);
    let options = HttpInput {
        version: HttpVersion::inbound(role.protocol, pool.and_then(|p| p.http.as_ref())),
        pool,
        outlier: None,
        auto_sni: AutoSni::Off,
        keeps_case: input.client.keeps_case,
    };
    http_options::set(&mut cluster, http_options::options(&options));
    match &role.towards {
        Towards::Destination => {
            discovery::original_destination(&mut cluster);
            cluster.cleanup_interval = Some(wire::seconds(NEVER));
            cluster.upstream_bind_config = Some(passthrough::bind(input.client.families));
        }
        Towards::Address(ip, port) => {
            fixed(&mut cluster, wire::address(ip, *port));
            if !ip.is_loopback() {
                // The pod's own address: from any other source it would be captured again.
                cluster.upstream_bind_config = Some(passthrough::bind(input.client.families));
            }
        }
        Towards::Pipe(path) => fixed(&mut cluster, wire::pipe(path)),
    }
    cluster
}

fn limits(pool: Option<&Pool>) -> Option<&ConnectionPoolSettings> {
    match pool? {
        Pool::Rule(rule, port) => policy::inbound_pool(rule, *port),
        Pool::Sidecar(sidecar) => sidecar.spec.inbound_connection_pool.as_ref(),
        Pool::Ingress(sidecar, index) => {
            let entry = sidecar.spec.ingress.get(*index);
            let own = entry.and_then(|i| i.connection_pool.as_ref());
            own.or(sidecar.spec.inbound_connection_pool.as_ref())
        }
    }
}

fn fixed(cluster: &mut envoy::Cluster, address: Address) {
    cluster.cluster_discovery_type = discovery::kind(DiscoveryType::Static);
    let endpoint = LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(address),
            ..Endpoint::default()
        })),
        ..LbEndpoint::default()
    };
    cluster.load_assignment = Some(ClusterLoadAssignment {
        cluster_name: cluster.name.clone(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: vec![endpoint],
            ..LocalityLbEndpoints::default()
        }],
        ..ClusterLoadAssignment::default()
    });
}
