//! All outbound listeners of a class of sidecars.

use super::bind::Bind;
use super::merge::Table;
use super::{ListenerInput, Traits, egress, virtual_outbound};
use crate::plan::Planned;
use crate::view::View;
use meltemi_model::Interception;
use meltemi_types::Origin;

/// Lists them: egress listeners in order, the HTTP proxy, then the virtual listener.
pub(super) fn plan(view: &View<'_>) -> Planned<ListenerInput> {
    let config = &view.mesh().config;
    if config.proxy_listen_port.is_some_and(|port| port <= 0) {
        return Planned::default();
    }
    let traits = Traits::of_class(view.key, view.mesh());
    let mut table = Table::default();
    for one in &view.scope.egress {
        egress::listeners(view, &traits, one, &mut table);
    }
    if let Some(port) = view.key.http_proxy_port.or(config.http_proxy_port()) {
        let bind = Bind::loopback(view.key.families, port);
        table.add(egress::http_proxy(bind, &traits, None));
    }
    let mut planned = table.finish(&traits, &virtual_outbound::unknown(view));
    if let (true, Some(port)) = (
        view.key.interception != Interception::None,
        config.outbound_port(),
    ) {
        let input = virtual_outbound::listener(view, &traits, port);
        let sidecar = view.scope.sidecar.as_ref();
        let origins: Vec<Origin> = sidecar.map(|s| s.origin.clone()).into_iter().collect();
        planned.push(input.name.clone(), input, origins);
    }
    planned
}

#[cfg(test)]
mod tests {
    use crate::testing_listener::{Fixture, NODE, endpoint, origin, port, service, tcp_proxy};
    use meltemi_api::duration::Duration;
    use meltemi_api::mesh_config::MeshConfig;
    use meltemi_api::networking::destination_rule::{
        ConnectionPoolSettings, ConsistentHashLb, LoadBalancerSettings, TcpSettings, TrafficPolicy,
    };
    use meltemi_api::networking::sidecar::{
        CaptureMode, IstioEgressListener, OutboundTrafficPolicy, OutboundTrafficPolicyMode,
        Sidecar, SidecarPort,
    };
    use meltemi_model::{ExportTo, Resolution, TrafficRule};
    use meltemi_types::Code;
    use meltemi_types::Protocol::{self, Auto, Http, Mongo, Tcp, Tls, Udp};
    use serde_json::json;

    const HTTP_MATCH: &str = "raw_buffer http/1.1,h2c";

    fn cluster(number: u32, name: &str) -> String {
        format!("outbound|{number}||{name}.shop.svc.cluster.local")
    }

    #[test]
    fn each_protocol_lands_on_its_listener() {
        let all = Fixture::of(vec![
            service("web", "10.0.0.1", &[(80, Http), (53, Udp)]),
            service("api", "10.0.0.2", &[(80, Protocol::Grpc)]),
            service("db", "10.0.0.3", &[(5432, Tcp)]),
            service("any", "10.0.0.4", &[(80, Auto)]),
        ])
        .outbound();
        assert_eq!(
            all.names(),
            [
                "0.0.0.0_80",
                "10.0.0.3_5432",
                "10.0.0.4_80",
                "virtualOutbound"
            ]
        );
        assert_eq!(
            all.chains("0.0.0.0_80"),
            [
                format!("{HTTP_MATCH} -> http 80"),
                "default -> PassthroughCluster".into()
            ]
        );
        assert_eq!(
            all.chains("10.0.0.3_5432"),
            [format!("-> {}", cluster(5432, "db"))]
        );
        assert_eq!(
            all.chains("10.0.0.4_80"),
            [
                format!("{HTTP_MATCH} -> http any.shop.svc.cluster.local:80"),
                format!("default -> {}", cluster(80, "any"))
            ]
        );
        assert_eq!(
            all.chains("virtualOutbound"),
            ["port=15001 -> BlackHoleCluster", "-> PassthroughCluster"]
        );
        assert!(all.diagnostics.is_empty(), "{:?}", all.diagnostics);
        let web = all.get("0.0.0.0_80");
        assert_eq!(web.bind_to_port.map(|b| b.value), Some(false));
        assert!(web.continue_on_listener_filters_timeout);
        assert_eq!(web.listener_filters.len(), 1);
        assert!(all.get("10.0.0.3_5432").listener_filters.is_empty());
        assert!(all.get("virtualOutbound").bind_to_port.is_none());
        assert!(all.get("virtualOutbound").transparent.is_none());
    }

