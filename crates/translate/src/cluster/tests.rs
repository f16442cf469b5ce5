//! Clusters from small hand-made meshes.

use super::testing::{self, World, endpoint, service, web};
use crate::wire;
use meltemi_model::Resolution;
use meltemi_proto::any::unpack;
use meltemi_proto::envoy::config::cluster::v3::Cluster;
use meltemi_proto::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, LbPolicy,
};
use meltemi_proto::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use meltemi_proto::envoy::extensions::upstreams::http::v3::http_protocol_options::UpstreamProtocolOptions;
use meltemi_types::{Code, Protocol};

const HOST: &str = "host: web.shop.svc.cluster.local";

fn kind(cluster: &Cluster) -> DiscoveryType {
    match &cluster.cluster_discovery_type {
        Some(ClusterDiscoveryType::Type(kind)) => DiscoveryType::try_from(*kind).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn http(cluster: &Cluster) -> Option<UpstreamProtocolOptions> {
    let any = cluster.typed_extension_protocol_options.values().next()?;
    let options: HttpProtocolOptions = unpack(any).unwrap();
    options.upstream_protocol_options
}

#[test]
fn a_class_gets_its_services_subsets_and_the_two_that_take_the_rest() {
    let world = World::web(Protocol::Http, vec![])
        .with_rule(&format!("{{{HOST}, subsets: [{{name: v1}}]}}"));
    let expected = [
        web(""),
        web("v1"),
        "BlackHoleCluster".to_owned(),
        "PassthroughCluster".to_owned(),
    ];
    assert_eq!(world.names(), expected);
}

#[test]
fn udp_and_aliases_have_no_cluster() {
    let other = "other.shop.svc.cluster.local".parse().unwrap();
    let world = World::new(vec![
        (service("dns", Protocol::Udp, Resolution::Endpoints), vec![]),
        (
            service("a", Protocol::Http, Resolution::Alias(other)),
            vec![],
        ),
    ]);
    assert_eq!(world.names(), ["BlackHoleCluster", "PassthroughCluster"]);
}

#[test]
fn the_defaults_are_istios() {
    let cluster = World::web(Protocol::Http, vec![]).cluster(&web(""));
    assert_eq!(kind(&cluster), DiscoveryType::Eds);
    assert_eq!(cluster.lb_policy(), LbPolicy::LeastRequest);
    assert_eq!(cluster.connect_timeout, Some(wire::seconds(10)));
    assert_eq!(
        cluster.alt_stat_name,
        "outbound|80||web.shop.svc.cluster.local;"
    );
    let common = cluster.common_lb_config.clone().unwrap();
    assert_eq!(common.healthy_panic_threshold.unwrap().value, 0.0);
    assert_eq!(common.locality_config_specifier, None);
    assert_eq!(http(&cluster), None);
    let eds = cluster.eds_cluster_config.unwrap();
    assert_eq!(eds.service_name, cluster.name);
}

#[test]
fn the_protocol_follows_the_port() {
    let of = |protocol| http(&World::web(protocol, vec![]).cluster(&web("")));
    assert!(matches!(
        of(Protocol::Grpc),
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(_))
    ));
    assert!(matches!(
        of(Protocol::Auto),
        Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(_))
    ));
    assert_eq!(of(Protocol::Tcp), None);
}

#[test]
fn a_headless_service_keeps_the_destination_and_has_nothing_envoy_refuses() {
    let headless = service("web", Protocol::Tcp, Resolution::Passthrough);
    let world = World::new(vec![(headless, vec![endpoint("10.0.0.1", "")])]).with_rule(&format!(
        "{{{HOST}, trafficPolicy: {{loadBalancer: {{consistentHash: {{useSourceIp: true}}}}}}}}"
    ));
    let cluster = world.cluster(&web(""));
    assert_eq!(kind(&cluster), DiscoveryType::OriginalDst);
    assert_eq!(cluster.lb_policy(), LbPolicy::ClusterProvided);
    assert_eq!((cluster.lb_config, cluster.load_assignment), (None, None));
    assert!(world.assignments().is_empty());
}

