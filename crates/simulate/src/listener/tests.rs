//! Calls from the socket to the cluster.

use super::*;
use crate::testing::{encoded, http_by_name, tcp_proxy, tls, tls_inspector};
use meltemi_types::xds::{CLUSTER, LISTENER, ROUTE};
use meltemi_types::{ClusterId, ObjectRef};
use serde_json::{Value, json};
use std::sync::Arc;

fn at(name: &str, address: &str, chains: &Value) -> meltemi_proto::resource::Encoded {
    let port = name
        .rsplit_once('_')
        .map_or(15001, |(_, port)| port.parse().unwrap());
    let value = json!({
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": chains,
        "listener_filters": [tls_inspector()],
    });
    encoded(LISTENER, &value)
}

fn origin(name: &str) -> Origin {
    let object = ObjectRef {
        cluster: ClusterId::default(),
        kind: "VirtualService".into(),
        namespace: Some("shop".parse().unwrap()),
        name: name.parse().unwrap(),
    };
    Origin::object(Arc::new(object), None)
}

fn config() -> Config {
    let path = "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/b";
    let routes = encoded(
        ROUTE,
        &json!({"name": "80", "virtual_hosts": [{
            "name": "a:80", "domains": ["a"], "routes": [{
                "name": "first", "match": {"prefix": "/"}, "route": {"cluster": "c"},
                "metadata": {"filter_metadata": {"istio": {"config": path}}},
            }],
        }]}),
    );
    let chain = |filter: &Value| json!([{"name": "only", "filters": [filter]}]);
    let secure = json!([
        {"name": "http", "filter_chain_match": {"destination_port": 80},
         "transport_socket": tls("default", true), "filters": [http_by_name("80")]},
        {"name": "tcp", "filters": [tcp_proxy("in")]},
    ]);
    let resources = [
        at("10.0.0.1_80", "10.0.0.1", &chain(&tcp_proxy("exact"))),
        at("0.0.0.0_80", "0.0.0.0", &chain(&http_by_name("80"))),
        at("0.0.0.0_81", "0.0.0.0", &chain(&http_by_name("81"))),
        at("0.0.0.0_82", "0.0.0.0", &chain(&json!({"name": "echo"}))),
        at(
            "virtualOutbound",
            "0.0.0.0",
            &chain(&tcp_proxy("PassthroughCluster")),
        ),
        at("virtualInbound", "0.0.0.0", &secure),
        routes.with_origins([origin("a"), origin("b")].into()),
        encoded(CLUSTER, &json!({"name": "c"})).with_origins([origin("a")].into()),
    ];
    Config::decode(&resources).unwrap()
}

fn http(port: u32) -> Call {
    Call {
        protocol: Protocol::Http,
        host: "a".into(),
        ..Call::new(port)
    }
}

#[test]
fn the_exact_address_comes_first_and_the_catch_all_last() {
    let config = config();
    let exact = Call {
        address: "10.0.0.1".parse().unwrap(),
        ..http(80)
    };
    assert_eq!(config.simulate(&exact).cluster, "exact");
    assert_eq!(config.simulate(&http(80)).cluster, "c");
    let rest = config.simulate(&http(9999));
    assert_eq!(rest.listener, "virtualOutbound");
    assert_eq!(rest.cluster, "PassthroughCluster");
    let none = Config::default().simulate(&http(80));
    assert_eq!(none.error, Some(CallError::NoListener));
}

#[test]
fn a_request_names_all_that_decided() {
    let outcome = config().simulate(&http(80));
    assert_eq!(outcome.error, None);
    assert_eq!(outcome.listener, "0.0.0.0_80");
    assert_eq!(outcome.filter_chain, "only");
    assert_eq!(outcome.route_config, "80");
    assert_eq!(outcome.virtual_host, "a:80");
    assert_eq!(outcome.route, "first");
    assert_eq!(outcome.origins, [origin("b"), origin("a")]);
}

#[test]
fn http_is_read_only_where_it_can_be() {
    let config = config();
    let error = |call: &Call| config.simulate(call).error;
    let protocol = Some(CallError::ProtocolError);
    assert_eq!(error(&Call::new(80)), protocol);
    assert_eq!(
        error(&Call {
            tls: Tls::Tls,
            ..http(80)
        }),
        protocol
    );
    assert_eq!(error(&http(81)), Some(CallError::NoVirtualHost));
    assert_eq!(error(&http(82)), Some(CallError::Unsupported));
}

#[test]
fn inbound_calls_meet_the_inbound_listener() {
    let config = config();
    let inbound = |tls, port| Call {
        direction: Direction::Inbound,
        tls,
        ..http(port)
    };
    let mutual = config.simulate(&inbound(Tls::Mutual, 80));
    assert_eq!((mutual.error, mutual.cluster.as_str()), (None, "c"));
    let error = |tls| config.simulate(&inbound(tls, 80)).error;
    assert_eq!(error(Tls::Plaintext), Some(CallError::TlsError));
    assert_eq!(error(Tls::Tls), Some(CallError::MtlsError));
    assert_eq!(config.simulate(&inbound(Tls::Plaintext, 90)).cluster, "in");
}

#[test]
fn bytes_that_are_no_message_are_refused_by_name() {
    let broken = meltemi_proto::resource::Encoded::new("x", LISTENER, vec![0xff]);
    let error = Config::decode([&broken]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("Listener x cannot be decoded"),
        "{error}"
    );
}
