//! A proxy, as it describes itself on its first request: Istio's node id and metadata.
//!
//! Quirks of the metadata: booleans are often strings, lists are joined by commas, and
//! `POD_PORTS` is a JSON document inside a string.

use crate::security::Certificates;
use meltemi_api::mesh_config::{MeshConfig, ProxyConfig, ProxyHeaders, Topology};
use meltemi_types::{
    ClusterId, IpFamilies, Labels, Locality, Namespace, NetworkId, NodeId, Port, PortName,
    ProxyKind,
};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// How traffic gets to the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interception {
    /// iptables REDIRECT; the original destination is known.
    #[default]
    Redirect,
    /// iptables TPROXY; the original source is kept too.
    Tproxy,
    /// None: listeners bind real ports, and only what a Sidecar declares exists.
    None,
}

/// Whether the node agent answers DNS questions of the workload itself (`DNS_CAPTURE`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DnsCapture {
    /// No: names resolve to what DNS says.
    #[default]
    Off,
    /// Yes: names of the mesh resolve to the mesh's addresses, allocated ones too.
    On,
}

/// What the proxy's binary can do beyond core Envoy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capabilities {
    /// Istio's own filters (`istio.stats`, `istio.alpn`, …) are compiled in.
    pub istio_filters: bool,
}

/// What a ProxyConfig says of listeners and routes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProxySettings {
    /// Headers that the proxy adds.
    pub headers: Option<ProxyHeaders>,
    /// What stands in front of it, when it is a gateway.
    pub topology: Option<Topology>,
}

impl ProxySettings {
    /// Those of proxies that say nothing themselves.
    #[must_use]
    pub fn of_mesh(mesh: &MeshConfig) -> Self {
        mesh.default_config
            .clone()
            .map(Self::of)
            .unwrap_or_default()
    }

    /// Whether HTTP/1.1 headers keep the case that they came with.
    #[must_use]
    pub fn keeps_case(&self) -> bool {
        let headers = self.headers.as_ref();
        headers.and_then(|h| h.preserve_http1_header_case) == Some(true)
    }

    fn of(config: ProxyConfig) -> Self {
        Self {
            headers: config.proxy_headers,
            topology: config.gateway_topology,
        }
    }

    /// Of the metadata `PROXY_CONFIG`, which agents fill in whole. One that cannot be read counts
    /// as none: an agent refuses to start with it, so it is of somebody else's.
    fn of_node(metadata: &Map<String, Value>) -> Option<Self> {
        let config = metadata.get("PROXY_CONFIG")?;
        serde_json::from_value(config.clone()).ok().map(Self::of)
    }
}

/// What a proxy says of itself, before it is understood.
#[derive(Clone, Debug, Default)]
pub struct NodeFacts {
    /// `core.v3.Node.id`.
    pub id: String,
    /// `core.v3.Node.metadata`.
    pub metadata: Map<String, Value>,
    /// `core.v3.Node.locality`.
    pub locality: Locality,
    /// Names of the extensions that Envoy reports.
    pub extensions: Vec<String>,
}

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// The parsed node id.
    pub node: NodeId,
    /// Its config namespace.
    pub namespace: Namespace,
    /// All its addresses, the primary one first.
    pub ips: Arc<[IpAddr]>,
    /// Its labels, as it says; the registry's pod labels take precedence.
    pub labels: Labels,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its network.
    pub network: Option<NetworkId>,
    /// Where it runs.
    pub locality: Locality,
    /// How traffic gets to it.
    pub interception: Interception,
    /// The service account it claims.
    pub account: Option<Arc<str>>,
    /// The node it runs on.
    pub node_name: Option<Arc<str>>,
    /// Container ports by name, for pods the registry has not seen yet.
    pub pod_ports: BTreeMap<PortName, Port>,
    /// Where it wants an HTTP proxy listener, if at all (`HTTP_PROXY_PORT`).
    pub http_proxy_port: Option<Port>,
    /// `IDLE_TIMEOUT`, a Go duration.
    pub idle_timeout: Option<Arc<str>>,
    /// HTTP/1.0 is accepted (`HTTP10`).
    pub http10: bool,
    /// Its own ProxyConfig (`PROXY_CONFIG`), which replaces the mesh's.
    pub settings: Option<Arc<ProxySettings>>,
    /// Where its certificate comes from (`MELTEMI_CERTIFICATES`); `None` when it does not say, and
    /// its labels decide.
    pub certificates: Option<Certificates>,
    /// Ports below 1024 cannot be bound (`UNPRIVILEGED_POD`).
    pub unprivileged: bool,
    /// Whether the agent beside it answers DNS questions.
    pub dns: DnsCapture,
    /// What its binary can do.
    pub capabilities: Capabilities,
}

