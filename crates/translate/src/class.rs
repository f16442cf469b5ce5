//! Classes: proxies whose view is equal share every outbound resource.
//!
//! [`ClassKey`] holds all that may differ between two proxies' outbound configuration;
//! [`InboundKey`] all that decides a workload's inbound. Each field multiplies the number of
//! classes: keep them few, and empty where they decide nothing.

use crate::by_id::ById;
use meltemi_api::networking::destination_rule::TrafficPolicy;
use meltemi_model::gateway::Chosen;
use meltemi_model::policy::Client;
use meltemi_model::proxy::{Capabilities, Interception, ProxySettings};
use meltemi_model::{
    Certificates, DnsCapture, Mesh, Proxy, Service, ServicePort, ServiceTarget, SidecarRule,
    Snapshot, WorkloadSecurity,
};
use meltemi_types::{
    ClusterId, IpFamilies, Labels, Locality, Namespace, NetworkId, ObjectRef, Port, ProxyKind,
};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// Everything about a proxy that may change its outbound resources.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClassKey {
    /// Sidecar, router, …
    pub kind: ProxyKind,
    /// The config namespace: short names, private exports.
    pub namespace: Namespace,
    /// `<namespace>.svc.<cluster domain>`: which short names are added to virtual hosts.
    pub domain: Arc<str>,
    /// The Sidecar resource that shapes its scope.
    pub sidecar: Option<Arc<ObjectRef>>,
    /// Its cluster: which virtual addresses are its own.
    pub cluster: ClusterId,
    /// Its network.
    pub network: Option<NetworkId>,
    /// Its IP families.
    pub families: IpFamilies,
    /// How traffic gets to it.
    pub interception: Interception,
    /// Only the labels that some rule asks for.
    pub labels: Labels,
    /// Where it runs; empty unless some policy balances by locality.
    pub locality: Locality,
    /// Its node; `None` unless some service is node-local.
    pub node_name: Option<Arc<str>>,
    /// Its own addresses among those that headless listeners would be made for.
    pub own_headless_ips: BTreeSet<IpAddr>,
    /// Where it wants an HTTP proxy listener.
    pub http_proxy_port: Option<Port>,
    /// `IDLE_TIMEOUT`.
    pub idle_timeout: Option<Arc<str>>,
    /// HTTP/1.0 is accepted.
    pub http10: bool,
    /// Its ProxyConfig.
    pub settings: Arc<ProxySettings>,
    /// Where its certificate comes from.
    pub certificates: Certificates,
    /// What makes a gateway of it; `None` for all other kinds.
    pub edge: Option<Arc<Edge>>,
    /// Whether allocated addresses are in use.
    pub dns: DnsCapture,
    /// What its binary can do.
    pub capabilities: Capabilities,
}

/// The facts of a router that decide which gateways it is, and where they listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Edge {
    /// The gateways, oldest first, and where their ports are bound.
    pub gateways: Vec<Chosen>,
    /// Nobody is let in: a policy for the workload is not understood.
    pub denied: bool,
    /// Ports below 1024 cannot be bound.
    pub unprivileged: bool,
}

impl Edge {
    fn of(snapshot: &Snapshot, proxy: &Proxy, labels: &Labels) -> Option<Arc<Self>> {
        let root = &snapshot.mesh.root_namespace;
        let security = || {
            snapshot
                .security
                .of_workload(root, &proxy.namespace, labels)
        };
        (proxy.kind() == ProxyKind::Router).then(|| {
            Arc::new(Self {
                gateways: snapshot.gateways_of(proxy, labels),
                denied: !security().guards.is_empty(),
                unprivileged: proxy.unprivileged,
            })
        })
    }
}

/// Facts of a snapshot that decide which proxy facts matter; made once per snapshot.
#[derive(Clone, Debug, Default)]
pub struct Deciding {
    /// Some policy may balance by locality.
    pub locality: bool,
    /// Some service is node-local, or some policy prefers the own node.
    pub node: bool,
    /// Addresses behind headless services with ports that are not HTTP.
    pub headless: BTreeSet<IpAddr>,
}

impl Deciding {
    /// Reads a snapshot.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        Self {
            locality: crate::endpoint::locality_decides(snapshot),
            node: crate::endpoint::node_decides(snapshot),
            headless: crate::listener::headless_addresses(snapshot),
        }
    }
}

