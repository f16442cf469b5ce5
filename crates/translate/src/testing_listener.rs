//! Small meshes for the tests of listeners.

use crate::class::{ClassKey, Deciding, InboundKey};
use crate::http::{HttpSpec, Routes};
use crate::listener::chain::Handler;
use crate::listener::{self, ListenerInput};
use crate::plan::Planned;
use crate::view::View;
use meltemi_api::mesh_config::MeshConfig;
use meltemi_api::networking::sidecar::Sidecar;
use meltemi_model::endpoint::EndpointWorkload;
use meltemi_model::proxy::NodeFacts;
use meltemi_model::*;
use meltemi_proto::any::unpack;
use meltemi_proto::envoy::config::listener::v3 as envoy;
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use meltemi_proto::envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;
use meltemi_types::{
    ClusterId, Diagnostic, Labels, Locality, ObjectRef, Origin, Port, Protocol, Selector,
};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) const NODE: &str = "sidecar~10.1.0.1~web-0.shop~shop.svc.cluster.local";

pub(crate) fn port(number: u32) -> Port {
    Port::new(number).unwrap()
}

pub(crate) fn origin(kind: &str, name: &str) -> Origin {
    let object = ObjectRef {
        cluster: ClusterId::default(),
        kind: kind.into(),
        namespace: Some("shop".parse().unwrap()),
        name: name.parse().unwrap(),
    };
    Origin::object(Arc::new(object), None)
}

pub(crate) fn age(created: i64, name: &str) -> Age {
    Age {
        created: Some(created),
        name: name.parse().unwrap(),
        namespace: Some("shop".parse().unwrap()),
    }
}

/// `name:number:protocol` for each port.
pub(crate) fn ports(all: &[(u32, Protocol)]) -> Arc<[ServicePort]> {
    let one = |(number, protocol): &(u32, Protocol)| ServicePort {
        number: port(*number),
        name: format!("p{number}").parse().unwrap(),
        protocol: *protocol,
        target: TargetPort::Number(port(number + 8000)),
    };
    all.iter().map(one).collect()
}

/// A service `name.shop.svc.cluster.local`; an empty address is none.
pub(crate) fn service(name: &str, address: &str, all: &[(u32, Protocol)]) -> Service {
    let addresses: Vec<IpAddr> = address
        .split(',')
        .filter(|a| !a.is_empty())
        .map(|a| a.parse().unwrap())
        .collect();
    let headless = addresses.is_empty();
    Service {
        key: ServiceKey {
            host: format!("{name}.shop.svc.cluster.local").parse().unwrap(),
            namespace: "shop".parse().unwrap(),
        },
        name: name.into(),
        origin: origin("Service", name),
        age: age(1, name),
        addresses: BTreeMap::from([(ClusterId::default(), addresses.into())]),
        cidrs: Arc::from([]),
        allocated: Arc::from([]),
        subject_alt_names: Default::default(),
        ports: ports(all),
        resolution: match headless {
            true => Resolution::Passthrough,
            false => Resolution::Endpoints,
        },
        external: false,
        kubernetes: true,
        export_to: ExportTo::Public,
        selector: Some(Selector::new([("app", name)].into_iter().collect())),
        labels: Labels::default(),
        accounts: Default::default(),
        node_local: false,
        publish_not_ready: false,
        traffic_distribution: None,
    }
}

pub(crate) fn endpoint(ip: &str, number: u32) -> Endpoint {
    Endpoint {
        address: EndpointAddress::Ip(ip.parse().unwrap()),
        port: Some(port(number)),
        health: Health::Healthy,
        weight: 1,
        locality: Locality::default(),
        network: None,
        cluster: ClusterId::default(),
        tls: TlsMode::Disabled,
        tunnel: Tunnel::None,
        workload: Arc::new(EndpointWorkload::default()),
    }
}

