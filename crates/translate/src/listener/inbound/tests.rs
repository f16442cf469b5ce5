//! Inbound listeners of workloads: chains by port, protocol and mTLS mode.

use crate::testing_listener::{Fixture, Listeners, age, origin, port, service};
use meltemi_api::networking::sidecar::{
    CaptureMode, IstioEgressListener, IstioIngressListener, Sidecar, SidecarPort,
};
use meltemi_model::SecurityIndex;
use meltemi_model::security::{Guard, MtlsMode, PeerPolicy};
use meltemi_proto::envoy::config::listener::v3::listener_filter_chain_match_predicate::Rule;
use meltemi_types::Code;
use meltemi_types::Protocol::{Auto, Http, Tcp, Udp};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

fn web() -> Fixture {
    Fixture::of(vec![service(
        "web",
        "10.0.0.1",
        &[(80, Http), (81, Tcp), (82, Auto), (53, Udp)],
    )])
}

fn peer(mode: MtlsMode, ports: &[(u32, MtlsMode)]) -> SecurityIndex {
    let ports = ports.iter().map(|(p, m)| (port(*p), Some(*m)));
    SecurityIndex {
        peers: vec![Arc::new(PeerPolicy {
            origin: origin("PeerAuthentication", "peer"),
            age: age(1, "peer"),
            namespace: "shop".parse().unwrap(),
            selector: Some(meltemi_types::Selector::default()),
            mode: Some(mode),
            ports: ports.collect::<BTreeMap<_, _>>(),
        })],
        guards: Vec::new(),
    }
}

const PASSTHROUGH: [&str; 4] = [
    "port=15006 -> BlackHoleCluster",
    "raw_buffer http/1.1,h2c -> http InboundPassthroughCluster",
    "raw_buffer -> InboundPassthroughCluster",
    "tls -> InboundPassthroughCluster",
];

fn own(all: &Listeners) -> Vec<String> {
    let chains = all.chains("virtualInbound");
    chains.into_iter().filter(|c| c.contains("80")).collect()
}

#[test]
fn each_port_has_the_chains_of_its_protocol() {
    let all = web().inbound();
    assert_eq!(all.names(), ["virtualInbound"]);
    let chains = all.chains("virtualInbound");
    assert_eq!(chains[..4], PASSTHROUGH);
    assert_eq!(
        chains[4..],
        [
            "port=8080 raw_buffer -> http inbound|8080||",
            "port=8081 tls -> inbound|8081||",
            "port=8081 raw_buffer -> inbound|8081||",
            "port=8082 raw_buffer http/1.1,h2c -> http inbound|8082||",
            "port=8082 raw_buffer -> inbound|8082||",
            "port=8082 tls -> inbound|8082||",
        ]
    );
    assert!(all.diagnostics.is_empty());
    let listener = all.get("virtualInbound");
    let names: Vec<&str> = listener
        .filter_chains
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(names[1], "virtualInbound-catchall-http");
    assert_eq!(names[4], "0.0.0.0_8080");
}

#[test]
fn inspectors_stay_away_from_ports_that_do_not_need_them() {
    let all = web().inbound();
    let filters = &all.get("virtualInbound").listener_filters;
    let names: Vec<&str> = filters.iter().map(|f| f.name.as_str()).collect();
    let known = "envoy.filters.listener.";
    assert_eq!(
        names,
        ["original_dst", "tls_inspector", "http_inspector"].map(|n| format!("{known}{n}"))
    );
    let disabled = |index: usize| filters[index].filter_disabled.clone().unwrap().rule;
    // TLS: HTTP port 8080 and 15006 need it not; HTTP: neither do they, nor TCP port 8081.
    let Some(Rule::OrMatch(tls)) = disabled(1) else {
        panic!("several ports")
    };
    let Some(Rule::OrMatch(http)) = disabled(2) else {
        panic!("several ports")
    };
    assert_eq!((tls.rules.len(), http.rules.len()), (2, 3));
}

