//! Words of the xDS protocol: type URLs, versions, nonces, and the node id Istio's proxies send.

use crate::text::{Invalid, name};
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

/// A full type URL, `type.googleapis.com/...`.
pub type TypeUrl = &'static str;

/// `Cluster` (CDS).
pub const CLUSTER: TypeUrl = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
/// `ClusterLoadAssignment` (EDS).
pub const ENDPOINT: TypeUrl = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
/// `Listener` (LDS).
pub const LISTENER: TypeUrl = "type.googleapis.com/envoy.config.listener.v3.Listener";
/// `RouteConfiguration` (RDS).
pub const ROUTE: TypeUrl = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
/// `Secret` (SDS).
pub const SECRET: TypeUrl = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
/// `ProxyConfig` (PCDS): whom an agent's workload believes.
pub const PROXY_CONFIG: TypeUrl = "type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig";
/// `NameTable` (NDS).
pub const NAME_TABLE: TypeUrl = "type.googleapis.com/istio.networking.nds.v1.NameTable";

name!(
    /// The version of one resource: a hash of its content.
    Version,
    "version",
    |_| None
);
name!(
    /// A nonce: names one response of one stream.
    Nonce,
    "nonce",
    |_| None
);

/// What kind of proxy asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProxyKind {
    /// Beside a workload.
    Sidecar,
    /// A gateway.
    Router,
    /// An ambient waypoint.
    Waypoint,
    /// The ambient node proxy.
    Ztunnel,
}

impl ProxyKind {
    /// Istio's spelling, first part of a node id.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sidecar => "sidecar",
            Self::Router => "router",
            Self::Waypoint => "waypoint",
            Self::Ztunnel => "ztunnel",
        }
    }
}

/// Istio's node id: `<kind>~<ip>~<pod>.<namespace>~<dns domain>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// What kind of proxy it is.
    pub kind: ProxyKind,
    /// The primary address; `None` when the part is empty (metadata then names addresses).
    pub ip: Option<IpAddr>,
    /// `<pod>.<namespace>`.
    pub id: Arc<str>,
    /// `<namespace>.svc.<cluster domain>`.
    pub domain: Arc<str>,
}

impl NodeId {
    /// The pod's name and namespace, split at the last dot.
    #[must_use]
    pub fn pod(&self) -> (&str, &str) {
        self.id.rsplit_once('.').unwrap_or((&self.id, ""))
    }
}

impl FromStr for NodeId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = |why| Invalid::new("node id", text, why);
        let [kind, ip, id, domain] = text.split('~').collect::<Vec<_>>()[..] else {
            return Err(wrong("use TYPE~IP~POD.NAMESPACE~DOMAIN"));
        };
        let kind = match kind {
            "sidecar" => ProxyKind::Sidecar,
            "router" => ProxyKind::Router,
            "waypoint" => ProxyKind::Waypoint,
            "ztunnel" => ProxyKind::Ztunnel,
            _ => {
                return Err(wrong(
                    "the type is one of sidecar, router, waypoint, ztunnel",
                ));
            }
        };
        let ip = match ip {
            "" => None,
            _ => Some(
                ip.parse()
                    .map_err(|_| wrong("the second part is no IP address"))?,
            ),
        };
        Ok(Self {
            kind,
            ip,
            id: id.into(),
            domain: domain.into(),
        })
    }
}

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}~", self.kind.name())?;
        if let Some(ip) = self.ip {
            write!(f, "{ip}")?;
        }
        write!(f, "~{}~{}", self.id, self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_have_four_parts() {
        let id: NodeId = "sidecar~10.0.0.1~web-0.shop~shop.svc.cluster.local"
            .parse()
            .unwrap();
        assert_eq!(id.pod(), ("web-0", "shop"));
        assert_eq!(
            id.to_string(),
            "sidecar~10.0.0.1~web-0.shop~shop.svc.cluster.local"
        );
        for bad in [
            "sidecar~10.0.0.1~x",
            "car~1.1.1.1~a.b~c",
            "sidecar~1.1.1~a.b~c",
            "a~b~c~d~e",
        ] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
    }
}
