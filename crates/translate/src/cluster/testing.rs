//! Small hand-made meshes for the tests of clusters and endpoints.

use super::ClusterInput;
use crate::class::{ClassKey, Deciding};
use crate::endpoint::EndpointInput;
use crate::plan::{Built, Item, Planned};
use crate::view::View;
use crate::{cluster, endpoint};
use meltemi_api::mesh_config::MeshConfig;
use meltemi_api::networking::destination_rule::DestinationRule;
use meltemi_model::endpoint::EndpointWorkload;
use meltemi_model::policy::SubsetRule;
use meltemi_model::proxy::NodeFacts;
use meltemi_model::security::PeerPolicy;
use meltemi_model::*;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use meltemi_types::{
    ClusterId, Diagnostic, FieldPath, Labels, Locality, Namespace, ObjectRef, Origin, Port,
    Protocol, Selector,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) fn namespace() -> Namespace {
    "shop".parse().unwrap()
}

pub(crate) fn origin(kind: &str, name: &str) -> Origin {
    let object = ObjectRef {
        cluster: ClusterId::default(),
        kind: kind.into(),
        namespace: Some(namespace()),
        name: name.parse().unwrap(),
    };
    Origin::object(Arc::new(object), None)
}

/// A rule from a DestinationRule's spec.
pub(crate) fn rule(spec: &str) -> Arc<TrafficRule> {
    let spec: DestinationRule = serde_yaml::from_str(spec).unwrap();
    let origin = origin("DestinationRule", "rule");
    let subset = |(index, subset)| SubsetRule {
        origin: origin.at(FieldPath::spec().field("subsets").index(index)),
        subset: Arc::new(subset),
    };
    Arc::new(TrafficRule {
        namespace: namespace(),
        host: spec.host.parse().unwrap(),
        selector: None,
        export_to: ExportTo::Public,
        policy: spec.traffic_policy.map(Arc::new),
        subsets: spec.subsets.into_iter().enumerate().map(subset).collect(),
        origins: vec![origin],
    })
}

fn labels(text: &str) -> Labels {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .collect()
}

/// An endpoint at port 8080 with these labels (`k=v,k=v`).
pub(crate) fn endpoint(address: &str, pairs: &str) -> Endpoint {
    let address = match address.parse() {
        Ok(ip) => EndpointAddress::Ip(ip),
        Err(_) => EndpointAddress::Name(address.into()),
    };
    Endpoint {
        address,
        port: Port::new(8080),
        health: Health::Healthy,
        weight: 1,
        locality: Locality::default(),
        network: None,
        cluster: ClusterId::default(),
        tls: TlsMode::Istio,
        tunnel: Tunnel::None,
        workload: Arc::new(EndpointWorkload {
            name: "web-deployment".into(),
            namespace: Some(namespace()),
            labels: labels(pairs),
            account: None,
            node: None,
            dns_name: None,
        }),
    }
}

/// An endpoint in a locality (`region/zone/subzone`).
pub(crate) fn endpoint_in(address: &str, locality: &str) -> Endpoint {
    Endpoint {
        locality: Locality::parse(locality),
        ..endpoint(address, "")
    }
}

/// A service `name.shop.svc.cluster.local` with port 80 to 8080.
pub(crate) fn service(name: &str, protocol: Protocol, resolution: Resolution) -> Service {
    Service {
        key: ServiceKey {
            host: format!("{name}.shop.svc.cluster.local").parse().unwrap(),
            namespace: namespace(),
        },
        name: name.into(),
        origin: origin("Service", name),
        age: Age {
            created: None,
            name: name.parse().unwrap(),
            namespace: Some(namespace()),
        },
        addresses: BTreeMap::new(),
        cidrs: Arc::from([]),
        allocated: Arc::from([]),
        subject_alt_names: Default::default(),
        ports: Arc::from([ServicePort {
            number: Port::new(80).unwrap(),
            name: "http".parse().unwrap(),
            protocol,
            target: TargetPort::Number(Port::new(8080).unwrap()),
        }]),
        resolution,
        external: false,
        kubernetes: true,
        export_to: ExportTo::Public,
        selector: Some(Selector::new(labels(&format!("app={name}")))),
        labels: Labels::default(),
        accounts: BTreeSet::new(),
        node_local: false,
        publish_not_ready: false,
        traffic_distribution: None,
    }
}

/// A mesh and a proxy in it.
pub(crate) struct World {
    pub(crate) snapshot: Snapshot,
    pub(crate) proxy: Proxy,
}

