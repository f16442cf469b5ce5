//! Requests to hosts that no virtual host knows: let out, sent to an egress proxy, or refused.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/sidecar/#OutboundTrafficPolicy>:
//! a Sidecar's policy replaces the mesh's.

use super::{Settings, timeout};
use crate::listener::destination::egress_proxy;
use crate::name;
use crate::view::View;
use meltemi_api::networking::sidecar::{OutboundTrafficPolicy, OutboundTrafficPolicyMode};
use meltemi_proto::envoy::config::route::v3 as envoy;
use meltemi_proto::envoy::config::route::v3::{
    route::Action, route_action::ClusterSpecifier, route_match::PathSpecifier,
};
use meltemi_types::{Code, Diagnostic, FieldPath, Origin};
use std::sync::Arc;

/// What happens to requests that no virtual host takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rest {
    /// There are none.
    Nothing,
    /// They go to this cluster.
    Allowed(Arc<str>),
    /// They are answered with 502.
    Blocked,
}

impl Rest {
    /// The policy in force for a class, and the Sidecar it came from.
    pub(super) fn of(view: &View<'_>, found: &mut Vec<Diagnostic>) -> (Self, Option<Origin>) {
        let sidecar = view.scope.sidecar.as_ref();
        let own = sidecar.and_then(|s| Some((s, s.spec.outbound_traffic_policy.as_ref()?)));
        let Some((sidecar, policy)) = own else {
            let mesh = &view.mesh().config;
            let cluster = mesh
                .outbound_traffic_policy
                .as_ref()
                .and_then(|policy| policy.egress_proxy.as_ref())
                .and_then(|proxy| egress_proxy(view, proxy));
            return (Self::by_mode(mesh.outbound_mode(), cluster), None);
        };
        let OutboundTrafficPolicy {
            mode: _,
            egress_proxy: proxy,
        } = policy;
        let cluster = proxy.as_ref().and_then(|proxy| {
            let cluster = egress_proxy(view, proxy);
            if cluster.is_none() {
                found.push(unusable(&sidecar.origin, &proxy.host));
            }
            cluster
        });
        (
            Self::by_mode(policy.mode(), cluster),
            Some(sidecar.origin.clone()),
        )
    }

    fn by_mode(mode: OutboundTrafficPolicyMode, cluster: Option<Arc<str>>) -> Self {
        match mode {
            OutboundTrafficPolicyMode::AllowAny => {
                Self::Allowed(cluster.unwrap_or_else(|| name::PASSTHROUGH.into()))
            }
            OutboundTrafficPolicyMode::RegistryOnly => Self::Blocked,
        }
    }
}

fn unusable(sidecar: &Origin, host: &str) -> Diagnostic {
    let path = FieldPath::spec()
        .field("outboundTrafficPolicy")
        .field("egressProxy");
    Diagnostic::warning(
        Code::UnknownHost,
        sidecar.at(path),
        format!("the egress proxy {host:?} is no host with a port"),
        "name the full host and the port of a service",
    )
}

/// The virtual host for everything else.
pub(super) fn virtual_host(rest: &Rest, settings: &Settings) -> Option<envoy::VirtualHost> {
    let (name, action) = match rest {
        Rest::Nothing => return None,
        Rest::Allowed(cluster) => {
            let mut action = envoy::RouteAction {
                cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_string())),
                ..envoy::RouteAction::default()
            };
            timeout::apply(&mut action, None);
            ("allow_any", Action::Route(action))
        }
        Rest::Blocked => {
            let refusal = envoy::DirectResponseAction {
                status: 502,
                ..envoy::DirectResponseAction::default()
            };
            ("block_all", Action::DirectResponse(refusal))
        }
    };
    let route = envoy::Route {
        name: name.into(),
        r#match: Some(envoy::RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix("/".into())),
            ..envoy::RouteMatch::default()
        }),
        action: Some(action),
        ..envoy::Route::default()
    };
    Some(envoy::VirtualHost {
        name: name.into(),
        domains: vec!["*".into()],
        routes: vec![route],
        include_request_attempt_count: settings.attempt_count,
        ..envoy::VirtualHost::default()
    })
}
