//! The proxy of a scenario, as it would describe itself.

use super::schema::{ProxyEntry, ProxyType};
use crate::node::Node;
use meltemi_model::proxy::NodeFacts;
use meltemi_types::Locality;
use serde_json::{Map, Value};

/// What the proxy says.
pub(super) fn node(proxy: &ProxyEntry) -> Node {
    let kind = match proxy.kind {
        ProxyType::Sidecar => "sidecar",
        ProxyType::Router => "router",
        ProxyType::Waypoint => "waypoint",
    };
    let namespace = proxy.namespace.as_deref().unwrap_or("default");
    let ip = proxy
        .ips
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    let id = match &proxy.id {
        Some(id) => id.clone(),
        None => format!("proxy.{namespace}"),
    };
    let id = format!("{kind}~{ip}~{id}~{namespace}.svc.cluster.local");
    let place = proxy.locality.as_deref().unwrap_or_default();
    let mut place = place.split('/').map(std::sync::Arc::from);
    let mut next = || place.next().unwrap_or_default();
    let locality = Locality {
        region: next(),
        zone: next(),
        subzone: next(),
    };
    let facts = NodeFacts {
        id,
        metadata: metadata(proxy, namespace),
        locality,
        extensions: Vec::new(),
    };
    Node::new(facts, format!("proxy.{namespace}"))
}

fn metadata(proxy: &ProxyEntry, namespace: &str) -> Map<String, Value> {
    let mut all = Map::new();
    // Expectations are written for proxies that are in the mesh with all that belongs to it.
    all.insert("MELTEMI_CERTIFICATES".into(), "SDS".into());
    let given = proxy.metadata.iter();
    all.extend(given.map(|(field, value)| (key(field), plain(value))));
    let ips: Vec<String> = proxy.ips.iter().map(ToString::to_string).collect();
    let mut put = |key: &str, value: Option<Value>| {
        all.extend(value.map(|value| (key.to_owned(), value)));
    };
    put(
        "INSTANCE_IPS",
        (!ips.is_empty()).then(|| ips.join(",").into()),
    );
    let own = proxy.metadata_namespace.as_deref();
    put("NAMESPACE", Some(own.unwrap_or(namespace).into()));
    let labels = proxy.labels.iter();
    let labels: Map<String, Value> = labels
        .map(|(k, v)| (k.clone(), v.as_str().into()))
        .collect();
    put(
        "LABELS",
        (!labels.is_empty()).then_some(Value::Object(labels)),
    );
    put("CLUSTER_ID", proxy.cluster_id.as_deref().map(Value::from));
    put("NETWORK", proxy.network.as_deref().map(Value::from));
    put(
        "INTERCEPTION_MODE",
        proxy.interception_mode.as_deref().map(Value::from),
    );
    all
}

/// `DNSAutoAllocate` becomes `DNS_AUTO_ALLOCATE`; what is written like that already stays.
fn key(field: &str) -> String {
    if !field.contains(|c: char| c.is_ascii_lowercase()) {
        return field.to_owned();
    }
    if field == "InstanceIPs" {
        return "INSTANCE_IPS".to_owned();
    }
    let chars: Vec<char> = field.chars().collect();
    let mut out = String::new();
    for (index, c) in chars.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|at| chars.get(at));
        let after = chars.get(index + 1);
        let starts = c.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || (before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase))
            });
        if starts {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

/// Proxies send booleans and numbers as texts.
fn plain(value: &Value) -> Value {
    match value {
        Value::Bool(_) | Value::Number(_) => value.to_string().into(),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_become_keys() {
        let pairs = [
            ("ClusterID", "CLUSTER_ID"),
            ("DNSCapture", "DNS_CAPTURE"),
            ("DNSAutoAllocate", "DNS_AUTO_ALLOCATE"),
            ("HTTPProxyPort", "HTTP_PROXY_PORT"),
            ("InstanceIPs", "INSTANCE_IPS"),
            ("HTTP10", "HTTP10"),
            ("IstioVersion", "ISTIO_VERSION"),
            ("CLUSTER_ID", "CLUSTER_ID"),
        ];
        for (field, wanted) in pairs {
            assert_eq!(key(field), wanted);
        }
    }

    #[test]
    fn a_proxy_says_what_the_scenario_says() {
        let entry: ProxyEntry = serde_json::from_value(json!({
            "type": "router", "namespace": "shop", "ips": ["1.1.1.1", "::1"],
            "labels": {"istio": "ingressgateway"}, "metadata": {"DNSCapture": true},
        }))
        .unwrap();
        let proxy = node(&entry).proxy().unwrap();
        assert_eq!(proxy.kind(), meltemi_types::ProxyKind::Router);
        assert_eq!(proxy.namespace.as_str(), "shop");
        assert_eq!(proxy.ips.len(), 2);
        assert_eq!(proxy.labels.value("istio"), Some("ingressgateway"));
    }
}