    #[test]
    fn registry_only_and_the_sidecars_policy_black_hole_the_unknown() {
        let mut fixture = Fixture::of(vec![service("web", "10.0.0.1", &[(80, Http)])]);
        fixture.mesh = Some(MeshConfig {
            outbound_traffic_policy: Some(OutboundTrafficPolicy {
                mode: Some(OutboundTrafficPolicyMode::RegistryOnly),
                egress_proxy: None,
            }),
            ..MeshConfig::defaults()
        });
        let all = fixture.outbound();
        assert_eq!(
            all.chains("virtualOutbound").last().unwrap(),
            "-> BlackHoleCluster"
        );
        assert_eq!(
            all.chains("0.0.0.0_80").last().unwrap(),
            "default -> BlackHoleCluster"
        );
        fixture.sidecar = Some(Sidecar {
            outbound_traffic_policy: Some(OutboundTrafficPolicy {
                mode: Some(OutboundTrafficPolicyMode::AllowAny),
                egress_proxy: None,
            }),
            ..Sidecar::default()
        });
        let all = fixture.outbound();
        assert_eq!(
            all.chains("virtualOutbound").last().unwrap(),
            "-> PassthroughCluster"
        );
    }

    #[test]
    fn headless_tcp_ports_have_a_listener_for_each_other_pod() {
        let mut fixture = Fixture::of(vec![service("db", "", &[(3306, Tcp), (80, Http)])]);
        fixture.endpoints = vec![(
            "db",
            3306,
            vec![
                endpoint("10.1.0.1", 3306),
                endpoint("10.1.0.2", 3306),
                endpoint("10.1.0.3", 3306),
            ],
        )];
        let all = fixture.outbound();
        assert_eq!(
            all.names(),
            [
                "0.0.0.0_80",
                "10.1.0.2_3306",
                "10.1.0.3_3306",
                "virtualOutbound"
            ]
        );
        fixture.endpoints.clear();
        assert_eq!(
            fixture.outbound().names(),
            ["0.0.0.0_80", "virtualOutbound"]
        );
        // The same for entries without resolution.
        let mut entry = service("pool", "", &[(7000, Auto)]);
        entry.kubernetes = false;
        let mut fixture = Fixture::of(vec![entry]);
        fixture.endpoints = vec![("pool", 7000, vec![endpoint("10.1.0.9", 7000)])];
        let all = fixture.outbound();
        assert_eq!(all.names(), ["10.1.0.9_7000", "virtualOutbound"]);
    }

    #[test]
    fn addresses_of_a_range_are_told_apart_on_the_shared_listener() {
        let mut ranged = service("lake", "", &[(9000, Tcp), (443, Tls), (8080, Auto)]);
        ranged.cidrs = ["10.8.0.0/16".parse().unwrap()].into_iter().collect();
        ranged.kubernetes = false;
        let all = Fixture::of(vec![ranged]).outbound();
        let to = "to=10.8.0.0/16";
        assert_eq!(
            all.chains("0.0.0.0_9000"),
            [
                format!("{to} -> {}", cluster(9000, "lake")),
                "default -> PassthroughCluster".into()
            ]
        );
        assert_eq!(
            all.chains("0.0.0.0_443"),
            [
                format!(
                    "{to} sni=lake.shop.svc.cluster.local -> {}",
                    cluster(443, "lake")
                ),
                "default -> PassthroughCluster".into()
            ]
        );
        assert_eq!(
            all.chains("0.0.0.0_8080"),
            [
                format!("{to} -> {}", cluster(8080, "lake")),
                format!("{HTTP_MATCH} -> http 8080"),
                "default -> PassthroughCluster".into()
            ]
        );
        assert_eq!(all.get("0.0.0.0_443").listener_filters.len(), 1);
    }