impl ClassKey {
    /// The class of a proxy.
    #[must_use]
    pub fn of(snapshot: &Snapshot, deciding: &Deciding, proxy: &Proxy) -> Self {
        let labels = snapshot.labels_of(proxy);
        let root = &snapshot.mesh.root_namespace;
        let sidecar = match proxy.kind() {
            ProxyKind::Sidecar => snapshot
                .sidecars
                .of_workload(&proxy.namespace, &labels, root),
            ProxyKind::Router | ProxyKind::Waypoint | ProxyKind::Ztunnel => None,
        };
        let workload = snapshot.workload_of(proxy);
        let locality = workload.map_or(&proxy.locality, |w| &w.locality);
        let network = workload.and_then(|w| w.network.clone());
        Self {
            kind: proxy.kind(),
            namespace: proxy.namespace.clone(),
            domain: proxy.node.domain.clone(),
            sidecar: sidecar.map(|rule| rule.origin.object.clone()),
            cluster: proxy.cluster.clone(),
            network: network.or_else(|| proxy.network.clone()),
            families: proxy.families(),
            interception: proxy.interception,
            labels: labels.only(|key| snapshot.is_deciding_label(key)),
            locality: if deciding.locality {
                locality.clone()
            } else {
                Locality::default()
            },
            node_name: proxy.node_name.clone().filter(|_| deciding.node),
            own_headless_ips: proxy
                .ips
                .iter()
                .filter(|ip| deciding.headless.contains(ip))
                .copied()
                .collect(),
            http_proxy_port: proxy.http_proxy_port,
            idle_timeout: proxy.idle_timeout.clone(),
            http10: proxy.http10,
            settings: proxy.settings(&snapshot.mesh.config),
            certificates: snapshot.certificates_of(proxy),
            edge: Edge::of(snapshot, proxy, &labels),
            dns: proxy.dns,
            capabilities: proxy.capabilities,
        }
    }
}

/// One port that a workload serves, with the traffic policy of its service (only the connection
/// pool matters inbound).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InboundTarget {
    /// The service.
    pub service: ById<Service>,
    /// Its port.
    pub port: ServicePort,
    /// The workload's port.
    pub target: Port,
    /// The DestinationRule's policy for the whole host.
    pub policy: Option<ById<TrafficPolicy>>,
}

/// Everything a workload's inbound listeners and clusters depend on. Equal for all replicas of a
/// Deployment, except where listeners must bind the workload's own address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InboundKey {
    /// Sidecar, router, …
    pub kind: ProxyKind,
    /// Mesh configuration.
    pub mesh: ById<Mesh>,
    /// Its IP families.
    pub families: IpFamilies,
    /// How traffic gets to it.
    pub interception: Interception,
    /// What it serves, oldest service first.
    pub targets: Vec<InboundTarget>,
    /// The Sidecar whose `ingress` replaces the targets.
    pub sidecar: Option<ById<SidecarRule>>,
    /// mTLS modes and policies that deny.
    pub security: WorkloadSecurity,
    /// Its addresses; empty unless a Sidecar's ingress needs them.
    pub ips: Vec<IpAddr>,
    /// `IDLE_TIMEOUT`.
    pub idle_timeout: Option<Arc<str>>,
    /// HTTP/1.0 is accepted.
    pub http10: bool,
    /// Its ProxyConfig.
    pub settings: Arc<ProxySettings>,
    /// Where its certificate comes from.
    pub certificates: Certificates,
}

impl InboundKey {
    /// The inbound key of a proxy.
    #[must_use]
    pub fn of(snapshot: &Snapshot, proxy: &Proxy) -> Self {
        let labels = snapshot.labels_of(proxy);
        let root = &snapshot.mesh.root_namespace;
        let is_sidecar = proxy.kind() == ProxyKind::Sidecar;
        let sidecar = is_sidecar
            .then(|| {
                snapshot
                    .sidecars
                    .of_workload(&proxy.namespace, &labels, root)
            })
            .flatten()
            .filter(|rule| {
                !rule.spec.ingress.is_empty() || rule.spec.inbound_connection_pool.is_some()
            });
        let has_ingress = sidecar.is_some_and(|rule| !rule.spec.ingress.is_empty());
        let targets = if is_sidecar {
            snapshot.targets_of(proxy)
        } else {
            Vec::new()
        };
        Self {
            kind: proxy.kind(),
            mesh: ById::from(&snapshot.mesh),
            families: proxy.families(),
            interception: proxy.interception,
            targets: targets
                .into_iter()
                .map(|t| inbound_target(snapshot, proxy, t))
                .collect(),
            sidecar: sidecar.map(ById::from),
            security: snapshot
                .security
                .of_workload(root, &proxy.namespace, &labels),
            ips: if has_ingress {
                proxy.ips.to_vec()
            } else {
                Vec::new()
            },
            idle_timeout: proxy.idle_timeout.clone(),
            http10: proxy.http10,
            settings: proxy.settings(&snapshot.mesh.config),
            certificates: snapshot.certificates_of(proxy),
        }
    }
}

fn inbound_target(snapshot: &Snapshot, proxy: &Proxy, target: ServiceTarget) -> InboundTarget {
    let ServiceTarget {
        service,
        port,
        target,
    } = target;
    // Rules with a workload selector describe clients and do not apply inbound.
    let client = Client {
        namespace: &proxy.namespace,
        labels: &Labels::default(),
        root: &snapshot.mesh.root_namespace,
    };
    let rule = snapshot
        .policies
        .select(client, &service.key.host, &service.key.namespace);
    let policy = rule.and_then(|r| r.policy.as_ref()).map(ById::from);
    InboundTarget {
        service: ById(service),
        port,
        target,
        policy,
    }
}
