//! Load assignments from small hand-made meshes.

use super::{Mtls, locality_decides};
use crate::by_id::ById;
use crate::cluster::testing::{World, endpoint, endpoint_in, service, web};
use meltemi_model::{
    Endpoint, Health, NamespacePeers, NetworkGateway, NetworkIndex, Resolution, TlsMode,
};
use meltemi_types::{ClusterId, Code, NetworkId, Port, Protocol};
use std::net::IpAddr;
use std::sync::Arc;

const HOST: &str = "host: web.shop.svc.cluster.local";

fn policy(text: &str) -> String {
    format!("{{{HOST}, trafficPolicy: {text}}}")
}

#[test]
fn a_subset_selects_by_labels_and_an_empty_one_is_sent_with_a_warning() {
    let world = World::web(
        Protocol::Http,
        vec![
            endpoint("10.0.0.1", "version=v1"),
            endpoint("10.0.0.2", "version=v2"),
        ],
    )
    .with_rule(&format!(
        "{{{HOST}, subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v3, labels: {{version: v3}}}}]}}"
    ));
    assert_eq!(world.order(&web("")).len(), 2);
    assert_eq!(world.order(&web("v1")), ["0:10.0.0.1*1"]);
    let empty = world.assigned(&web("v3"));
    assert_eq!(empty.message.cluster_name, web("v3"));
    assert!(empty.message.endpoints.is_empty());
    let finding = empty.diagnostics.first().unwrap();
    assert_eq!(finding.code, Code::SubsetWithoutEndpoints);
    assert!(world.assigned(&web("")).diagnostics.is_empty());
}

#[test]
fn a_service_without_endpoints_is_sent_and_equals_itself() {
    let world = World::web(Protocol::Http, vec![]);
    assert!(world.assigned(&web("")).message.endpoints.is_empty());
    let inputs = || -> Vec<_> {
        let items = world.assignments();
        items.into_iter().map(|item| item.input).collect()
    };
    assert_eq!(inputs(), inputs());
}

#[test]
fn addresses_of_the_other_family_are_left_out() {
    let world = World::web(
        Protocol::Http,
        vec![endpoint("10.0.0.1", ""), endpoint("fd00::1", "")],
    );
    assert_eq!(world.order(&web("")), ["0:10.0.0.1*1"]);
}

fn unready(address: &str) -> Endpoint {
    Endpoint {
        health: Health::Unhealthy,
        ..endpoint(address, "")
    }
}

#[test]
fn endpoints_that_are_not_ready_are_sent_unless_a_panic_could_use_them() {
    let endpoints = || vec![endpoint("10.0.0.1", ""), unready("10.0.0.2")];
    let world = World::web(Protocol::Http, endpoints());
    let groups = world.assigned(&web("")).message.endpoints;
    let health: Vec<i32> = groups[0]
        .lb_endpoints
        .iter()
        .map(|e| e.health_status)
        .collect();
    assert_eq!(health, [1, 2]);
    let world = World::web(Protocol::Http, endpoints())
        .with_rule(&policy("{outlierDetection: {minHealthPercent: 20}}"));
    assert_eq!(world.order(&web("")), ["0:10.0.0.1*1"]);
}

#[test]
fn endpoints_that_finish_are_only_for_sessions() {
    let draining = Endpoint {
        health: Health::Draining,
        ..endpoint("10.0.0.1", "")
    };
    let world = World::web(Protocol::Http, vec![draining.clone()]);
    assert!(world.order(&web("")).is_empty());
    let mut sticky = service("web", Protocol::Http, Resolution::Endpoints);
    sticky.labels = [("istio.io/persistent-session", "cookie")]
        .into_iter()
        .collect();
    let world = World::new(vec![(sticky, vec![draining])]);
    assert_eq!(world.order(&web("")).len(), 1);
}

#[test]
fn a_node_local_service_is_on_the_clients_node_or_nowhere() {
    let on = |address: &str, node: &str| {
        let mut endpoint = endpoint(address, "");
        let mut workload = (*endpoint.workload).clone();
        workload.node = Some(node.into());
        endpoint.workload = workload.into();
        endpoint
    };
    let mut local = service("web", Protocol::Http, Resolution::Endpoints);
    local.node_local = true;
    let mut world = World::new(vec![(
        local,
        vec![on("10.0.0.1", "n1"), on("10.0.0.2", "n2")],
    )]);
    assert!(world.order(&web("")).is_empty());
    world.proxy.node_name = Some("n2".into());
    assert_eq!(world.order(&web("")), ["0:10.0.0.2*1"]);
}

fn spread() -> Vec<Endpoint> {
    vec![
        endpoint_in("10.0.0.1", "r1/z1/s1"),
        endpoint_in("10.0.0.2", "r1/z1/s2"),
        endpoint_in("10.0.0.3", "r1/z2/s1"),
        endpoint_in("10.0.0.4", "r2/z1/s1"),
        endpoint_in("10.0.0.5", "r3/z1/s1"),
    ]
}