    #[test]
    fn entries_without_address_share_the_listener_by_server_name() {
        let entry = |name: &str, protocol| {
            let mut entry = service(name, "", &[(443, protocol)]);
            entry.kubernetes = false;
            entry.selector = None;
            entry.resolution = Resolution::Dns;
            entry
        };
        let mut fixture = Fixture::of(vec![entry("a", Tls), entry("b", Tls), entry("c", Tcp)]);
        let all = fixture.outbound();
        assert_eq!(
            all.chains("0.0.0.0_443"),
            [
                format!("sni=a.shop.svc.cluster.local -> {}", cluster(443, "a")),
                format!("sni=b.shop.svc.cluster.local -> {}", cluster(443, "b")),
                format!("default -> {}", cluster(443, "c")),
            ]
        );
        // A second service that takes everything cannot be told apart from the first.
        fixture.services.push(entry("d", Tcp));
        let all = fixture.outbound();
        assert_eq!(all.chains("0.0.0.0_443").len(), 3);
        let finding = &all.diagnostics[0];
        assert_eq!(finding.code, Code::ConflictingListener);
        assert!(finding.message.contains("port 443 of d.shop"), "{finding}");
        assert!(finding.message.contains("c.shop"), "{finding}");
    }

    #[test]
    fn protocols_in_which_the_server_speaks_first_are_never_sniffed() {
        let mut mongo = service("mongo", "", &[(80, Mongo)]);
        mongo.kubernetes = false;
        mongo.selector = None;
        let all = Fixture::of(vec![service("a", "10.0.0.1", &[(80, Http)]), mongo]).outbound();
        assert_eq!(all.chains("0.0.0.0_80").len(), 2);
        assert_eq!(all.diagnostics.len(), 1, "{:?}", all.diagnostics);
        let alone = service("mongo", "10.0.0.9", &[(27017, Mongo)]);
        let all = Fixture::of(vec![alone]).outbound();
        assert_eq!(
            all.chains("10.0.0.9_27017"),
            [format!(
                "-> envoy.filters.network.mongo_proxy {}",
                cluster(27017, "mongo")
            )]
        );
    }

    #[test]
    fn http_and_tcp_share_a_listener_where_they_can_be_told_apart() {
        let mut tcp = service("t", "", &[(80, Tcp)]);
        tcp.kubernetes = false;
        tcp.selector = None;
        let all = Fixture::of(vec![tcp, service("w", "10.0.0.1", &[(80, Http)])]).outbound();
        assert_eq!(
            all.chains("0.0.0.0_80"),
            [
                format!("{HTTP_MATCH} -> http 80"),
                format!("default -> {}", cluster(80, "t"))
            ]
        );
    }

    #[test]
    fn ports_of_the_proxy_itself_are_left_alone() {
        let web = service("web", "10.0.0.1", &[(15001, Http), (15090, Http)]);
        let all = Fixture::of(vec![web]).outbound();
        assert_eq!(all.names(), ["virtualOutbound"]);
        assert_eq!(all.diagnostics.len(), 2);
    }

    #[test]
    fn a_destination_rule_shapes_the_clients_tcp_proxy() {
        let mut fixture = Fixture::of(vec![service("db", "10.0.0.3", &[(5432, Tcp)])]);
        fixture.metadata = vec![("IDLE_TIMEOUT", json!("10m"))];
        let idle = |fixture: &Fixture| {
            let all = fixture.outbound();
            tcp_proxy(all.get("10.0.0.3_5432"))
        };
        assert_eq!(idle(&fixture).idle_timeout.unwrap().seconds, 600);
        fixture.rules = vec![TrafficRule {
            origins: vec![origin("DestinationRule", "db")],
            namespace: "shop".parse().unwrap(),
            host: "db.shop.svc.cluster.local".parse().unwrap(),
            selector: None,
            export_to: ExportTo::Public,
            policy: Some(
                TrafficPolicy {
                    connection_pool: Some(ConnectionPoolSettings {
                        tcp: Some(TcpSettings {
                            idle_timeout: Some(Duration::from_secs(5)),
                            max_connection_duration: Some(Duration::from_secs(60)),
                            ..TcpSettings::default()
                        }),
                        http: None,
                    }),
                    load_balancer: Some(LoadBalancerSettings {
                        consistent_hash: Some(ConsistentHashLb {
                            use_source_ip: Some(true),
                            ..ConsistentHashLb::default()
                        }),
                        ..LoadBalancerSettings::default()
                    }),
                    ..TrafficPolicy::default()
                }
                .into(),
            ),
            subsets: Vec::new(),
        }];
        let proxy = idle(&fixture);
        assert_eq!(proxy.idle_timeout.unwrap().seconds, 5);
        assert_eq!(proxy.hash_policy.len(), 1);
        let limit = proxy.max_downstream_connection_duration.unwrap();
        assert_eq!(limit.seconds, 60);
    }