#[test]
fn a_passthrough_balancer_needs_no_endpoints() {
    let world = World::web(Protocol::Http, vec![endpoint("10.0.0.1", "")]).with_rule(&format!(
        "{{{HOST}, trafficPolicy: {{loadBalancer: {{simple: PASSTHROUGH}}}}}}"
    ));
    assert_eq!(kind(&world.cluster(&web(""))), DiscoveryType::OriginalDst);
    assert!(world.assignments().is_empty());
}

#[test]
fn names_are_resolved_by_envoy_and_a_cluster_without_any_is_left_out() {
    let of = |resolution, endpoints| {
        World::new(vec![(
            service("web", Protocol::Http, resolution),
            endpoints,
        )])
    };
    let two = || vec![endpoint("a.example.com", ""), endpoint("b.example.com", "")];
    let count = |world: &World| {
        let assignment = world.cluster(&web("")).load_assignment.unwrap();
        assignment
            .endpoints
            .iter()
            .map(|g| g.lb_endpoints.len())
            .sum::<usize>()
    };
    assert_eq!(count(&of(Resolution::Dns, two())), 2);
    assert_eq!(count(&of(Resolution::DnsRoundRobin, two())), 1);
    assert!(!of(Resolution::Dns, vec![]).names().contains(&web("")));
    assert!(of(Resolution::Dns, two()).assignments().is_empty());
    let nowhere = "{loadBalancer: {localityLbSetting: {distribute: [{from: '*', to: {a: 100}}]}}}";
    let world = of(Resolution::DnsRoundRobin, two())
        .with_rule(&format!("{{{HOST}, trafficPolicy: {nowhere}}}"));
    assert!(!world.names().contains(&web("")));
}

#[test]
fn tls_that_cannot_be_made_sends_nothing_and_says_so() {
    let world = World::web(Protocol::Http, vec![endpoint("10.0.0.1", "")]).with_rule(&format!(
        "{{{HOST}, trafficPolicy: {{tls: {{mode: SIMPLE, credentialName: secret}}}}}}"
    ));
    let cluster = world.cluster(&web(""));
    assert_eq!(kind(&cluster), DiscoveryType::Static);
    assert!(cluster.load_assignment.unwrap().endpoints.is_empty());
    assert!(world.assignments().is_empty());
    let findings = world.findings(&web(""));
    let finding = findings.first().unwrap();
    assert_eq!(
        (finding.code, finding.is_error()),
        (Code::InvalidValue, true)
    );
    let origin = finding.origin.as_ref().unwrap();
    assert_eq!(origin.path.as_str(), "spec.trafficPolicy.tls");
}

#[test]
fn a_finding_about_a_subset_names_the_subset() {
    let world = World::web(Protocol::Http, vec![]).with_rule(&format!(
        "{{{HOST}, subsets: [{{name: v1, trafficPolicy: {{tls: {{mode: ISTIO_MUTUAL}}}}}}]}}"
    ));
    let findings = world.findings(&web("v1"));
    let origin = findings.first().unwrap().origin.as_ref().unwrap();
    assert_eq!(origin.path.as_str(), "spec.subsets[0].trafficPolicy.tls");
    assert!(world.findings(&web("")).is_empty());
}

#[test]
fn metadata_names_service_rule_and_subset() {
    let world = World::web(Protocol::Http, vec![])
        .with_rule(&format!("{{{HOST}, subsets: [{{name: v1}}]}}"));
    let metadata = world.cluster(&web("v1")).metadata.unwrap();
    let json = format!("{:?}", metadata.filter_metadata.get("istio").unwrap());
    for text in [
        "/apis/networking.istio.io/v1/namespaces/shop/destination-rule/rule",
        "web.shop.svc.cluster.local",
        "\"v1\"",
    ] {
        assert!(json.contains(text), "{text}: {json}");
    }
}

