//! LDS: which listeners a proxy needs, and what each one is.
//!
//! Follows Istio's sidecars: one listener per port for HTTP, one per service address for TCP, and
//! two that captured connections arrive at. Outbound listeners bind nothing; the virtual outbound
//! listener hands connections over by their original destination. The surprise: with interception
//! `NONE` there are no virtual listeners, and only what a Sidecar declares is there, on real ports.

pub(crate) mod access_log;
mod bind;
pub(crate) mod chain;
pub(crate) mod destination;
mod egress;
mod gateway;
mod headless;
mod inbound;
mod inbound_match;
mod ingress;
mod inspectors;
mod merge;
mod outbound;
mod ports;
mod server_tls;
mod tcp;
pub(crate) mod tcp_proxy;
mod tls_chain;
mod virtual_outbound;

use crate::by_id::ById;
use crate::class::{ClassKey, InboundKey};
use crate::plan::{Built, Planned};
use crate::view::View;
use crate::wire;
use bind::{Bind, Capture};
use chain::Chain;
use meltemi_api::duration::Duration;
use meltemi_model::proxy::ProxySettings;
use meltemi_model::{Certificates, Mesh, Patch, Snapshot};
use meltemi_proto::envoy::config::core::v3::TrafficDirection;
use meltemi_proto::envoy::config::listener::v3 as envoy;
use meltemi_types::{IpFamilies, ProxyKind};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// What a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// Outbound: service ports.
    Service,
    /// Outbound: where captured connections arrive.
    VirtualOutbound,
    /// Inbound: where captured connections arrive.
    VirtualInbound,
    /// Inbound: a port that the Sidecar declares.
    Ingress,
    /// A port of a gateway.
    Gateway,
}

/// Whether the client's address is kept on the way (TPROXY).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// The proxy's address is seen.
    Own,
    /// The client's address is seen.
    Original,
}

/// What all listeners of a proxy share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Traits {
    /// Mesh configuration.
    pub(crate) mesh: ById<Mesh>,
    /// The proxy's IP families.
    pub(crate) families: IpFamilies,
    /// HTTP/1.0 is accepted.
    pub(crate) http10: bool,
    /// The proxy's ProxyConfig.
    pub(crate) settings: Arc<ProxySettings>,
    /// How long connections may be idle where nothing else is said; above zero.
    pub(crate) idle_timeout: Option<Duration>,
    /// Where the proxy's certificate comes from.
    pub(crate) certificates: Certificates,
}

impl Traits {
    /// Of a class of proxies.
    fn of_class(key: &ClassKey, mesh: &Arc<Mesh>) -> Self {
        Self {
            mesh: mesh.into(),
            families: key.families,
            http10: key.http10,
            settings: key.settings.clone(),
            idle_timeout: idle(key.idle_timeout.as_deref()),
            certificates: key.certificates,
        }
    }

    /// Of the proxies before a workload.
    fn of_workload(key: &InboundKey) -> Self {
        Self {
            mesh: key.mesh.clone(),
            families: key.families,
            http10: key.http10,
            settings: key.settings.clone(),
            idle_timeout: idle(key.idle_timeout.as_deref()),
            certificates: key.certificates,
        }
    }
}

/// `IDLE_TIMEOUT`; what is no duration above zero counts as unset.
fn idle(text: Option<&str>) -> Option<Duration> {
    let timeout: Duration = text?.parse().ok()?;
    (timeout > Duration::ZERO).then_some(timeout)
}

/// Everything that one listener depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListenerInput {
    pub(crate) name: Arc<str>,
    pub(crate) traits: Traits,
    pub(crate) role: Role,
    pub(crate) bind: Bind,
    pub(crate) source: Source,
    /// Checked before the default chain; no two collide.
    pub(crate) chains: Vec<Chain>,
    pub(crate) default: Option<Chain>,
    pub(crate) patches: Arc<[Patch]>,
}

impl ListenerInput {
    fn new(traits: &Traits, role: Role, bind: Bind) -> Self {
        let name = match role {
            Role::Service | Role::Ingress | Role::Gateway => bind.name(traits.families),
            Role::VirtualOutbound => crate::name::VIRTUAL_OUTBOUND.into(),
            Role::VirtualInbound => crate::name::VIRTUAL_INBOUND.into(),
        };
        Self {
            name,
            traits: traits.clone(),
            role,
            bind,
            source: Source::Own,
            chains: Vec::new(),
            default: None,
            patches: meltemi_model::patch::none(),
        }
    }
}

/// Lists the outbound listeners of a class: a sidecar's, or a gateway's.
#[must_use]
pub fn plan(view: &View<'_>) -> Planned<ListenerInput> {
    match view.key.kind {
        ProxyKind::Sidecar => outbound::plan(view),
        ProxyKind::Router => gateway::plan(view),
        ProxyKind::Waypoint | ProxyKind::Ztunnel => Planned::default(),
    }
}

/// Lists the listeners before the workload itself. Only sidecars have them.
#[must_use]
pub fn plan_inbound(key: &InboundKey) -> Planned<ListenerInput> {
    match key.kind {
        ProxyKind::Sidecar => inbound::plan(key),
        ProxyKind::Router | ProxyKind::Waypoint | ProxyKind::Ztunnel => Planned::default(),
    }
}

/// Addresses behind headless services with ports that are not HTTP: each has a listener.
#[must_use]
pub fn headless_addresses(snapshot: &Snapshot) -> BTreeSet<IpAddr> {
    headless::addresses(snapshot)
}

/// Makes one listener.
#[must_use]
pub fn build(input: &ListenerInput) -> Built<envoy::Listener> {
    let ListenerInput {
        name,
        traits,
        role,
        bind,
        source,
        chains,
        default,
        patches: _, // nothing fills the slot yet
    } = input;
    let direction = match role {
        Role::Service | Role::VirtualOutbound | Role::Gateway => TrafficDirection::Outbound,
        Role::VirtualInbound | Role::Ingress => TrafficDirection::Inbound,
    };
    let bound = bind.capture == Capture::Bound;
    let listener = envoy::Listener {
        name: name.to_string(),
        address: Some(bind.primary(traits.families)),
        additional_addresses: bind.additional(),
        filter_chains: chains.iter().map(|chain| chain.encode(input)).collect(),
        default_filter_chain: default.as_ref().map(|chain| chain.encode(input)),
        use_original_dst: (*role == Role::VirtualOutbound).then(|| wire::bool(true)),
        transparent: (*source == Source::Original).then(|| wire::bool(true)),
        listener_filters: inspectors::filters(input),
        listener_filters_timeout: match role {
            Role::VirtualOutbound | Role::Gateway => None,
            Role::Service | Role::VirtualInbound | Role::Ingress => {
                Some(inspectors::timeout(input))
            }
        },
        continue_on_listener_filters_timeout: !matches!(
            role,
            Role::VirtualOutbound | Role::Gateway
        ),
        traffic_direction: direction.into(),
        access_log: access_log::refused(&traits.mesh.config),
        bind_to_port: (!bound).then(|| wire::bool(false)),
        max_connections_to_accept_per_socket_event: bound.then(|| wire::u32(1)),
        ..envoy::Listener::default()
    };
    listener.into()
}