#[test]
fn place_does_not_matter_without_outlier_detection() {
    let world = World::web(Protocol::Http, spread()).at("r1/z1/s1");
    assert!(!locality_decides(&world.snapshot));
    assert!(world.class().locality.is_empty());
    assert!(world.order(&web("")).iter().all(|e| e.starts_with("0:")));
}

#[test]
fn outlier_detection_turns_failover_on() {
    let world = World::web(Protocol::Http, spread())
        .at("r1/z1/s1")
        .with_rule(&policy("{outlierDetection: {}}"));
    assert!(locality_decides(&world.snapshot));
    assert_eq!(
        world.order(&web("")),
        [
            "0:10.0.0.1*1",
            "1:10.0.0.2*1",
            "2:10.0.0.3*1",
            "3:10.0.0.4*1",
            "3:10.0.0.5*1"
        ]
    );
    let off = world.with_mesh("{localityLbSetting: {enabled: false}}");
    assert!(off.order(&web("")).iter().all(|e| e.starts_with("0:")));
}

#[test]
fn failover_names_the_region_that_takes_over_and_priorities_have_no_gap() {
    let text = "{outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: r1, to: r3}]}}}";
    let world = World::web(Protocol::Http, spread().split_off(2))
        .at("r1/z1/s1")
        .with_rule(&policy(text));
    assert_eq!(
        world.order(&web("")),
        ["0:10.0.0.3*1", "1:10.0.0.5*1", "2:10.0.0.4*1"]
    );
}

#[test]
fn distribute_gives_shares_and_drops_the_rest() {
    let text = "{loadBalancer: {localityLbSetting: {distribute: [{from: 'r1/*', to: {'r1/z1/*': 80, r2: 20}}]}}}";
    let world = World::web(Protocol::Http, spread())
        .at("r1/z1/s1")
        .with_rule(&policy(text));
    assert_eq!(
        world.order(&web("")),
        ["0:10.0.0.1*40", "0:10.0.0.2*40", "0:10.0.0.4*20"]
    );
    let elsewhere = world.at("r9/z9/s9");
    assert_eq!(elsewhere.order(&web("")).len(), 5);
}

#[test]
fn failover_priority_compares_a_prefix_of_the_labels() {
    let text = "{outlierDetection: {}, loadBalancer: {localityLbSetting: {failoverPriority: [topology.kubernetes.io/region, version=v2]}}}";
    let at = |address: &str, place: &str, labels: &str| Endpoint {
        locality: meltemi_types::Locality::parse(place),
        ..endpoint(address, labels)
    };
    let endpoints = vec![
        at("10.0.0.1", "r1", "version=v1"),
        at("10.0.0.2", "r1", "version=v2"),
        at("10.0.0.3", "r2", "version=v2"),
    ];
    let world = World::web(Protocol::Http, endpoints)
        .at("r1")
        .with_rule(&policy(text));
    assert_eq!(
        world.order(&web("")),
        ["0:10.0.0.2*1", "1:10.0.0.1*1", "2:10.0.0.3*1"]
    );
}

#[test]
fn failover_priority_may_ask_for_the_clients_own_labels() {
    let text =
        "{outlierDetection: {}, loadBalancer: {localityLbSetting: {failoverPriority: [version]}}}";
    let endpoints = vec![
        endpoint("10.0.0.1", "version=v1"),
        endpoint("10.0.0.2", "version=v2"),
    ];
    let mut world = World::web(Protocol::Http, endpoints).with_rule(&policy(text));
    world.proxy.labels = [("version", "v2"), ("other", "x")].into_iter().collect();
    assert_eq!(
        world.class().labels.iter().collect::<Vec<_>>(),
        [("version", "v2")]
    );
    assert_eq!(world.order(&web("")), ["0:10.0.0.2*1", "1:10.0.0.1*1"]);
}

#[test]
fn the_own_node_may_be_preferred_without_being_the_only_one() {
    let on = |address: &str, node: &str| {
        let mut endpoint = endpoint(address, "");
        let mut workload = (*endpoint.workload).clone();
        workload.node = Some(node.into());
        endpoint.workload = workload.into();
        endpoint
    };
    let mut near = service("web", Protocol::Http, Resolution::Endpoints);
    near.traffic_distribution = Some("PreferSameNode".into());
    let mut world = World::new(vec![(
        near,
        vec![on("10.0.0.1", "n1"), on("10.0.0.2", "n2")],
    )]);
    world.proxy.node_name = Some("n2".into());
    assert_eq!(world.order(&web("")), ["0:10.0.0.2*1", "1:10.0.0.1*1"]);
}

