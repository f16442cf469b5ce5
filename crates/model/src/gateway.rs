//! Gateways: what the proxies at the edge of the mesh listen on, whoever declared it.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/gateway/>; Kubernetes
//! Ingresses are lowered into the same rules. The surprise: a Gateway selects proxies of every
//! namespace, unless gateways are scoped to their own.

use crate::Snapshot;
use crate::order::Age;
use crate::proxy::Proxy;
use crate::target::ServiceTarget;
use meltemi_api::networking::server_tls::{ServerTlsMode, ServerTlsSettings};
use meltemi_types::{
    HostPattern, Labels, Namespace, ObjectName, ObjectRef, Origin, Port, Protocol, Selector,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The label of Services whose ports are not looked up: gateways bind the port as written.
const NO_PORT_TRANSLATION: &str = "experimental.istio.io/disable-gateway-port-translation";

/// Which proxies a gateway is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// Those with these labels; every router when there are none.
    Labels(Selector),
    /// Those that stand behind one of these services of the gateway's namespace.
    Services(BTreeSet<HostPattern>),
}

/// Whose route tables a host of a server takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Every namespace's.
    Everybody,
    /// Those of this namespace.
    Namespace(Namespace),
    /// Nobody's.
    Nobody,
}

/// A host of a server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerHost {
    /// Whose route tables may serve it.
    pub reach: Reach,
    /// The host.
    pub host: HostPattern,
}

impl ServerHost {
    /// Reads `HOST` or `NAMESPACE/HOST`; `.` is the gateway's own namespace.
    #[must_use]
    pub fn read(text: &str, own: &Namespace) -> Option<Self> {
        let (reach, host) = match text.split_once('/') {
            None | Some(("*", _)) => (Reach::Everybody, text.rsplit('/').next()?),
            Some((".", host)) => (Reach::Namespace(own.clone()), host),
            Some(("~", host)) => (Reach::Nobody, host),
            Some((namespace, host)) => (Reach::Namespace(namespace.parse().ok()?), host),
        };
        let host = host.to_ascii_lowercase().parse().ok()?;
        Some(Self { reach, host })
    }

    /// True when route tables of `namespace` may serve it.
    #[must_use]
    pub fn takes(&self, namespace: &Namespace) -> bool {
        match &self.reach {
            Reach::Everybody => true,
            Reach::Namespace(name) => name == namespace,
            Reach::Nobody => false,
        }
    }
}

/// A port and the hosts on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GatewayServer {
    /// The field it was written in.
    pub origin: Origin,
    /// The port clients call; where the proxy listens may differ.
    pub port: Port,
    /// The port's name.
    pub port_name: Arc<str>,
    /// What is spoken.
    pub protocol: Protocol,
    /// The address to bind; `None` is every address of the proxy.
    pub bind: Option<Arc<str>>,
    /// The hosts, in order.
    pub hosts: Vec<ServerHost>,
    /// TLS termination, or the redirect to it.
    pub tls: Option<Arc<ServerTlsSettings>>,
}

impl GatewayServer {
    /// True when connections are told apart by server name.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some() && !self.protocol.is_http()
    }

    /// How TLS is handled; `None` where there is none.
    #[must_use]
    pub fn mode(&self) -> Option<ServerTlsMode> {
        let tls = self.tls.as_ref().filter(|_| self.is_tls())?;
        Some(tls.mode.unwrap_or_default())
    }

    /// True when requests are read, in clear or after TLS ended.
    #[must_use]
    pub fn is_http(&self) -> bool {
        let passes = matches!(
            self.mode(),
            Some(ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough)
        );
        self.protocol.is_http() || (self.protocol == Protocol::Https && self.is_tls() && !passes)
    }

    /// True when plaintext requests are answered with a redirect to HTTPS.
    #[must_use]
    pub fn redirects(&self) -> bool {
        self.tls.as_ref().and_then(|tls| tls.https_redirect) == Some(true)
    }

    /// The hosts without namespaces, each once.
    #[must_use]
    pub fn names(&self) -> Vec<HostPattern> {
        let mut names: Vec<HostPattern> = Vec::new();
        for host in &self.hosts {
            if !names.contains(&host.host) {
                names.push(host.host.clone());
            }
        }
        names
    }
}

/// A gateway.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GatewayRule {
    /// The object.
    pub origin: Origin,
    /// For "the oldest wins".
    pub age: Age,
    /// The namespace by which route tables name it.
    pub namespace: Namespace,
    /// The name by which route tables name it.
    pub name: ObjectName,
    /// Which proxies.
    pub choice: Choice,
    /// What they listen on, in order.
    pub servers: Vec<GatewayServer>,
}

/// All gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayIndex {
    /// Oldest first.
    pub rules: Vec<Arc<GatewayRule>>,
    /// True when gateways select proxies of their own namespace only.
    pub scoped: bool,
}