    #[test]
    fn two_families_listen_at_both_addresses() {
        let mut fixture = Fixture::of(vec![
            service("db", "10.0.0.3,fd00::3", &[(5432, Tcp)]),
            service("web", "10.0.0.1,fd00::1", &[(80, Http)]),
        ]);
        fixture.metadata = vec![("INSTANCE_IPS", json!("10.1.0.1,fd00:1::1"))];
        let all = fixture.outbound();
        for name in ["10.0.0.3_5432", "0.0.0.0_80", "virtualOutbound"] {
            assert_eq!(all.get(name).additional_addresses.len(), 1, "{name}");
        }
        fixture.metadata = vec![("INSTANCE_IPS", json!("fd00:1::1"))];
        let all = fixture.outbound();
        assert_eq!(all.names(), ["::_80", "fd00::3_5432", "virtualOutbound"]);
    }

    #[test]
    fn no_two_listeners_share_an_address() {
        let mut fixture = Fixture::of(vec![
            service("a", "10.0.0.3,fd00::3", &[(5432, Tcp)]),
            service("b", "fd00::3", &[(5432, Tcp)]),
            service("c", "10.0.0.4,fd00::3", &[(5432, Tcp)]),
        ]);
        fixture.metadata = vec![("INSTANCE_IPS", json!("10.1.0.1,fd00:1::1"))];
        let all = fixture.outbound();
        let names = ["10.0.0.3_5432", "10.0.0.4_5432", "virtualOutbound"];
        assert_eq!(all.names(), names);
        assert!(all.get("10.0.0.4_5432").additional_addresses.is_empty());
        assert_eq!(all.diagnostics.len(), 1);
    }

    #[test]
    fn workloads_of_one_namespace_have_equal_outbound_listeners() {
        let fixture = Fixture::of(vec![
            service("web", "10.0.0.1", &[(80, Http)]),
            service("db", "10.0.0.3", &[(5432, Tcp)]),
        ]);
        let mut other = Fixture::of(fixture.services.clone());
        other.node = Some("sidecar~10.1.0.77~other-5.shop~shop.svc.cluster.local");
        assert_ne!(other.node, Some(NODE));
        assert_eq!(fixture.outbound().all, other.outbound().all);
    }

    #[test]
    fn tproxy_keeps_the_clients_address() {
        let mut fixture = Fixture::of(Vec::new());
        fixture.metadata = vec![("INTERCEPTION_MODE", json!("TPROXY"))];
        let all = fixture.outbound();
        let transparent = all.get("virtualOutbound").transparent;
        assert_eq!(transparent.map(|t| t.value), Some(true));
    }

    fn egress(number: u32, protocol: &str, bind: Option<&str>) -> IstioEgressListener {
        IstioEgressListener {
            port: Some(SidecarPort {
                number,
                protocol: Some(protocol.into()),
                ..SidecarPort::default()
            }),
            bind: bind.map(Into::into),
            hosts: vec!["*/*".into()],
            ..IstioEgressListener::default()
        }
    }

    fn with_sidecar(egress: Vec<IstioEgressListener>, mode: &str) -> Fixture {
        let mut fixture = Fixture::of(vec![
            service("web", "10.0.0.1", &[(80, Http)]),
            service("db", "10.0.0.3", &[(5432, Tcp)]),
        ]);
        fixture.sidecar = Some(Sidecar {
            egress,
            ..Sidecar::default()
        });
        fixture.metadata = vec![("INTERCEPTION_MODE", json!(mode))];
        fixture
    }