#[test]
fn both_encodings_are_the_same_bytes() {
    let mut pipe = endpoint("10.0.0.9", "");
    pipe.address = meltemi_model::EndpointAddress::Pipe("/run/a.sock".into());
    pipe.workload = Default::default();
    let long = format!("app={},version=v1", "a".repeat(200));
    let mut all = spread();
    all.extend([pipe, unready("10.0.0.7"), endpoint("10.0.0.8", &long)]);
    all.extend((0..200).map(|i| endpoint(&format!("10.1.0.{i}"), "app=web")));
    let world = World::web(Protocol::Http, all)
        .at("r1/z1/s1")
        .with_rule(&format!(
            "{{{HOST}, trafficPolicy: {{outlierDetection: {{}}}}, subsets: [{{name: none, labels: {{a: b}}}}]}}"
        ));
    for item in world.assignments() {
        let able = Mtls::Able(NamespacePeers::default());
        for mtls in [Mtls::Off, Mtls::All, able] {
            let input = super::EndpointInput {
                mtls,
                ..item.input.clone()
            };
            let built = super::build(&input);
            let (bytes, diagnostics) = super::encode(&input);
            assert_eq!(bytes, prost::Message::encode_to_vec(&built.message));
            assert_eq!(diagnostics, built.diagnostics);
        }
    }
}

#[test]
fn the_share_of_other_networks_goes_to_their_gateways() {
    let west: NetworkId = "west".parse().unwrap();
    let gateway = |last| NetworkGateway {
        cluster: ClusterId::default(),
        address: IpAddr::from([9, 9, 9, last]),
        port: Port::new(15443).unwrap(),
    };
    let gateways = NetworkIndex::new([(west.clone(), vec![gateway(1), gateway(2)])].into());
    let far = |address, tls| Endpoint {
        network: Some(west.clone()),
        tls,
        ..endpoint(address, "")
    };
    let endpoints = vec![
        endpoint("10.0.0.1", ""),
        far("10.1.0.1", TlsMode::Istio),
        far("10.1.0.2", TlsMode::Istio),
        far("10.1.0.3", TlsMode::Disabled),
    ];
    let world = World::web(Protocol::Http, endpoints);
    let item = world.assignments().remove(0);
    let input = super::EndpointInput {
        far: Some(super::Far {
            own: None,
            gateways: ById(Arc::new(gateways)),
        }),
        mtls: Mtls::Able(NamespacePeers::default()),
        ..item.input.clone()
    };
    let built = super::build(&input).message;
    let [group] = &built.endpoints[..] else {
        panic!("{built:?}");
    };
    let shares: Vec<_> = group
        .lb_endpoints
        .iter()
        .map(|e| e.load_balancing_weight.map_or(0, |w| w.value))
        .collect();
    assert_eq!(
        shares,
        [2, 2, 2],
        "one here, two there through two gateways"
    );
    assert_eq!(group.load_balancing_weight.map_or(0, |w| w.value), 6);
    let (bytes, _) = super::encode(&input);
    assert_eq!(bytes, prost::Message::encode_to_vec(&built));
}

#[test]
fn traffic_distribution_prefers_the_zone_without_any_rule() {
    let mut near = service("web", Protocol::Http, Resolution::Endpoints);
    near.traffic_distribution = Some("PreferClose".into());
    let world = World::new(vec![(near, spread())]).at("r1/z1/s1");
    assert!(locality_decides(&world.snapshot));
    assert_eq!(
        world.order(&web("")),
        [
            "0:10.0.0.1*1",
            "0:10.0.0.2*1",
            "1:10.0.0.3*1",
            "2:10.0.0.4*1",
            "2:10.0.0.5*1"
        ]
    );
}

#[test]
fn heavy_endpoints_still_fit_into_their_locality() {
    let heavy = |address: &str| Endpoint {
        weight: u32::MAX,
        ..endpoint(address, "")
    };
    let world = World::web(Protocol::Http, vec![heavy("10.0.0.1"), heavy("10.0.0.2")]);
    let groups = world.assigned(&web("")).message.endpoints;
    let weights = groups[0]
        .lb_endpoints
        .iter()
        .map(|e| e.load_balancing_weight.unwrap().value);
    let sum: u64 = weights.map(u64::from).sum();
    assert_eq!(
        u64::from(groups[0].load_balancing_weight.unwrap().value),
        sum
    );
}

#[test]
fn services_of_the_cluster_itself_stay_in_it() {
    let elsewhere = Endpoint {
        cluster: "other".parse().unwrap(),
        ..endpoint("10.0.0.2", "")
    };
    let endpoints = || vec![endpoint("10.0.0.1", ""), elsewhere.clone()];
    let world = World::web(Protocol::Http, endpoints());
    assert_eq!(world.order(&web("")).len(), 2);
    let setting = "{serviceSettings: [{settings: {clusterLocal: true}, hosts: ['*.shop.svc.cluster.local']}]}";
    let world = world.with_mesh(setting);
    assert_eq!(world.order(&web("")), ["0:10.0.0.1*1"]);
}