#[test]
fn the_oldest_service_of_a_port_decides() {
    let mut fixture = web();
    let mut young = service("young", "10.0.0.9", &[(80, Tcp)]);
    young.age = age(9, "young");
    young.selector = fixture.services[0].selector.clone();
    fixture.services.push(young);
    let all = fixture.inbound();
    let chains = all.chains("virtualInbound");
    let port = chains.iter().filter(|c| c.contains("port=8080 "));
    assert_eq!(port.count(), 1);
}

#[test]
fn strict_ports_of_a_proxy_without_certificate_refuse_everything() {
    let mut fixture = web();
    fixture.security = peer(MtlsMode::Permissive, &[(8080, MtlsMode::Strict)]);
    let all = fixture.inbound();
    assert_eq!(
        own(&all)[0],
        "port=8080 raw_buffer -> denied http inbound|8080||"
    );
    assert_eq!(own(&all)[1], "port=8081 tls -> inbound|8081||");
    let [finding] = all.diagnostics.as_slice() else {
        panic!("{:?}", all.diagnostics)
    };
    assert_eq!(finding.code, Code::PolicyNotUnderstood);
    assert!(finding.is_error() && finding.message.contains("port 8080"));

    fixture.security = peer(MtlsMode::Strict, &[(8081, MtlsMode::Disable)]);
    let all = fixture.inbound();
    let denied = "envoy.filters.network.rbac";
    assert_eq!(
        all.chains("virtualInbound")[1..],
        [
            "raw_buffer http/1.1,h2c -> denied http InboundPassthroughCluster".to_owned(),
            format!("raw_buffer -> {denied} InboundPassthroughCluster"),
            "port=8080 raw_buffer -> denied http inbound|8080||".into(),
            "port=8081 raw_buffer -> inbound|8081||".into(),
            "port=8082 raw_buffer http/1.1,h2c -> denied http inbound|8082||".into(),
            format!("port=8082 raw_buffer -> {denied} inbound|8082||"),
        ]
    );
    assert_eq!(all.diagnostics.len(), 1);
}

fn certified() -> Fixture {
    let mut fixture = web();
    fixture.metadata = vec![("MELTEMI_CERTIFICATES", json!("SDS"))];
    fixture
}

#[test]
fn a_proxy_with_a_certificate_takes_mtls_and_plaintext_unless_told_otherwise() {
    let all = certified().inbound();
    let istio = "istio-peer-exchange,istio,istio-http/1.0,istio-http/1.1,istio-h2";
    let chains = all.chains("virtualInbound");
    assert_eq!(
        chains[1..],
        [
            "tls istio-http/1.0,istio-http/1.1,istio-h2 -> http InboundPassthroughCluster",
            "raw_buffer http/1.1,h2c -> http InboundPassthroughCluster",
            "tls istio-peer-exchange,istio -> InboundPassthroughCluster",
            "raw_buffer -> InboundPassthroughCluster",
            "tls -> InboundPassthroughCluster",
            &format!("port=8080 tls {istio} -> http inbound|8080||"),
            "port=8080 raw_buffer -> http inbound|8080||",
            &format!("port=8081 tls {istio} -> inbound|8081||"),
            "port=8081 tls -> inbound|8081||",
            "port=8081 raw_buffer -> inbound|8081||",
            "port=8082 tls istio-http/1.0,istio-http/1.1,istio-h2 -> http inbound|8082||",
            "port=8082 raw_buffer http/1.1,h2c -> http inbound|8082||",
            "port=8082 tls istio-peer-exchange,istio -> inbound|8082||",
            "port=8082 raw_buffer -> inbound|8082||",
            "port=8082 tls -> inbound|8082||",
        ]
    );
    let ends = all.get("virtualInbound").filter_chains.iter();
    let ends: Vec<bool> = ends.map(|c| c.transport_socket.is_some()).collect();
    assert_eq!(ends.iter().filter(|ends| **ends).count(), 6);
}