#[test]
fn the_name_in_statistics_is_the_meshs_to_choose() {
    let world = World::web(Protocol::Http, vec![])
        .with_mesh("{outboundClusterStatName: '%SERVICE%_%SERVICE_PORT_NAME%_%SERVICE_PORT%'}");
    assert_eq!(world.cluster(&web("")).alt_stat_name, "web.shop_http_80;");
}

#[test]
fn localities_weigh_only_when_failover_is_spelled_out() {
    let weighted = |policy: &str| {
        let world = World::web(Protocol::Http, vec![])
            .with_rule(&format!("{{{HOST}, trafficPolicy: {policy}}}"));
        let common = world.cluster(&web("")).common_lb_config.unwrap();
        common.locality_config_specifier.is_some()
    };
    assert!(!weighted("{outlierDetection: {}}"));
    let failover = "loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}";
    assert!(!weighted(&format!("{{{failover}}}")));
    assert!(weighted(&format!("{{outlierDetection: {{}}, {failover}}}")));
    assert!(weighted(
        "{loadBalancer: {localityLbSetting: {distribute: [{from: '*', to: {a: 100}}]}}}"
    ));
}

#[test]
fn proxies_of_one_namespace_get_equal_clusters() {
    let build = |id: &str| {
        let mut world = World::web(Protocol::Http, vec![endpoint("10.0.0.1", "")]);
        let facts = meltemi_model::proxy::NodeFacts {
            id: id.into(),
            ..Default::default()
        };
        world.proxy = meltemi_model::Proxy::understand(&facts).unwrap();
        (world.cluster(&web("")), world.assigned(&web("")).message)
    };
    assert_eq!(
        build("sidecar~10.1.0.1~one.shop~shop.svc.cluster.local"),
        build("sidecar~10.1.0.2~two.shop~shop.svc.cluster.local")
    );
}

mod inbound {
    use super::*;
    use crate::class::InboundKey;
    use crate::cluster::{build, plan_inbound};
    use crate::plan::Planned;
    use meltemi_model::proxy::{Interception, NodeFacts};
    use meltemi_model::{Age, Proxy, SidecarIndex, SidecarRule};
    use std::sync::Arc;

    fn world(sidecar: Option<&str>) -> World {
        let mut world = World::web(Protocol::Http, vec![]);
        let facts = NodeFacts {
            id: "sidecar~10.1.0.1~web.shop~shop.svc.cluster.local".into(),
            metadata: serde_json::json!({"LABELS": {"app": "web"}})
                .as_object()
                .unwrap()
                .clone(),
            ..NodeFacts::default()
        };
        world.proxy = Proxy::understand(&facts).unwrap();
        let rule = sidecar.map(|spec| {
            Arc::new(SidecarRule {
                origin: testing::origin("Sidecar", "s"),
                age: Age {
                    created: None,
                    name: "s".parse().unwrap(),
                    namespace: None,
                },
                namespace: testing::namespace(),
                selector: None,
                spec: Arc::new(serde_yaml::from_str(spec).unwrap()),
            })
        });
        world.snapshot.sidecars = Arc::new(SidecarIndex {
            rules: rule.into_iter().collect(),
        });
        world
    }

    fn planned(world: &World) -> Planned<crate::cluster::ClusterInput> {
        plan_inbound(&InboundKey::of(&world.snapshot, &world.proxy))
    }

    fn clusters(world: &World) -> Vec<Cluster> {
        let items = planned(world).items;
        items
            .iter()
            .map(|item| build(&item.input).message)
            .collect()
    }

    fn addresses(cluster: &Cluster) -> String {
        format!("{:?}", cluster.load_assignment)
    }