impl GatewayIndex {
    /// The gateway of this object.
    #[must_use]
    pub fn by_ref(&self, object: &ObjectRef) -> Option<&Arc<GatewayRule>> {
        self.rules
            .iter()
            .find(|rule| *rule.origin.object == *object)
    }
}

/// Where a gateway's ports are bound at one workload, by the port that clients call.
pub type PortMap = BTreeMap<Port, BTreeSet<Port>>;

/// A gateway that is for a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chosen {
    /// The object.
    pub object: Arc<ObjectRef>,
    /// Where its ports are bound.
    pub ports: PortMap,
    /// True when a port that no service has is bound as it stands.
    pub open: bool,
}

impl Chosen {
    /// Where `port` is bound; nowhere, when the gateway names services and none has it.
    #[must_use]
    pub fn targets(&self, port: Port) -> BTreeSet<Port> {
        match self.ports.get(&port) {
            Some(targets) => targets.clone(),
            None if self.open => BTreeSet::from([port]),
            None => BTreeSet::new(),
        }
    }
}

impl Snapshot {
    /// The gateways that are for a router with these labels, oldest first.
    #[must_use]
    pub fn gateways_of(&self, proxy: &Proxy, labels: &Labels) -> Vec<Chosen> {
        if self.gateways.rules.is_empty() {
            return Vec::new();
        }
        let targets = self.targets_of(proxy);
        let open = first_targets(&targets);
        let here =
            |rule: &&Arc<GatewayRule>| !self.gateways.scoped || rule.namespace == proxy.namespace;
        let rules = self.gateways.rules.iter().filter(here);
        rules
            .filter_map(|rule| {
                let (ports, is_open) = match &rule.choice {
                    Choice::Labels(selector) => {
                        let chosen = selector.is_empty() || selector.matches(labels);
                        (chosen.then(|| open.clone())?, true)
                    }
                    Choice::Services(hosts) => {
                        (named_targets(&targets, hosts, &rule.namespace)?, false)
                    }
                };
                Some(Chosen {
                    object: rule.origin.object.clone(),
                    ports,
                    open: is_open,
                })
            })
            .collect()
    }
}

/// Each port of the services before a proxy, at the oldest service's target.
fn first_targets(targets: &[ServiceTarget]) -> PortMap {
    let mut ports = PortMap::new();
    for target in targets {
        if target.service.labels.value(NO_PORT_TRANSLATION).is_none() {
            ports
                .entry(target.port.number)
                .or_insert_with(|| BTreeSet::from([target.target]));
        }
    }
    ports
}

/// Each port of the named services, at all of its targets; `None` when the proxy is behind none.
fn named_targets(
    targets: &[ServiceTarget],
    hosts: &BTreeSet<HostPattern>,
    namespace: &Namespace,
) -> Option<PortMap> {
    let named = |t: &&ServiceTarget| {
        let key = &t.service.key;
        key.namespace == *namespace && hosts.contains(&key.host)
    };
    let mut ports = PortMap::new();
    for target in targets.iter().filter(named) {
        let all = ports.entry(target.port.number).or_default();
        all.insert(target.target);
    }
    (!ports.is_empty()).then_some(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_say_whose_routes_they_take() {
        let own: Namespace = "shop".parse().unwrap();
        let other: Namespace = "bank".parse().unwrap();
        let read = |text: &str| ServerHost::read(text, &own).unwrap();
        for text in ["a.com", "*/a.com"] {
            assert!(read(text).takes(&own) && read(text).takes(&other), "{text}");
        }
        assert!(read("./a.com").takes(&own) && !read("./a.com").takes(&other));
        assert!(read("bank/*").takes(&other) && !read("bank/*").takes(&own));
        assert!(!read("~/a.com").takes(&own));
        assert_eq!(read("bank/*.A.com").host.as_str(), "*.a.com");
        assert_eq!(ServerHost::read("a/b/c", &own), None);
    }

    #[test]
    fn ports_without_a_service_are_bound_as_they_stand_unless_services_are_named() {
        let port = |n| Port::new(n).unwrap();
        let ports = PortMap::from([(port(80), BTreeSet::from([port(8080)]))]);
        let mut chosen = Chosen {
            object: Arc::new(ObjectRef {
                cluster: meltemi_types::ClusterId::default(),
                kind: "Gateway".into(),
                namespace: None,
                name: "gw".parse().unwrap(),
            }),
            ports,
            open: true,
        };
        assert_eq!(chosen.targets(port(80)), BTreeSet::from([port(8080)]));
        assert_eq!(chosen.targets(port(81)), BTreeSet::from([port(81)]));
        chosen.open = false;
        assert_eq!(chosen.targets(port(81)), BTreeSet::new());
    }
}