    #[test]
    fn without_interception_only_declared_listeners_are_there_and_bind() {
        let mut fixture = with_sidecar(
            vec![
                egress(80, "HTTP", Some("127.0.1.1")),
                egress(5432, "TCP", None),
                egress(9999, "HTTP", None),
            ],
            "NONE",
        );
        let other = service("db2", "10.0.0.4", &[(5432, Tcp)]);
        fixture.services.push(other);
        let all = fixture.outbound();
        assert_eq!(all.names(), ["127.0.0.1_5432", "127.0.1.1_80"]);
        assert_eq!(all.chains("127.0.1.1_80"), ["-> http 80"]);
        assert!(all.get("127.0.1.1_80").listener_filters.is_empty());
        assert!(all.get("127.0.1.1_80").bind_to_port.is_none());
        // The first service is served, the other cannot be told apart; nothing has port 9999.
        assert_eq!(
            all.chains("127.0.0.1_5432"),
            [format!("-> {}", cluster(5432, "db"))]
        );
        let codes: Vec<Code> = all.diagnostics.iter().map(|d| d.code).collect();
        assert_eq!(codes, [Code::UnknownPort, Code::ConflictingListener]);
        fixture.sidecar = None;
        assert!(fixture.outbound().names().is_empty());
    }

    #[test]
    fn a_declared_port_is_not_touched_by_the_catch_all() {
        let mut declared = egress(80, "HTTP", None);
        declared.hosts = vec!["shop/web.shop.svc.cluster.local".into()];
        let rest = IstioEgressListener {
            hosts: vec!["*/*".into()],
            ..IstioEgressListener::default()
        };
        let mut fixture = with_sidecar(vec![declared, rest], "REDIRECT");
        let mut tcp = service("t", "", &[(80, Tcp)]);
        tcp.kubernetes = false;
        tcp.selector = None;
        fixture.services.push(tcp);
        let all = fixture.outbound();
        assert_eq!(
            all.names(),
            ["0.0.0.0_80", "10.0.0.3_5432", "virtualOutbound"]
        );
        assert_eq!(
            all.chains("0.0.0.0_80").last().unwrap(),
            "default -> PassthroughCluster"
        );
    }

    #[test]
    fn unix_sockets_and_capture_mode_none_bind() {
        let mut captured = egress(80, "HTTP", None);
        captured.capture_mode = Some(CaptureMode::None);
        let fixture = with_sidecar(
            vec![
                egress(0, "HTTP", Some("unix:///tmp/a.sock")),
                captured,
                egress(9999, "HTTP_PROXY", None),
                egress(9090, "HTTP", Some("nonsense")),
            ],
            "REDIRECT",
        );
        let all = fixture.outbound();
        assert_eq!(
            all.names(),
            [
                "127.0.0.1_80",
                "127.0.0.1_9999",
                "unix:///tmp/a.sock",
                "virtualOutbound"
            ]
        );
        assert_eq!(
            all.chains("unix:///tmp/a.sock"),
            ["-> http unix:///tmp/a.sock"]
        );
        assert_eq!(all.chains("127.0.0.1_9999"), ["-> http http_proxy"]);
        assert_eq!(all.diagnostics[0].code, Code::InvalidValue);
    }

    #[test]
    fn a_declared_catch_all_binds_the_loopback_address_without_interception() {
        let rest = IstioEgressListener {
            hosts: vec!["*/*".into()],
            ..IstioEgressListener::default()
        };
        let mut fixture = with_sidecar(vec![egress(83, "", None), rest], "NONE");
        fixture
            .services
            .push(service("any", "10.0.0.9", &[(83, Auto)]));
        fixture.services.push(service("sub", "", &[(84, Auto)]));
        let mut dns = service("dns", "", &[(85, Auto), (80, Auto)]);
        dns.kubernetes = false;
        dns.selector = None;
        dns.resolution = Resolution::Dns;
        fixture.services.push(dns);
        let all = fixture.outbound();
        let names = ["5432", "80", "83", "84", "85"].map(|p| format!("127.0.0.1_{p}"));
        assert_eq!(all.names(), names);
        assert_eq!(
            all.chains("127.0.0.1_85"),
            [
                format!("{HTTP_MATCH} -> http dns.shop.svc.cluster.local:85"),
                format!("default -> {}", cluster(85, "dns"))
            ]
        );
    }

    #[test]
    fn an_http_proxy_is_on_the_loopback_address() {
        let mut fixture = Fixture::of(Vec::new());
        fixture.metadata = vec![("HTTP_PROXY_PORT", json!("15080"))];
        let all = fixture.outbound();
        assert_eq!(all.chains("127.0.0.1_15080"), ["-> http http_proxy"]);
        assert_eq!(port(15080).number(), 15080);
    }
}
