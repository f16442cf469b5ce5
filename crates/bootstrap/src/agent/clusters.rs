//! The clusters beside those of the control plane. Each has a name for statistics that ends at
//! `;`, where the tags cut.

use serde_json::{Map, Value, json};

/// A cluster of one address.
pub(super) fn tcp(name: &str, address: &str, port: u16) -> Value {
    let address = json!({"socket_address": {"address": address, "port_value": port}});
    Value::Object(cluster(name, &address, "0.25s"))
}

/// A cluster of one Unix socket, which speaks HTTP/2.
pub(super) fn pipe(name: &str, path: &str) -> Value {
    let mut cluster = cluster(name, &json!({"pipe": {"path": path}}), "1s");
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let http2 = json!({options: {
        "@type": format!("type.googleapis.com/{options}"),
        "explicit_http_config": {"http2_protocol_options": {}},
    }});
    cluster.insert("typed_extension_protocol_options".into(), http2);
    Value::Object(cluster)
}

/// The cluster with a name for statistics.
pub(super) fn named(mut cluster: Value) -> Value {
    let name = cluster.get("name").and_then(Value::as_str);
    let stat = format!("{};", name.unwrap_or_default());
    if let Some(cluster) = cluster.as_object_mut() {
        cluster.insert("alt_stat_name".into(), stat.into());
    }
    cluster
}

fn cluster(name: &str, address: &Value, timeout: &str) -> Map<String, Value> {
    let endpoint = json!({"endpoint": {"address": address}});
    let load = json!({"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]});
    Map::from_iter([
        ("name".to_owned(), json!(name)),
        ("alt_stat_name".to_owned(), json!(format!("{name};"))),
        ("type".to_owned(), json!("STATIC")),
        ("connect_timeout".to_owned(), json!(timeout)),
        ("load_assignment".to_owned(), load),
    ])
}