    #[test]
    fn a_captured_port_keeps_its_destination_and_says_where_it_comes_from() {
        let world = world(None);
        let all = clusters(&world);
        let [cluster, rest] = all.as_slice() else {
            panic!("{all:?}");
        };
        assert_eq!(cluster.name, "inbound|8080||");
        assert_eq!(cluster.alt_stat_name, "inbound|8080||;");
        assert_eq!(kind(cluster), DiscoveryType::OriginalDst);
        let bind = cluster.upstream_bind_config.as_ref().unwrap();
        assert_eq!(bind.source_address.as_ref().unwrap().address, "127.0.0.6");
        assert!(matches!(
            http(cluster),
            Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(_))
        ));
        assert_eq!(rest.name, "InboundPassthroughCluster");
        let outbound = world.names();
        assert!(all.iter().all(|cluster| !outbound.contains(&cluster.name)));
    }

    #[test]
    fn the_mesh_may_send_inbound_to_the_loopback_address() {
        let world = world(None).with_mesh("{inboundTrafficPolicy: {mode: LOCALHOST}}");
        let all = clusters(&world);
        let cluster = all.first().unwrap();
        assert_eq!(kind(cluster), DiscoveryType::Static);
        assert!(addresses(cluster).contains("127.0.0.1"));
    }

    #[test]
    fn ingress_replaces_the_ports_and_says_where_to() {
        let entry = |port: u32, endpoint: &str| {
            format!("{{port: {{number: {port}, name: http-a}}, defaultEndpoint: '{endpoint}'}}")
        };
        let spec = format!(
            "{{ingress: [{}, {}, {}, {}, {{port: {{number: 9005, protocol: GRPC}}}}]}}",
            entry(9001, "127.0.0.1:81"),
            entry(9002, "unix:///run/app.sock"),
            entry(9003, "0.0.0.0:83"),
            entry(9004, "nonsense"),
        );
        let world = world(Some(&spec));
        let all = clusters(&world);
        let names: Vec<&str> = all.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "inbound|9001||",
                "inbound|9002||",
                "inbound|9003||",
                "inbound|9005||",
                "InboundPassthroughCluster"
            ]
        );
        let has = |index: usize, text: &str| addresses(&all[index]).contains(text);
        assert!(has(0, "127.0.0.1") && has(1, "/run/app.sock") && has(2, "10.1.0.1"));
        let bound: Vec<bool> = all
            .iter()
            .map(|c| c.upstream_bind_config.is_some())
            .collect();
        assert_eq!(bound, [false, false, true, true, true]);
        assert_eq!(kind(&all[3]), DiscoveryType::OriginalDst);
        let found = planned(&world).diagnostics;
        let paths: Vec<_> = found
            .iter()
            .map(|d| d.origin.as_ref().unwrap().path.to_string())
            .collect();
        assert_eq!(paths, ["spec.ingress[3].defaultEndpoint"]);
    }

    #[test]
    fn without_redirection_only_ingress_counts() {
        let mut plain = world(None);
        plain.proxy.interception = Interception::None;
        assert!(clusters(&plain).is_empty());
        let mut declared = world(Some("{ingress: [{port: {number: 9001, protocol: HTTP}}]}"));
        declared.proxy.interception = Interception::None;
        let all = clusters(&declared);
        let [cluster] = all.as_slice() else {
            panic!("{all:?}");
        };
        assert_eq!(kind(cluster), DiscoveryType::Static);
        assert!(addresses(cluster).contains("127.0.0.1"));
        assert_eq!(cluster.upstream_bind_config, None);
    }

    #[test]
    fn limits_come_from_the_sidecar_before_the_rule() {
        let limit = |world: &World| {
            let cluster = clusters(world).remove(0);
            cluster.circuit_breakers.unwrap().thresholds[0].max_connections
        };
        let rule = format!(
            "{{{HOST}, trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: 1}}}}}}}}"
        );
        assert_eq!(limit(&world(None).with_rule(&rule)), Some(wire::u32(1)));
        let sidecar = "{inboundConnectionPool: {tcp: {maxConnections: 2}}}";
        let world = world(Some(sidecar)).with_rule(&rule);
        assert_eq!(limit(&world), Some(wire::u32(2)));
    }
}
