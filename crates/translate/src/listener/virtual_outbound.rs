//! The listener that captured outbound connections arrive at, and what becomes of connections to
//! destinations that nobody declared.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/sidecar/#OutboundTrafficPolicy>.

use super::bind::{Bind, Capture};
use super::chain::{Chain, Handler, Match};
use super::tcp_proxy::TcpSpec;
use super::{ListenerInput, Role, Source, Traits, destination};
use crate::name;
use crate::view::View;
use meltemi_api::networking::sidecar::{OutboundTrafficPolicy, OutboundTrafficPolicyMode};
use meltemi_model::Interception;
use meltemi_types::Port;

/// The listener.
pub(super) fn listener(view: &View<'_>, traits: &Traits, port: Port) -> ListenerInput {
    let bind = Bind::any(view.key.families, port, Capture::Bound);
    let mut input = ListenerInput::new(traits, Role::VirtualOutbound, bind);
    if view.key.interception == Interception::Tproxy {
        input.source = Source::Original;
    }
    let loops = Match {
        port: Some(port),
        ..Match::default()
    };
    let black_hole = Handler::Tcp(TcpSpec::to(name::BLACK_HOLE));
    input.chains = vec![
        Chain::new(loops, black_hole).named("virtualOutbound-blackhole"),
        Chain::new(Match::default(), Handler::Tcp(unknown(view)))
            .named("virtualOutbound-catchall-tcp"),
    ];
    input
}

/// Where connections go whose destination nobody declared.
pub(super) fn unknown(view: &View<'_>) -> TcpSpec {
    let sidecar = view.scope.sidecar.as_ref();
    let policy = sidecar.and_then(|s| s.spec.outbound_traffic_policy.as_ref());
    let policy = policy.or(view.mesh().config.outbound_traffic_policy.as_ref());
    let mode = policy.map_or(
        OutboundTrafficPolicyMode::AllowAny,
        OutboundTrafficPolicy::mode,
    );
    match mode {
        OutboundTrafficPolicyMode::RegistryOnly => TcpSpec::to(name::BLACK_HOLE),
        OutboundTrafficPolicyMode::AllowAny => {
            let proxy = policy.and_then(|p| p.egress_proxy.as_ref());
            let cluster = proxy.and_then(|p| destination::egress_proxy(view, p));
            TcpSpec::to(cluster.unwrap_or_else(|| name::PASSTHROUGH.into()))
        }
    }
}