/// Why a node is refused.
pub type Refused = meltemi_types::Invalid;

impl Proxy {
    /// Understands a node. Refused: a node id without four parts, an invalid or missing address,
    /// and a namespace that is none.
    ///
    /// # Errors
    /// With the part that is wrong and the form it should have.
    pub fn understand(facts: &NodeFacts) -> Result<Self, Refused> {
        let node: NodeId = facts.id.parse()?;
        let text = |key: &str| {
            facts
                .metadata
                .get(key)
                .and_then(Value::as_str)
                .filter(|t| !t.is_empty())
        };
        let ips = addresses(&node, text("INSTANCE_IPS"))?;
        let namespace = match text("NAMESPACE") {
            Some(namespace) => namespace.parse()?,
            None => node.domain.split('.').next().unwrap_or_default().parse()?,
        };
        Ok(Self {
            namespace,
            ips: ips.into(),
            labels: labels(&facts.metadata),
            cluster: text("CLUSTER_ID")
                .and_then(|c| c.parse().ok())
                .unwrap_or_default(),
            network: text("NETWORK").and_then(|n| n.parse().ok()),
            locality: facts.locality.clone(),
            interception: match text("INTERCEPTION_MODE") {
                Some("TPROXY") => Interception::Tproxy,
                Some("NONE") => Interception::None,
                _ => Interception::Redirect,
            },
            account: text("SERVICE_ACCOUNT").map(Into::into),
            node_name: text("NODE_NAME").map(Into::into),
            pod_ports: text("POD_PORTS").map(pod_ports).unwrap_or_default(),
            http_proxy_port: text("HTTP_PROXY_PORT").and_then(|p| p.parse().ok()),
            idle_timeout: text("IDLE_TIMEOUT").map(Into::into),
            http10: matches!(text("HTTP10"), Some("1" | "true")),
            settings: ProxySettings::of_node(&facts.metadata).map(Arc::new),
            certificates: match text("MELTEMI_CERTIFICATES") {
                Some("NONE") => Some(Certificates::None),
                Some("BOOTSTRAP") => Some(Certificates::Bootstrap),
                Some("SDS") => Some(Certificates::Sds),
                _ => None,
            },
            unprivileged: matches!(text("UNPRIVILEGED_POD"), Some("true")),
            dns: dns(&facts.metadata),
            capabilities: Capabilities {
                istio_filters: facts.extensions.iter().any(|e| e == "istio.stats"),
            },
            node,
        })
    }

    /// Sidecar, router, …
    #[must_use]
    pub fn kind(&self) -> ProxyKind {
        self.node.kind
    }

    /// Its own settings, or those of the mesh.
    #[must_use]
    pub fn settings(&self, mesh: &MeshConfig) -> Arc<ProxySettings> {
        let of_mesh = || Arc::new(ProxySettings::of_mesh(mesh));
        self.settings.clone().unwrap_or_else(of_mesh)
    }

    /// The IP families of its addresses.
    #[must_use]
    pub fn families(&self) -> IpFamilies {
        IpFamilies::of(&self.ips)
    }
}

fn addresses(node: &NodeId, instance_ips: Option<&str>) -> Result<Vec<IpAddr>, Refused> {
    let wrong = |text: &str, why| Refused::new("proxy address", text, why);
    match (instance_ips, node.ip) {
        (Some(list), _) => list
            .split(',')
            .map(|ip| {
                ip.trim()
                    .parse()
                    .map_err(|_| wrong(ip, "INSTANCE_IPS holds IP addresses"))
            })
            .collect(),
        (None, Some(ip)) => Ok(vec![ip]),
        (None, None) => Err(wrong(
            "",
            "the node id or INSTANCE_IPS must hold an IP address",
        )),
    }
}