#[test]
fn a_strict_port_takes_mtls_alone() {
    let mut fixture = certified();
    fixture.security = peer(MtlsMode::Strict, &[(8081, MtlsMode::Disable)]);
    let all = fixture.inbound();
    assert_eq!(
        all.chains("virtualInbound")[1..],
        [
            "tls istio-http/1.0,istio-http/1.1,istio-h2 -> http InboundPassthroughCluster",
            "tls -> InboundPassthroughCluster",
            "port=8080 tls -> http inbound|8080||",
            "port=8081 raw_buffer -> inbound|8081||",
            "port=8082 tls istio-http/1.0,istio-http/1.1,istio-h2 -> http inbound|8082||",
            "port=8082 tls -> inbound|8082||",
        ]
    );
    assert!(all.diagnostics.is_empty());
}

fn with_tls(number: u32, protocol: &str) -> IstioIngressListener {
    let tls = "{mode: SIMPLE, serverCertificate: c.pem, privateKey: k.pem}";
    IstioIngressListener {
        tls: serde_yaml::from_str(tls).unwrap(),
        ..ingress(number, protocol, None)
    }
}

#[test]
fn the_tls_of_a_listener_is_in_force_where_mtls_is_not_admitted() {
    let mut fixture = certified();
    let ports = [9080, 9081].map(|port| (port, MtlsMode::Disable));
    fixture.security = peer(MtlsMode::Strict, &ports);
    fixture.sidecar = Some(Sidecar {
        ingress: vec![
            with_tls(9080, "HTTPS"),
            with_tls(9081, "TLS"),
            with_tls(9082, "HTTPS"),
        ],
        ..Sidecar::default()
    });
    let all = fixture.inbound();
    assert_eq!(
        all.chains("virtualInbound")[3..],
        [
            "port=9080 tls -> http inbound|9080||",
            "port=9081 tls -> inbound|9081||",
            "port=9082 tls -> inbound|9082||",
        ]
    );
    let codes: Vec<Code> = all.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(codes, [Code::IgnoredField]);
    let names = |index: usize| {
        use meltemi_proto::envoy::config::core::v3::transport_socket::ConfigType;
        use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext;
        let chain = all.get("virtualInbound").filter_chains[index].clone();
        let Some(ConfigType::TypedConfig(any)) = chain.transport_socket.unwrap().config_type else {
            panic!("typed")
        };
        let context: DownstreamTlsContext = meltemi_proto::any::unpack(&any).unwrap();
        let secrets = context.common_tls_context.unwrap();
        let secrets = secrets.tls_certificate_sds_secret_configs;
        let client = context.require_client_certificate.unwrap().value;
        (secrets[0].name.clone(), client)
    };
    assert_eq!(names(3), ("file-cert:c.pem~k.pem".to_owned(), false));
    assert_eq!(names(5), ("default".to_owned(), true));
}

#[test]
fn a_mode_for_a_port_that_nobody_declared_has_chains_of_its_own() {
    let mut fixture = web();
    fixture.security = peer(MtlsMode::Permissive, &[(9999, MtlsMode::Disable)]);
    let all = fixture.inbound();
    let chains = all.chains("virtualInbound");
    let own: Vec<&String> = chains.iter().filter(|c| c.contains("9999")).collect();
    assert_eq!(
        own,
        [
            "port=9999 raw_buffer http/1.1,h2c -> http InboundPassthroughCluster",
            "port=9999 raw_buffer -> InboundPassthroughCluster",
        ]
    );
}