/// A mesh to be filled in.
#[derive(Default)]
pub(crate) struct Fixture {
    pub(crate) services: Vec<Service>,
    pub(crate) endpoints: Vec<(&'static str, u32, Vec<Endpoint>)>,
    pub(crate) routes: Vec<RouteTable>,
    pub(crate) rules: Vec<TrafficRule>,
    pub(crate) sidecar: Option<Sidecar>,
    pub(crate) security: SecurityIndex,
    pub(crate) mesh: Option<MeshConfig>,
    pub(crate) metadata: Vec<(&'static str, Value)>,
    pub(crate) node: Option<&'static str>,
}

/// What was planned, built.
pub(crate) struct Listeners {
    pub(crate) all: BTreeMap<String, envoy::Listener>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Fixture {
    pub(crate) fn of(services: Vec<Service>) -> Self {
        Self {
            services,
            ..Self::default()
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let services = self.services.iter();
        let services = services.map(|s| (s.key.clone(), Arc::new(s.clone())));
        let mut endpoints: BTreeMap<ServiceKey, ServiceEndpoints> = BTreeMap::new();
        for (name, number, list) in &self.endpoints {
            let service = self.services.iter().find(|s| &*s.name == *name).unwrap();
            let slot = endpoints.entry(service.key.clone()).or_default();
            let name = format!("p{number}").parse().unwrap();
            slot.ports.insert(name, list.clone().into());
        }
        let endpoints = endpoints.into_iter().map(|(k, v)| (k, Arc::new(v)));
        let sidecar = self.sidecar.as_ref().map(|spec| {
            Arc::new(SidecarRule {
                origin: origin("Sidecar", "sidecar"),
                age: age(1, "sidecar"),
                namespace: "shop".parse().unwrap(),
                selector: None,
                spec: Arc::new(spec.clone()),
            })
        });
        let mesh = self.mesh.clone().unwrap_or_else(MeshConfig::defaults);
        Snapshot {
            mesh: Arc::new(Mesh::new(mesh, "cluster.local")),
            services: Arc::new(ServiceIndex::new(services.collect())),
            endpoints: Arc::new(EndpointIndex::new(endpoints.collect())),
            routes: Arc::new(RouteIndex::new(
                self.routes.iter().cloned().map(Arc::new).collect(),
            )),
            policies: Arc::new(PolicyIndex::new(
                self.rules.iter().cloned().map(Arc::new).collect(),
            )),
            sidecars: Arc::new(SidecarIndex {
                rules: sidecar.into_iter().collect(),
            }),
            security: Arc::new(self.security.clone()),
            ..Snapshot::default()
        }
    }

    pub(crate) fn proxy(&self) -> Proxy {
        let mut metadata = Map::new();
        metadata.insert("LABELS".into(), json!({"app": "web"}));
        metadata.extend(self.metadata.iter().map(|(k, v)| ((*k).into(), v.clone())));
        let facts = NodeFacts {
            id: self.node.unwrap_or(NODE).into(),
            metadata,
            ..NodeFacts::default()
        };
        Proxy::understand(&facts).unwrap()
    }

    pub(crate) fn plan_outbound(&self, proxy: &Proxy) -> Planned<ListenerInput> {
        let snapshot = self.snapshot();
        let key = ClassKey::of(&snapshot, &Deciding::of(&snapshot), proxy);
        let sidecar = snapshot.sidecars.by_ref(key.sidecar.as_deref());
        let scope = snapshot.scope(&key.namespace, sidecar);
        let view = View::new(&snapshot, &key, &scope);
        let planned = listener::plan(&view);
        assert_routes(&planned, &crate::route::plan(&view));
        planned
    }

    pub(crate) fn outbound(&self) -> Listeners {
        built(self.plan_outbound(&self.proxy()))
    }

    pub(crate) fn inbound(&self) -> Listeners {
        let key = InboundKey::of(&self.snapshot(), &self.proxy());
        built(listener::plan_inbound(&key))
    }
}

/// Envoy waits for ever for a route configuration that nobody makes.
fn assert_routes(listeners: &Planned<ListenerInput>, routes: &Planned<crate::route::RouteInput>) {
    let made: Vec<&str> = routes.items.iter().map(|i| &*i.name).collect();
    for item in &listeners.items {
        let chains = item.input.chains.iter().chain(&item.input.default);
        for chain in chains {
            if let Handler::Http(HttpSpec {
                routes: Routes::Rds(name),
                ..
            }) = &chain.handler
            {
                assert!(made.contains(&&**name), "{name} among {made:?}");
            }
        }
    }
}

fn built(planned: Planned<ListenerInput>) -> Listeners {
    let mut all = BTreeMap::new();
    for item in &planned.items {
        let listener = listener::build(&item.input).message;
        assert_eq!(listener.name, *item.name);
        assert!(all.insert(listener.name.clone(), listener).is_none());
    }
    Listeners {
        all,
        diagnostics: planned.diagnostics,
    }
}

impl Listeners {
    pub(crate) fn names(&self) -> Vec<&str> {
        self.all.keys().map(String::as_str).collect()
    }

    pub(crate) fn get(&self, name: &str) -> &envoy::Listener {
        let names = self.names();
        self.all
            .get(name)
            .unwrap_or_else(|| panic!("{name} among {names:?}"))
    }

    /// Every chain of a listener in one line: what it takes, and where that goes; the default
    /// chain last.
    pub(crate) fn chains(&self, name: &str) -> Vec<String> {
        let listener = self.get(name);
        let mut lines: Vec<String> = listener.filter_chains.iter().map(chain).collect();
        let default = listener.default_filter_chain.iter();
        lines.extend(default.map(|c| format!("default {}", chain(c))));
        lines
    }
}

/// `port=.. to=.. sni=.. transport alpn -> http ROUTES` or `-> CLUSTER`.
fn chain(chain: &envoy::FilterChain) -> String {
    let mut words = Vec::new();
    if let Some(m) = &chain.filter_chain_match {
        words.extend(m.destination_port.map(|p| format!("port={}", p.value)));
        let ranges = m.prefix_ranges.iter();
        words.extend(ranges.map(|r| {
            let length = r.prefix_len.map_or(0, |l| l.value);
            format!("to={}/{length}", r.address_prefix)
        }));
        words.extend(m.server_names.iter().map(|n| format!("sni={n}")));
        words.push(m.transport_protocol.clone());
        words.push(m.application_protocols.join(","));
    }
    words.retain(|w| !w.is_empty());
    words.push("->".into());
    words.extend(chain.filters.iter().map(filter));
    words.join(" ")
}

fn filter(filter: &envoy::Filter) -> String {
    use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
    use meltemi_proto::envoy::extensions::filters::network::tcp_proxy::v3::tcp_proxy::ClusterSpecifier;
    let Some(envoy::filter::ConfigType::TypedConfig(any)) = &filter.config_type else {
        panic!("typed")
    };
    if let Ok(manager) = unpack::<HttpConnectionManager>(any) {
        let denied = manager.http_filters.iter().any(|f| f.name.contains("rbac"));
        let routes = match manager.route_specifier.unwrap() {
            RouteSpecifier::Rds(rds) => rds.route_config_name,
            RouteSpecifier::RouteConfig(config) => config.name,
            RouteSpecifier::ScopedRoutes(_) => panic!("not used"),
        };
        return format!("{}http {routes}", if denied { "denied " } else { "" });
    }
    if let Ok(proxy) = unpack::<TcpProxy>(any) {
        return match proxy.cluster_specifier.unwrap() {
            ClusterSpecifier::Cluster(name) => name,
            ClusterSpecifier::WeightedClusters(all) => {
                let all = all.clusters.iter();
                let all: Vec<String> = all.map(|c| format!("{}%{}", c.name, c.weight)).collect();
                all.join("+")
            }
        };
    }
    filter.name.clone()
}

pub(crate) fn tcp_proxy(listener: &envoy::Listener) -> TcpProxy {
    let chains = listener.filter_chains.iter();
    let mut filters = chains
        .chain(&listener.default_filter_chain)
        .flat_map(|c| &c.filters);
    let found = filters.find_map(|f| match &f.config_type {
        Some(envoy::filter::ConfigType::TypedConfig(any)) => unpack::<TcpProxy>(any).ok(),
        Some(envoy::filter::ConfigType::ConfigDiscovery(_)) | None => None,
    });
    found.unwrap()
}
