//! One test per trap: what Envoy 1.40 refused is reported, the nearest thing that it took is not.

use super::*;
use meltemi_proto::pool;
use prost::{Message, Name};
use serde_json::{Value, json};

mod cluster;
mod endpoint;
mod filter;
mod listener;
mod rbac;
mod route;

const TYPES: &str = "type.googleapis.com";

/// What is told about a resource that is written as JSON.
pub(super) struct Told(Vec<String>);

impl Told {
    /// Envoy takes it.
    #[track_caller]
    fn is_taken(&self) {
        assert_eq!(self.0, Vec::<String>::new());
    }

    /// Envoy refuses it; one of the problems has these words.
    #[track_caller]
    fn is_refused(&self, words: &str) {
        assert!(
            self.0.iter().any(|problem| problem.contains(words)),
            "{words:?} is not in {:#?}",
            self.0
        );
    }
}

fn told<M: Message + Name + Default>(value: &Value, verify: fn(&M, &[u8]) -> Vec<String>) -> Told {
    let body = pool::from_json(&M::full_name(), value).unwrap();
    Told(verify(&M::decode(body.as_slice()).unwrap(), &body))
}

fn a_cluster(mut value: Value) -> Told {
    value["name"] = "c".into();
    told(&value, super::cluster)
}

fn an_assignment(mut value: Value) -> Told {
    value["cluster_name"] = "c".into();
    told(&value, super::endpoint)
}

fn a_listener(mut value: Value) -> Told {
    value["name"] = "l".into();
    if value.get("address").is_none() {
        value["address"] = socket("127.0.0.1", 0);
    }
    told(&value, super::listener)
}

fn a_table(value: &Value) -> Told {
    told(value, super::route)
}

/// A table of one route that matches everything.
fn a_route(route: Value) -> Told {
    a_table(&table(route))
}

fn table(mut route: Value) -> Value {
    if route.get("match").is_none() {
        route["match"] = json!({ "prefix": "/" });
    }
    json!({ "virtual_hosts": [{ "name": "v", "domains": ["*"], "routes": [route] }] })
}

/// A listener of one chain with these filters.
fn with_filters(filters: Value) -> Told {
    a_listener(json!({ "filter_chains": [{ "filters": filters }] }))
}

/// A listener with a connection manager that has these HTTP filters before its router.
fn with_http_filters(filters: Vec<Value>) -> Told {
    with_filters(json!([manager(json!({ "virtual_hosts": [] }), filters)]))
}

fn manager(mut routes: Value, mut filters: Vec<Value>) -> Value {
    routes["validate_clusters"] = false.into();
    filters.push(filter("http.router.v3.Router", json!({})));
    let config = json!({ "stat_prefix": "s", "route_config": routes, "http_filters": filters });
    filter(
        "network.http_connection_manager.v3.HttpConnectionManager",
        config,
    )
}

fn tcp_proxy() -> Value {
    let config = json!({ "stat_prefix": "s", "cluster": "c" });
    filter("network.tcp_proxy.v3.TcpProxy", config)
}

fn filter(name: &str, config: Value) -> Value {
    extension(&format!("envoy.extensions.filters.{name}"), config)
}

fn extension(name: &str, mut config: Value) -> Value {
    config["@type"] = format!("{TYPES}/{name}").into();
    json!({ "name": name, "typed_config": config })
}

fn template(template: &str) -> Value {
    extension(
        "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig",
        json!({ "path_template": template }),
    )
}

fn socket(address: &str, port: u32) -> Value {
    json!({ "socket_address": { "address": address, "port_value": port } })
}

fn endpoint_at(address: &str) -> Value {
    json!({ "endpoint": { "address": socket(address, 80) } })
}

#[test]
fn problems_name_the_path_and_the_value() {
    let told = a_route(json!({ "route": { "cluster": "c" },
        "request_headers_to_add": [{ "header": { "key": "x", "value": "100%" } }] }));
    assert_eq!(
        told.0,
        [
            "virtual_hosts[0].routes[0].request_headers_to_add[0].header.value must be a format \
             without a lone percent sign (write %% for one), not \"100%\""
        ]
    );
}

#[test]
fn bytes_that_are_no_message_are_reported() {
    let bytes = [0xff_u8, 0xff];
    assert!(!super::listener(&Listener::default(), &bytes).is_empty());
    let any = json!({ "@type": format!("{TYPES}/envoy.config.cluster.v3.Cluster") });
    let mut body = pool::from_json(
        &Listener::full_name(),
        &json!({ "name": "l", "filter_chains": [{ "filters": [{ "name": "f", "typed_config": any }] }] }),
    )
    .unwrap();
    let mut message = Listener::decode(body.as_slice()).unwrap();
    let config = meltemi_proto::google::protobuf::Any {
        type_url: format!("{TYPES}/envoy.config.cluster.v3.Cluster"),
        value: bytes.to_vec().into(),
    };
    message.filter_chains[0].filters[0].config_type =
        Some(meltemi_proto::envoy::config::listener::v3::filter::ConfigType::TypedConfig(config));
    body.clear();
    message.encode(&mut body).unwrap();
    Told(super::listener(&message, &body)).is_refused("typed_config the bytes are not a envoy");
}