#[test]
fn a_policy_that_is_not_understood_denies_every_port() {
    let mut fixture = web();
    fixture.security.guards = vec![Arc::new(Guard {
        origin: origin("AuthorizationPolicy", "allow"),
        namespace: "shop".parse().unwrap(),
        selector: None,
    })];
    let all = fixture.inbound();
    let open = all.chains("virtualInbound").into_iter().filter(|c| {
        !c.contains("denied") && !c.contains("rbac") && !c.contains("BlackHoleCluster")
    });
    assert_eq!(open.collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(all.diagnostics.len(), 1);
    let origin = all.diagnostics[0].origin.clone().unwrap();
    assert_eq!(origin.object.kind.as_ref(), "AuthorizationPolicy");
}

fn ingress(number: u32, protocol: &str, bind: Option<&str>) -> IstioIngressListener {
    IstioIngressListener {
        port: Some(SidecarPort {
            number,
            protocol: Some(protocol.into()),
            ..SidecarPort::default()
        }),
        bind: bind.map(Into::into),
        default_endpoint: Some("127.0.0.1:8080".into()),
        ..IstioIngressListener::default()
    }
}

#[test]
fn a_sidecars_ingress_replaces_the_services_ports() {
    let mut fixture = web();
    let mut bound = ingress(9081, "TCP", None);
    bound.capture_mode = Some(CaptureMode::None);
    fixture.sidecar = Some(Sidecar {
        ingress: vec![
            ingress(9080, "HTTP", None),
            bound,
            ingress(9080, "TCP", None),
        ],
        ..Sidecar::default()
    });
    let all = fixture.inbound();
    assert_eq!(all.names(), ["10.1.0.1_9081", "virtualInbound"]);
    let chains = all.chains("virtualInbound");
    assert_eq!(chains[4..], ["port=9080 raw_buffer -> http inbound|9080||"]);
    let named = &all.get("virtualInbound").filter_chains[4].name;
    assert_eq!(named, "10.1.0.1_9080");
}

#[test]
fn without_interception_ingress_binds_and_nothing_else_is_there() {
    let mut fixture = web();
    fixture.metadata = vec![("INTERCEPTION_MODE", json!("NONE"))];
    assert!(fixture.inbound().names().is_empty());
    fixture.sidecar = Some(Sidecar {
        ingress: vec![
            ingress(9080, "HTTP", None),
            ingress(9081, "", Some("127.0.1.7")),
            ingress(9082, "HTTP", Some("unix:///no")),
            ingress(9083, "HTTP", Some("127.0.1.7")),
        ],
        egress: vec![IstioEgressListener {
            port: Some(SidecarPort {
                number: 9083,
                ..SidecarPort::default()
            }),
            bind: Some("127.0.1.7".into()),
            ..IstioEgressListener::default()
        }],
        ..Sidecar::default()
    });
    let all = fixture.inbound();
    assert_eq!(all.names(), ["10.1.0.1_9080", "127.0.1.7_9081"]);
    assert_eq!(
        all.chains("10.1.0.1_9080"),
        ["raw_buffer -> http inbound|9080||"]
    );
    assert_eq!(
        all.chains("127.0.1.7_9081"),
        [
            "raw_buffer http/1.1,h2c -> http inbound|9081||",
            "raw_buffer -> inbound|9081||",
            "tls -> inbound|9081||"
        ]
    );
    let listener = all.get("10.1.0.1_9080");
    assert!(listener.bind_to_port.is_none() && listener.listener_filters.is_empty());
    let codes: Vec<Code> = all.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(codes, [Code::InvalidValue, Code::ConflictingListener]);
}

#[test]
fn only_sidecars_have_listeners() {
    let mut fixture = web();
    fixture.node = Some("router~10.1.0.1~gw-0.shop~shop.svc.cluster.local");
    assert!(fixture.inbound().names().is_empty());
    assert!(fixture.outbound().names().is_empty());
}

#[test]
fn tproxy_keeps_the_clients_address() {
    let mut fixture = web();
    fixture.metadata = vec![("INTERCEPTION_MODE", json!("TPROXY"))];
    let all = fixture.inbound();
    let listener = all.get("virtualInbound");
    assert!(listener.transparent.is_some());
    let second = &listener.listener_filters[1].name;
    assert_eq!(second, "envoy.filters.listener.original_src");
}
