//! Bootstraps without a control plane, as `envoy --mode validate` wants them: everything that
//! would arrive over ADS stands in the file.
//!
//! Envoy refuses `ads` in a static configuration, so what is asked for by name is put in place:
//! route configurations into the HTTP connection managers, load assignments into the clusters. The
//! surprise: a name that nothing answers becomes an empty answer, as the control plane gives it.
//! Secrets stay names, to be asked of the agent beside the proxy, whose cluster is added.

use crate::{AdminAddress, NodeFacts, SDS_CLUSTER, StatsScope, common};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The resources of one proxy, each as proto JSON in `snake_case`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    /// `envoy.config.cluster.v3.Cluster`.
    pub clusters: Vec<Value>,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`.
    pub endpoints: Vec<Value>,
    /// `envoy.config.listener.v3.Listener`.
    pub listeners: Vec<Value>,
    /// `envoy.config.route.v3.RouteConfiguration`.
    pub routes: Vec<Value>,
}

impl Resources {
    /// The bootstrap that holds all of them. Equal resources give equal bytes.
    #[must_use]
    pub fn static_form(self, node: &NodeFacts, admin: &AdminAddress) -> Value {
        let Self {
            mut clusters,
            endpoints,
            mut listeners,
            routes,
        } = self;
        let endpoints = by_name(endpoints, "cluster_name");
        let routes = by_name(routes, "name");
        for cluster in &mut clusters {
            inline_endpoints(cluster, &endpoints);
        }
        for listener in &mut listeners {
            inline_routes(listener, &routes);
        }
        let all = clusters.iter_mut().chain(&mut listeners);
        if ask_agent_all(all) {
            clusters.push(agent());
        }
        static_form(node, admin, listeners, clusters)
    }
}

/// Where Istio's agent answers, relative to Envoy's working directory.
const AGENT: &str = "./var/run/secrets/workload-spiffe-uds/socket";

/// As [`ask_agent`], for all of them: the first that asks does not end it.
fn ask_agent_all<'a>(values: impl Iterator<Item = &'a mut Value>) -> bool {
    values
        .filter_map(|value| ask_agent(value).then_some(()))
        .count()
        > 0
}

/// Secrets of the control plane are asked of the agent; true when any secret is asked of it.
fn ask_agent(value: &mut Value) -> bool {
    match value {
        Value::Array(items) => ask_agent_all(items.iter_mut()),
        Value::Object(fields) => {
            let own = fields.get_mut("sds_config").is_some_and(|config| {
                if config.get("ads").is_some() {
                    let service = json!({"envoy_grpc": {"cluster_name": SDS_CLUSTER}});
                    let api = json!({"api_type": "GRPC", "transport_api_version": "V3",
                        "grpc_services": [service]});
                    *config = json!({"api_config_source": api, "resource_api_version": "V3"});
                }
                true
            });
            let inner = fields.values_mut();
            inner.fold(own, |found, v| ask_agent(v) || found)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn agent() -> Value {
    let endpoint = json!({"endpoint": {"address": {"pipe": {"path": AGENT}}}});
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    json!({
        "name": SDS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {options: {
            "@type": format!("type.googleapis.com/{options}"),
            "explicit_http_config": {"http2_protocol_options": {}},
        }},
        "load_assignment": {
            "cluster_name": SDS_CLUSTER,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    })
}

/// A bootstrap of listeners and clusters that ask for nothing: the caller has put routes,
/// endpoints and secrets into them.
#[must_use]
pub fn static_form(
    node: &NodeFacts,
    admin: &AdminAddress,
    listeners: Vec<Value>,
    clusters: Vec<Value>,
) -> Value {
    let mut whole = common(node, admin, StatsScope::All);
    let statics = json!({"listeners": listeners, "clusters": clusters});
    whole.insert("static_resources".into(), statics);
    Value::Object(whole)
}

/// The first of each name counts.
fn by_name(resources: Vec<Value>, field: &str) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for resource in resources {
        let name = text(&resource, field);
        all.entry(name).or_insert(resource);
    }
    all
}

fn text(object: &Value, field: &str) -> String {
    let text = object.get(field).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// An EDS cluster becomes a static one with the endpoints it would be sent.
fn inline_endpoints(cluster: &mut Value, endpoints: &BTreeMap<String, Value>) {
    if cluster.get("type").and_then(Value::as_str) != Some("EDS") {
        return;
    }
    let Some(cluster) = cluster.as_object_mut() else {
        return;
    };
    let own = cluster.get("name").and_then(Value::as_str);
    let own = own.unwrap_or_default().to_owned();
    let eds = cluster.remove("eds_cluster_config").unwrap_or_default();
    let wanted = match text(&eds, "service_name") {
        service if service.is_empty() => &own,
        service => &service.clone(),
    };
    let empty = || json!({"cluster_name": own});
    let assignment = endpoints.get(wanted).cloned().unwrap_or_else(empty);
    cluster.insert("type".into(), "STATIC".into());
    cluster.insert("load_assignment".into(), assignment);
}

/// Every `rds`, however deep, becomes the `route_config` that it asks for.
fn inline_routes(value: &mut Value, routes: &BTreeMap<String, Value>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|i| inline_routes(i, routes)),
        Value::Object(fields) => {
            if fields.get("rds").is_some_and(Value::is_object) {
                inline_route(fields, routes);
            }
            fields.values_mut().for_each(|v| inline_routes(v, routes));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn inline_route(manager: &mut Map<String, Value>, routes: &BTreeMap<String, Value>) {
    let rds = manager.remove("rds").unwrap_or_default();
    let name = text(&rds, "route_config_name");
    let empty = || json!({"name": name});
    let route = routes.get(&name).cloned().unwrap_or_else(empty);
    manager.insert("route_config".into(), route);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(resources: Resources) -> Value {
        let node = NodeFacts::new(
            "sidecar~127.0.0.1~a.b~b.svc.cluster.local".into(),
            "a".into(),
        );
        let admin = AdminAddress {
            address: "127.0.0.1".into(),
            port: 0,
        };
        resources.static_form(&node, &admin)
    }

    #[test]
    fn endpoints_come_by_service_name_then_by_name_then_empty() {
        let eds = |name: &str, service: &str| {
            let config = json!({"service_name": service, "eds_config": {"ads": {}}});
            json!({"name": name, "type": "EDS", "eds_cluster_config": config})
        };
        let all = |name: &str| json!({"cluster_name": name, "endpoints": [{"priority": 1}]});
        let whole = form(Resources {
            clusters: vec![eds("a", "x"), eds("b", ""), eds("c", "gone")],
            endpoints: vec![all("x"), all("b")],
            ..Resources::default()
        });
        let clusters = &whole["static_resources"]["clusters"];
        assert_eq!(clusters[0]["load_assignment"], all("x"));
        assert_eq!(clusters[1]["load_assignment"], all("b"));
        assert_eq!(clusters[2]["load_assignment"], json!({"cluster_name": "c"}));
        assert_eq!(clusters[2]["type"], "STATIC");
        assert!(!whole.to_string().contains("ads"), "{whole}");
    }

    #[test]
    fn secrets_are_asked_of_the_agent() {
        let secret = json!({"name": "kubernetes://c", "sds_config": {"ads": {}}});
        let whole = form(Resources {
            listeners: vec![json!({"name": "l", "tls": [secret]})],
            clusters: vec![json!({"name": "p"})],
            ..Resources::default()
        });
        let statics = &whole["static_resources"];
        assert_eq!(statics["clusters"][1]["name"], SDS_CLUSTER);
        let config = &statics["listeners"][0]["tls"][0]["sds_config"]["api_config_source"];
        let service = &config["grpc_services"][0]["envoy_grpc"];
        assert_eq!(service["cluster_name"], SDS_CLUSTER);
        assert!(!whole.to_string().contains("ads\""), "{whole}");
    }

    #[test]
    fn clusters_that_ask_for_nothing_stay() {
        let cluster = json!({"name": "p", "type": "ORIGINAL_DST"});
        let whole = form(Resources {
            clusters: vec![cluster.clone()],
            ..Resources::default()
        });
        assert_eq!(whole["static_resources"]["clusters"][0], cluster);
    }

    #[test]
    fn routes_are_put_into_every_manager() {
        let manager = |route: &str| {
            let rds = json!({"route_config_name": route, "config_source": {"ads": {}}});
            json!({"filters": [{"typed_config": {"stat_prefix": "s", "rds": rds}}]})
        };
        let listener = json!({
            "name": "l",
            "filter_chains": [manager("80")],
            "default_filter_chain": manager("gone"),
        });
        let route = json!({"name": "80", "virtual_hosts": [{"name": "v", "domains": ["*"]}]});
        let whole = form(Resources {
            listeners: vec![listener],
            routes: vec![route.clone()],
            ..Resources::default()
        });
        let listener = &whole["static_resources"]["listeners"][0];
        let config = |chain: &Value| chain["filters"][0]["typed_config"].clone();
        let found = config(&listener["filter_chains"][0]);
        assert_eq!(found, json!({"stat_prefix": "s", "route_config": route}));
        let found = config(&listener["default_filter_chain"]);
        assert_eq!(found["route_config"], json!({"name": "gone"}));
    }
}
