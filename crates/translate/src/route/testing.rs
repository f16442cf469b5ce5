//! Hand-made snapshots, and the routes that a class of proxies gets from them.

use super::{build, plan};
use crate::class::{ClassKey, Deciding};
use crate::view::View;
use meltemi_api::networking::virtual_service as api;
use meltemi_model::policy::SubsetRule;
use meltemi_model::proxy::NodeFacts;
use meltemi_model::route::{
    Backend, HttpAction, HttpMatch, HttpRule, Mirror, RouteIndex, RouteTable,
};
use meltemi_model::{
    Age, Attachment, BackendTarget, ExportTo, Mesh, PolicyIndex, Proxy, Resolution, Service,
    ServiceIndex, ServiceKey, ServicePort, SidecarIndex, SidecarRule, Snapshot, TargetPort,
    TrafficRule,
};
use meltemi_proto::any;
use meltemi_proto::envoy::config::listener::v3::filter::ConfigType;
use meltemi_proto::envoy::config::route::v3 as envoy;
use meltemi_proto::envoy::config::route::v3::{route::Action, route_action::ClusterSpecifier};
use meltemi_proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::RouteSpecifier,
};
use meltemi_types::{
    ClusterId, Code, Diagnostic, FieldPath, HostPattern, Labels, Namespace, ObjectRef, Origin,
    Port, Protocol,
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A port by its number.
pub(super) fn port(number: u32) -> Port {
    Port::new(number).unwrap()
}

fn origin(kind: &str, namespace: &str, name: &str) -> Origin {
    let object = ObjectRef {
        cluster: ClusterId::default(),
        kind: kind.into(),
        namespace: Some(namespace.parse().unwrap()),
        name: name.parse().unwrap(),
    };
    Origin::object(Arc::new(object), None)
}

fn age(origin: &Origin, created: usize) -> Age {
    Age {
        created: i64::try_from(created).ok(),
        name: origin.object.name.clone(),
        namespace: origin.object.namespace.clone(),
    }
}

/// `name.namespace` in full; names with more dots stay as they are.
fn full(host: &str, namespace: &str) -> HostPattern {
    let full = match host.split('.').count() {
        1 => format!("{host}.{namespace}.svc.cluster.local"),
        _ => host.to_owned(),
    };
    full.parse().unwrap()
}

/// A mesh under construction. What is added later is younger.
#[derive(Default)]
pub(super) struct Fixture {
    services: Vec<Service>,
    tables: Vec<RouteTable>,
    rules: Vec<TrafficRule>,
    sidecars: Vec<SidecarRule>,
    mesh: Value,
}

impl Fixture {
    pub(super) fn new() -> Self {
        Self {
            mesh: json!({}),
            ..Self::default()
        }
    }

    /// Mesh configuration.
    pub(super) fn mesh(mut self, config: Value) -> Self {
        self.mesh = config;
        self
    }

    /// A Kubernetes service with an address: `ns/name` and its ports with their protocols.
    pub(super) fn service(self, name: &str, ports: &[(u32, &str)]) -> Self {
        let address = format!("10.0.0.{}", self.services.len() + 1);
        self.service_with(name, ports, |service| {
            let addresses = [address.parse().unwrap()].into();
            service.addresses = BTreeMap::from([(ClusterId::default(), addresses)]);
        })
    }

    /// A service without address, changed as wanted.
    pub(super) fn service_with(
        mut self,
        name: &str,
        ports: &[(u32, &str)],
        change: impl FnOnce(&mut Service),
    ) -> Self {
        let (namespace, name) = name.split_once('/').unwrap();
        let origin = origin("Service", namespace, name.trim_start_matches("*."));
        let ports = ports.iter().map(|(number, protocol)| ServicePort {
            number: port(*number),
            name: format!("{protocol}-{number}").parse().unwrap(),
            protocol: Protocol::by_name(protocol).unwrap_or(Protocol::Auto),
            target: TargetPort::Number(port(*number)),
        });
        let mut service = Service {
            key: ServiceKey {
                host: full(name, namespace),
                namespace: namespace.parse().unwrap(),
            },
            name: name.into(),
            age: age(&origin, self.services.len()),
            origin,
            addresses: BTreeMap::new(),
            cidrs: [].into(),
            allocated: [].into(),
            subject_alt_names: Default::default(),
            ports: ports.collect(),
            resolution: Resolution::Endpoints,
            external: false,
            kubernetes: !name.contains('.'),
            export_to: ExportTo::Public,
            selector: None,
            labels: Labels::default(),
            accounts: BTreeSet::new(),
            node_local: false,
            publish_not_ready: false,
            traffic_distribution: None,
        };
        change(&mut service);
        self.services.push(service);
        self
    }

    /// A VirtualService `ns/name`, lowered in the simplest way.
    pub(super) fn table(mut self, name: &str, spec: Value) -> Self {
        let (namespace, name) = name.split_once('/').unwrap();
        let spec: api::VirtualService = serde_json::from_value(spec).unwrap();
        let origin = origin("VirtualService", namespace, name);
        let own: Namespace = namespace.parse().unwrap();
        let rules = spec.http.iter().enumerate().map(|(i, http)| {
            let path = FieldPath::spec().field("http").index(i);
            lower(http, origin.at(path), namespace)
        });
        let export_to = spec.export_to.iter().map(String::as_str);
        self.tables.push(RouteTable {
            age: age(&origin, self.tables.len()),
            namespace: own.clone(),
            name: name.parse().unwrap(),
            hosts: spec.hosts.iter().map(|h| full(h, namespace)).collect(),
            attach: vec![Attachment::Mesh],
            export_to: ExportTo::read(export_to, &own, &ExportTo::Public),
            http: rules.collect(),
            tls: Vec::new(),
            tcp: Vec::new(),
            origin,
        });
        self
    }

    /// A DestinationRule for `ns/host`.
    pub(super) fn rule(mut self, host: &str, policy: Value, subsets: Value) -> Self {
        let (namespace, host) = host.split_once('/').unwrap();
        let origin = origin("DestinationRule", namespace, "rule");
        let subsets: Vec<meltemi_api::networking::destination_rule::Subset> =
            serde_json::from_value(subsets).unwrap();
        self.rules.push(TrafficRule {
            origins: vec![origin.clone()],
            namespace: namespace.parse().unwrap(),
            host: full(host, namespace),
            selector: None,
            export_to: ExportTo::Public,
            policy: serde_json::from_value(policy).unwrap(),
            subsets: subsets
                .into_iter()
                .map(|subset| SubsetRule {
                    origin: origin.clone(),
                    subset: Arc::new(subset),
                })
                .collect(),
        });
        self
    }

    /// A Sidecar for a whole namespace.
    pub(super) fn sidecar(mut self, namespace: &str, spec: Value) -> Self {
        let origin = origin("Sidecar", namespace, "default");
        self.sidecars.push(SidecarRule {
            age: age(&origin, 0),
            namespace: namespace.parse().unwrap(),
            selector: None,
            spec: Arc::new(serde_json::from_value(spec).unwrap()),
            origin,
        });
        self
    }

    /// The snapshot.
    pub(super) fn snapshot(self) -> Snapshot {
        let services = self.services.into_iter();
        let services = services.map(|s| (s.key.clone(), Arc::new(s))).collect();
        let mesh = meltemi_api::mesh_config::MeshConfig::defaults()
            .merge(serde_json::from_value(self.mesh).unwrap());
        Snapshot {
            mesh: Arc::new(Mesh::new(mesh, "cluster.local")),
            services: Arc::new(ServiceIndex::new(services)),
            routes: Arc::new(RouteIndex::new(
                self.tables.into_iter().map(Arc::new).collect(),
            )),
            policies: Arc::new(PolicyIndex::new(
                self.rules.into_iter().map(Arc::new).collect(),
            )),
            sidecars: Arc::new(SidecarIndex {
                rules: self.sidecars.into_iter().map(Arc::new).collect(),
            }),
            ..Snapshot::default()
        }
    }

    /// What a sidecar of `namespace` gets.
    pub(super) fn routes(self, namespace: &str) -> Routes {
        Routes::of(&self.snapshot(), namespace, json!({}))
    }

    /// What a sidecar of `namespace` with these labels gets.
    pub(super) fn labelled(self, namespace: &str, labels: Value) -> Routes {
        Routes::of(&self.snapshot(), namespace, json!({"LABELS": labels}))
    }
}

fn lower(http: &api::HttpRoute, origin: Origin, namespace: &str) -> HttpRule {
    let target = |d: &api::Destination| BackendTarget::Service {
        host: full(&d.host, namespace),
        subset: d.subset.as_deref().map(Into::into),
        port: d.port.as_ref().and_then(|p| Port::new(p.number)),
    };
    let backends = http.route.iter().enumerate().map(|(i, d)| Backend {
        origin: origin.at(origin.path.field("route").index(i)),
        target: match d.destination.host.as_str() {
            "invalid" => BackendTarget::Invalid,
            _ => target(&d.destination),
        },
        weight: d.weight.and_then(|w| w.try_into().ok()).unwrap_or(0),
        headers: d.headers.clone(),
    });
    let backends = backends.collect();
    let matches = http.matches.iter().enumerate().map(|(i, m)| HttpMatch {
        origin: origin.at(origin.path.field("match").index(i)),
        request: Arc::new(m.clone()),
        attach: m.gateways.iter().map(|g| attachment(g)).collect(),
    });
    let mirrors = http.mirrors.iter().map(|m| Mirror {
        target: target(&m.destination),
        share: m.percentage.map_or(1_000_000, |p| p.parts_per_million()),
    });
    HttpRule {
        name: http.name.as_deref().map(Into::into),
        matches: matches.collect(),
        action: match (&http.redirect, &http.direct_response) {
            (Some(redirect), _) => HttpAction::Redirect(redirect.clone()),
            (None, Some(direct)) => HttpAction::Direct(direct.clone()),
            (None, None) => HttpAction::Forward(backends),
        },
        mirrors: mirrors.collect(),
        body: Arc::new(http.clone()),
        origin,
    }
}

fn attachment(gateway: &str) -> Attachment {
    match gateway {
        "mesh" => Attachment::Mesh,
        name => Attachment::Gateway("shop".parse().unwrap(), name.parse().unwrap()),
    }
}

/// The route configurations of one class.
pub(super) struct Routes {
    pub(super) all: BTreeMap<String, envoy::RouteConfiguration>,
    pub(super) origins: BTreeMap<String, Vec<String>>,
    pub(super) found: Vec<Diagnostic>,
}

impl Routes {
    pub(super) fn of(snapshot: &Snapshot, namespace: &str, metadata: Value) -> Self {
        let planned = planned(snapshot, namespace, metadata);
        let mut routes = Self {
            all: BTreeMap::new(),
            origins: BTreeMap::new(),
            found: planned.diagnostics,
        };
        for item in &planned.items {
            let built = build(&item.input);
            assert_eq!(built.message.name, *item.name);
            routes.found.extend(built.diagnostics);
            let origins = item.origins.iter().map(ToString::to_string);
            routes
                .origins
                .insert(item.name.to_string(), origins.collect());
            routes
                .all
                .entry(item.name.to_string())
                .or_insert(built.message);
        }
        for config in routes.all.values() {
            let domains = config.virtual_hosts.iter().flat_map(|h| &h.domains);
            let mut seen = BTreeSet::new();
            for domain in domains {
                assert!(seen.insert(domain.to_lowercase()), "{domain} twice");
            }
        }
        routes
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.all.keys().map(String::as_str).collect()
    }

    pub(super) fn config(&self, name: &str) -> &envoy::RouteConfiguration {
        &self.all[name]
    }

    /// The virtual host of this name.
    pub(super) fn host(&self, config: &str, name: &str) -> Option<&envoy::VirtualHost> {
        let mut hosts = self.config(config).virtual_hosts.iter();
        hosts.find(|h| h.name == name)
    }

    /// The routes of the virtual host of this name.
    pub(super) fn routes(&self, config: &str, name: &str) -> &[envoy::Route] {
        &self.host(config, name).unwrap().routes
    }

    /// The virtual host that serves a domain.
    pub(super) fn domain(&self, config: &str, domain: &str) -> Option<&str> {
        let mut hosts = self.config(config).virtual_hosts.iter();
        let host = hosts.find(|h| h.domains.iter().any(|d| d == domain))?;
        Some(&host.name)
    }

    /// The clusters that the routes of a domain name, in order.
    pub(super) fn clusters(&self, config: &str, domain: &str) -> Vec<String> {
        let Some(name) = self.domain(config, domain) else {
            return Vec::new();
        };
        let routes = self.routes(config, name).iter();
        routes.map(|r| cluster(r).unwrap_or_default()).collect()
    }

    pub(super) fn codes(&self) -> Vec<Code> {
        let codes: BTreeSet<Code> = self.found.iter().map(|d| d.code).collect();
        codes.into_iter().collect()
    }
}

/// What is planned for a class of proxies.
pub(super) fn planned(
    snapshot: &Snapshot,
    namespace: &str,
    metadata: Value,
) -> crate::Planned<super::RouteInput> {
    with_view(snapshot, (namespace, metadata), plan)
}

/// The route configurations that the listeners of a class ask for.
pub(super) fn asked(snapshot: &Snapshot, namespace: &str, metadata: Value) -> BTreeSet<String> {
    let planned = with_view(snapshot, (namespace, metadata), crate::listener::plan);
    let listeners = planned
        .items
        .iter()
        .map(|i| crate::listener::build(&i.input).message);
    let mut names = BTreeSet::new();
    for listener in listeners {
        let chains = listener
            .filter_chains
            .iter()
            .chain(&listener.default_filter_chain);
        for config in chains
            .flat_map(|c| &c.filters)
            .filter_map(|f| f.config_type.as_ref())
        {
            let ConfigType::TypedConfig(config) = config else {
                continue;
            };
            let manager: Result<HttpConnectionManager, _> = any::unpack(config);
            if let Some(RouteSpecifier::Rds(rds)) = manager.ok().and_then(|m| m.route_specifier) {
                names.insert(rds.route_config_name);
            }
        }
    }
    names
}

fn with_view<T>(
    snapshot: &Snapshot,
    (namespace, metadata): (&str, Value),
    run: impl FnOnce(&View<'_>) -> T,
) -> T {
    let Value::Object(metadata) = metadata else {
        panic!("an object")
    };
    let proxy = proxy(namespace, metadata);
    let key = ClassKey::of(snapshot, &Deciding::of(snapshot), &proxy);
    let sidecar = snapshot.sidecars.by_ref(key.sidecar.as_deref());
    let scope = snapshot.scope(&key.namespace, sidecar);
    run(&View::new(snapshot, &key, &scope))
}

fn proxy(namespace: &str, metadata: Map<String, Value>) -> Proxy {
    let facts = NodeFacts {
        id: format!("sidecar~10.9.9.9~pod.{namespace}~{namespace}.svc.cluster.local"),
        metadata,
        ..NodeFacts::default()
    };
    Proxy::understand(&facts).unwrap()
}

/// The one cluster of a route.
pub(super) fn cluster(route: &envoy::Route) -> Option<String> {
    if let ClusterSpecifier::Cluster(name) = forwarded(route)?.cluster_specifier.as_ref()? {
        return Some(name.clone());
    }
    None
}

/// The action of a route that forwards.
pub(super) fn forwarded(route: &envoy::Route) -> Option<&envoy::RouteAction> {
    if let Action::Route(action) = route.action.as_ref()? {
        return Some(action);
    }
    None
}

/// A route table for `ns/name` with one host and these rules.
pub(super) fn rules(host: &str, http: Value) -> Value {
    json!({"hosts": [host], "http": http})
}

/// The routes of `web` in `shop` at port 80, from these rules and by name.
pub(super) fn web(http: Value) -> (Vec<envoy::Route>, Vec<Diagnostic>) {
    let fixture = Fixture::new()
        .service("shop/web", &[(80, "http")])
        .service("shop/api", &[(8080, "http")])
        .service("shop/two", &[(81, "http"), (82, "http")])
        .table("shop/web", rules("web", http));
    let routes = fixture.routes("shop");
    let host = routes.host("80", "web.shop.svc.cluster.local:80");
    (
        host.map(|h| h.routes.clone()).unwrap_or_default(),
        routes.found,
    )
}