impl World {
    /// A mesh with these services, each with its endpoints, and a sidecar of namespace `shop`.
    pub(crate) fn new(services: Vec<(Service, Vec<Endpoint>)>) -> Self {
        let endpoints = services.iter().map(|(service, endpoints)| {
            let ports = service.ports.iter();
            let ports = ports.map(|port| (port.name.clone(), endpoints.clone().into()));
            let ports = ports.collect();
            (service.key.clone(), Arc::new(ServiceEndpoints { ports }))
        });
        let endpoints = EndpointIndex::new(endpoints.collect());
        let services = services.into_iter();
        let services = services.map(|(service, _)| (service.key.clone(), Arc::new(service)));
        let snapshot = Snapshot {
            services: Arc::new(ServiceIndex::new(services.collect())),
            endpoints: Arc::new(endpoints),
            ..Snapshot::default()
        };
        let facts = NodeFacts {
            id: "sidecar~10.1.0.1~client.shop~shop.svc.cluster.local".into(),
            ..NodeFacts::default()
        };
        let proxy = Proxy::understand(&facts).unwrap();
        Self { snapshot, proxy }
    }

    /// One service called `web`.
    pub(crate) fn web(protocol: Protocol, endpoints: Vec<Endpoint>) -> Self {
        let service = service("web", protocol, Resolution::Endpoints);
        Self::new(vec![(service, endpoints)])
    }

    pub(crate) fn with_rule(mut self, spec: &str) -> Self {
        self.snapshot.policies = Arc::new(PolicyIndex::new(vec![rule(spec)]));
        self
    }

    pub(crate) fn with_mesh(mut self, yaml: &str) -> Self {
        let config: MeshConfig = serde_yaml::from_str(yaml).unwrap();
        let config = MeshConfig::defaults().merge(config);
        self.snapshot.mesh = Arc::new(Mesh::new(config, "cluster.local"));
        self
    }

    /// The same, of which the sidecar has a certificate.
    pub(crate) fn certified(mut self) -> Self {
        self.proxy.certificates = Some(Certificates::Bootstrap);
        self
    }

    /// The same with PeerAuthentications.
    pub(crate) fn with_peers(mut self, peers: Vec<PeerPolicy>) -> Self {
        self.snapshot.security = Arc::new(SecurityIndex {
            peers: peers.into_iter().map(Arc::new).collect(),
            guards: Vec::new(),
        });
        self
    }

    pub(crate) fn at(mut self, locality: &str) -> Self {
        self.proxy.locality = Locality::parse(locality);
        self
    }

    pub(crate) fn class(&self) -> ClassKey {
        ClassKey::of(&self.snapshot, &Deciding::of(&self.snapshot), &self.proxy)
    }

    fn viewed<T>(&self, read: impl FnOnce(&View<'_>) -> T) -> T {
        let key = self.class();
        let sidecar = self.snapshot.sidecars.by_ref(key.sidecar.as_deref());
        let scope = self.snapshot.scope(&key.namespace, sidecar);
        read(&View::new(&self.snapshot, &key, &scope))
    }

    pub(crate) fn clusters(&self) -> Planned<ClusterInput> {
        self.viewed(cluster::plan)
    }

    pub(crate) fn assignments(&self) -> Vec<Item<EndpointInput>> {
        self.viewed(endpoint::plan)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let items = self.clusters().items;
        items.iter().map(|item| item.name.to_string()).collect()
    }

    pub(crate) fn cluster_input(&self, name: &str) -> ClusterInput {
        let items = self.clusters().items;
        let found = items.into_iter().find(|item| &*item.name == name);
        found.unwrap_or_else(|| panic!("no cluster {name}")).input
    }

    pub(crate) fn cluster(&self, name: &str) -> Cluster {
        cluster::build(&self.cluster_input(name)).message
    }

    pub(crate) fn findings(&self, name: &str) -> Vec<Diagnostic> {
        cluster::build(&self.cluster_input(name)).diagnostics
    }

    pub(crate) fn assigned(&self, name: &str) -> Built<ClusterLoadAssignment> {
        let items = self.assignments();
        let found = items.into_iter().find(|item| &*item.name == name);
        endpoint::build(
            &found
                .unwrap_or_else(|| panic!("no assignment {name}"))
                .input,
        )
    }

    /// The addresses of an assignment as `priority:address`, and the weight of each locality.
    pub(crate) fn order(&self, name: &str) -> Vec<String> {
        use meltemi_proto::envoy::config::core::v3::address::Address;
        use meltemi_proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
        let mut result = Vec::new();
        for group in self.assigned(name).message.endpoints {
            for member in &group.lb_endpoints {
                let Some(HostIdentifier::Endpoint(endpoint)) = &member.host_identifier else {
                    panic!("{member:?}");
                };
                match endpoint.address.as_ref().unwrap().address.as_ref() {
                    Some(Address::SocketAddress(socket)) => {
                        let weight = group.load_balancing_weight.unwrap().value;
                        result.push(format!("{}:{}*{weight}", group.priority, socket.address));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        result
    }
}

/// The name of the cluster of `web`, or of a subset of it.
pub(crate) fn web(subset: &str) -> String {
    format!("outbound|80|{subset}|web.shop.svc.cluster.local")
}