/// The second key is of pods whose questions are not captured but sent to the agent.
fn dns(metadata: &Map<String, Value>) -> DnsCapture {
    let on = |v: &Value| {
        v.as_bool()
            .unwrap_or(matches!(v.as_str(), Some("1" | "true")))
    };
    let keys = ["DNS_CAPTURE", "ENABLE_DNS_SERVER"];
    match keys.iter().any(|key| metadata.get(*key).is_some_and(on)) {
        true => DnsCapture::On,
        false => DnsCapture::Off,
    }
}

fn labels(metadata: &Map<String, Value>) -> Labels {
    ["STATIC_LABELS", "LABELS"]
        .iter()
        .filter_map(|key| metadata.get(*key)?.as_object())
        .flatten()
        .filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
        .collect()
}

fn pod_ports(text: &str) -> BTreeMap<PortName, Port> {
    let ports: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    ports
        .iter()
        .filter_map(|port| {
            let number = u32::try_from(port.get("containerPort")?.as_u64()?).ok()?;
            Some((
                port.get("name")?.as_str()?.parse().ok()?,
                Port::new(number)?,
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn facts(id: &str, metadata: Value) -> NodeFacts {
        let Value::Object(metadata) = metadata else {
            panic!("an object")
        };
        NodeFacts {
            id: id.into(),
            metadata,
            ..NodeFacts::default()
        }
    }

    #[test]
    fn a_sidecar_is_understood() {
        let metadata = json!({
            "LABELS": {"app": "web"}, "INTERCEPTION_MODE": "NONE", "CLUSTER_ID": "c1",
            "POD_PORTS": "[{\"name\":\"http\",\"containerPort\":8080}]", "HTTP10": "1",
            "DNS_CAPTURE": "true",
        });
        let id = "sidecar~10.0.0.1~web-0.shop~shop.svc.cluster.local";
        let proxy = Proxy::understand(&facts(id, metadata)).unwrap();
        assert_eq!(proxy.namespace.as_str(), "shop");
        assert_eq!(proxy.labels.value("app"), Some("web"));
        assert_eq!(proxy.interception, Interception::None);
        assert_eq!(proxy.pod_ports.len(), 1);
        assert!(proxy.http10);
        assert_eq!(proxy.dns, DnsCapture::On);
    }

    #[test]
    fn its_own_proxy_config_replaces_that_of_the_mesh() {
        let mesh = json!({"defaultConfig": {"gatewayTopology": {"numTrustedProxies": 2}}});
        let mesh: MeshConfig = serde_json::from_value(mesh).unwrap();
        let settings = |metadata| {
            let id = "sidecar~10.0.0.1~web-0.shop~shop.svc.cluster.local";
            let proxy = Proxy::understand(&facts(id, metadata)).unwrap();
            proxy.settings(&mesh)
        };
        let trusted = |settings: &ProxySettings| settings.topology.as_ref()?.num_trusted_proxies;
        let own = json!({"proxyHeaders": {"requestId": {"disabled": true}}});
        let own = settings(json!({"PROXY_CONFIG": own}));
        assert!(own.headers.is_some() && trusted(&own).is_none(), "{own:?}");
        let whole = json!({"controlPlaneAuthPolicy": "MUTUAL_TLS", "statusPort": 15020,
            "drainDuration": "45s", "proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"},
            "tracing": {}, "statNameLength": 189, "proxyAdminPort": 15000,
            "proxyHeaders": {"forwardedClientCert": "APPEND_FORWARD"}});
        let whole = settings(json!({"PROXY_CONFIG": whole}));
        assert!(whole.headers.is_some(), "{whole:?}");
        for silent in [json!({}), json!({"PROXY_CONFIG": "no object"})] {
            assert_eq!(trusted(&settings(silent)), Some(2));
        }
    }

    #[test]
    fn instance_ips_decide_and_are_checked() {
        let id = "sidecar~~web-0.shop~shop.svc.cluster.local";
        assert!(Proxy::understand(&facts(id, json!({}))).is_err());
        assert!(Proxy::understand(&facts(id, json!({"INSTANCE_IPS": "10.0.0.1,x"}))).is_err());
        let proxy =
            Proxy::understand(&facts(id, json!({"INSTANCE_IPS": "10.0.0.1,fd00::1"}))).unwrap();
        assert_eq!(proxy.families(), IpFamilies::Dual);
    }
}
