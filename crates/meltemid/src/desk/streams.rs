//! Pages about connected proxies: who they are, how far they are, what ends at them.
//!
//! `syncz` has two shapes: protobuf over xDS for istioctl, an array of the older JSON over HTTP for
//! Kiali; each entry of the latter also has our own words (`types`, `quarantined`).

use super::pages::Ask;
use super::{Desk, registry};
use crate::callers::View;
use crate::clock;
use crate::plane::Connected;
use meltemi_model::endpoint::EndpointAddress;
use meltemi_proto::envoy::admin::v3::UpdateFailureState;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::service::status::v3::client_config::GenericXdsConfig;
use meltemi_proto::envoy::service::status::v3::{ClientConfig, ConfigStatus};
use meltemi_proto::google::protobuf::value::Kind;
use meltemi_proto::google::protobuf::{Struct, Timestamp, Value as ProtoValue};
use meltemi_types::TypeUrl;
use meltemi_types::xds::{CLUSTER, ENDPOINT, LISTENER, ROUTE};
use meltemi_xds::debug::{ClientStatus, Clients, Progress, TypeStatus};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const CLIENT_CONFIG: TypeUrl =
    "type.googleapis.com/envoy.service.status.v3.ClientConfig";

/// A stream, and the proxy behind it.
type Seen = (ClientStatus, Connected);

/// The streams that may be seen, oldest first. One that ends meanwhile is left out.
fn seen(desk: &Desk, clients: &Clients, view: &View) -> Vec<Seen> {
    let mut known = desk.plane.connected();
    let all = clients.snapshot().into_iter();
    let all = all.filter(|client| view.shows(&client.key));
    all.filter_map(|client| Some((known.remove(&client.id)?, client)))
        .map(|(proxy, client)| (client, proxy))
        .collect()
}

fn metadata<'a>(proxy: &'a Connected, key: &str) -> &'a str {
    let value = proxy.node.get("metadata").and_then(|m| m.get(key));
    value.and_then(Value::as_str).unwrap_or_default()
}

/// A `ClientConfig` for each proxy, with its name (istioctl shows the node's id as it is).
pub(super) fn client_configs(
    desk: &Desk,
    clients: &Clients,
    view: &View,
) -> Vec<(Arc<str>, ClientConfig)> {
    let config = |(client, proxy): Seen| {
        let mut configs: Vec<_> = client.types.iter().map(generic).collect();
        configs.sort_by(|a, b| a.type_url.cmp(&b.type_url));
        let facts = [
            ("CLUSTER_ID", proxy.proxy.cluster.as_str()),
            ("NAMESPACE", proxy.proxy.namespace.as_str()),
            ("ISTIO_VERSION", metadata(&proxy, "ISTIO_VERSION")),
        ];
        let facts = facts.into_iter().filter(|(_, text)| !text.is_empty());
        let text = |text: &str| ProtoValue {
            kind: Some(Kind::StringValue(text.to_owned())),
        };
        let fields = facts.map(|(key, value)| (key.to_owned(), text(value)));
        let config = ClientConfig {
            node: Some(Node {
                id: client.key.to_string(),
                metadata: Some(Struct {
                    fields: fields.collect(),
                }),
                ..Node::default()
            }),
            generic_xds_configs: configs,
            ..ClientConfig::default()
        };
        (client.key, config)
    };
    seen(desk, clients, view).into_iter().map(config).collect()
}

fn generic(status: &TypeStatus) -> GenericXdsConfig {
    let progress = match status.progress() {
        Progress::Synced => ConfigStatus::Synced,
        Progress::Stale => ConfigStatus::Stale,
        Progress::NotSent => ConfigStatus::NotSent,
        Progress::Error => ConfigStatus::Error,
    };
    let sent_at = status.sent_at.map(|moment| {
        let (seconds, nanos) = clock::since_1970(moment);
        Timestamp { seconds, nanos }
    });
    GenericXdsConfig {
        type_url: status.type_url.to_owned(),
        config_status: progress.into(),
        last_updated: sent_at,
        error_state: status.last_error.as_ref().map(|error| UpdateFailureState {
            last_update_attempt: sent_at,
            details: error.to_string(),
            ..UpdateFailureState::default()
        }),
        ..GenericXdsConfig::default()
    }
}

/// How far each proxy is.
pub(super) fn syncz(desk: &Desk, ask: &Ask<'_>) -> Value {
    let wanted = ask.query.get("namespace").filter(|n| !n.is_empty());
    let all = seen(desk, ask.clients, ask.view).into_iter();
    let all = all.filter(|(_, proxy)| wanted.is_none_or(|n| n == proxy.proxy.namespace.as_str()));
    all.map(|(client, proxy)| Value::Object(sync_status(&client, &proxy)))
        .collect()
}

fn sync_status(client: &ClientStatus, proxy: &Connected) -> Map<String, Value> {
    let mut status = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() && value.as_str() != Some("") {
            status.insert(key.to_owned(), value);
        }
    };
    put("cluster_id", json!(proxy.proxy.cluster));
    put("proxy", json!(client.key));
    put("proxy_type", json!(client.kind.name()));
    put("proxy_version", json!(metadata(proxy, "ISTIO_VERSION")));
    put("istio_version", json!(metadata(proxy, "ISTIO_VERSION")));
    for (word, url) in [
        ("cluster", CLUSTER),
        ("listener", LISTENER),
        ("route", ROUTE),
        ("endpoint", ENDPOINT),
    ] {
        let of_type = client.types.iter().find(|t| t.type_url == url);
        put(
            &format!("{word}_sent"),
            json!(of_type.and_then(|t| t.sent_nonce.clone())),
        );
        put(
            &format!("{word}_acked"),
            json!(of_type.and_then(|t| t.acked_nonce.clone())),
        );
    }
    let resources: BTreeMap<_, _> = client.types.iter().map(resource_status).collect();
    put("resources", json!(resources));
    put("node", json!(client.node_id));
    put("nodeType", json!(client.kind.name()));
    put("peer", json!(client.peer.map(|p| p.to_string())));
    put(
        "protocol",
        json!(format!("{:?}", client.flavor).to_lowercase()),
    );
    put("connectedAt", json!(clock::unix(client.connected)));
    put("types", client.types.iter().map(type_status).collect());
    status
}

/// In Istio's words.
fn resource_status(status: &TypeStatus) -> (&'static str, Value) {
    let mut fields = Map::new();
    let sent_at = status.sent_at.map(clock::rfc3339);
    let parts = [
        ("sent", json!(status.sent_nonce)),
        ("acked", json!(status.acked_nonce)),
        ("sentTime", json!(sent_at)),
        ("lastError", json!(status.last_error)),
    ];
    let parts = parts.into_iter().filter(|(_, value)| !value.is_null());
    fields.extend(parts.map(|(key, value)| (key.to_owned(), value)));
    (status.type_url, Value::Object(fields))
}

/// In our own.
fn type_status(status: &TypeStatus) -> Value {
    json!({
        "type": status.short,
        "typeUrl": status.type_url,
        "state": status.progress().name(),
        "sentNonce": status.sent_nonce,
        "ackedNonce": status.acked_nonce,
        "resources": status.held,
        "quarantined": status.quarantined,
        "error": status.last_error,
    })
}

fn connection(client: &ClientStatus) -> Value {
    json!({
        "connectionId": format!("{}-{}", client.key, client.id.0),
        "connectedAt": clock::rfc3339(client.connected),
        "address": client.peer.map(|p| p.to_string()).unwrap_or_default(),
    })
}

/// Connected proxies.
pub(super) fn connections(ask: &Ask<'_>) -> Value {
    let clients = ask.clients.snapshot();
    let clients = clients.iter().filter(|client| ask.view.shows(&client.key));
    counted(clients.map(connection).collect())
}

fn counted(clients: Vec<Value>) -> Value {
    json!({ "totalClients": clients.len(), "clients": clients })
}

/// Connected proxies, with what they say of themselves.
pub(super) fn adsz(desk: &Desk, ask: &Ask<'_>) -> Value {
    let all = seen(desk, ask.clients, ask.view).into_iter();
    let wanted = ask.query.get("proxyID").filter(|id| !id.is_empty());
    let all = all.filter(|(client, _)| wanted.is_none_or(|id| client.key.contains(id.as_str())));
    let shown = all.map(|(client, proxy)| {
        let mut value = connection(&client);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("labels".into(), json!(proxy.proxy.labels));
            let said = proxy.node.get("metadata").cloned().unwrap_or_default();
            fields.insert("metadata".into(), said);
            if let Some(locality) = proxy.node.get("locality") {
                fields.insert("locality".into(), locality.clone());
            }
        }
        value
    });
    counted(shown.collect())
}

/// Which service ports end at which proxy.
pub(super) fn instancesz(desk: &Desk, ask: &Ask<'_>) -> Value {
    let snapshot = desk.plane.snapshot();
    let mut at: BTreeMap<_, Vec<Value>> = BTreeMap::new();
    for (key, endpoints) in snapshot.endpoints.iter() {
        let Some(service) = snapshot.services.by_key(key) else {
            continue;
        };
        for port in service.ports.iter() {
            for endpoint in endpoints
                .ports
                .get(&port.name)
                .into_iter()
                .flat_map(|e| e.iter())
            {
                if let EndpointAddress::Ip(ip) = &endpoint.address {
                    let mut shown = registry::port(port);
                    if let Some(fields) = shown.as_object_mut() {
                        fields.insert("TargetPort".into(), json!(endpoint.port));
                    }
                    let target = json!({
                        "Service": { "hostname": key.host, "Attributes": {
                            "Name": service.name, "Namespace": key.namespace } },
                        "Port": shown,
                    });
                    at.entry((endpoint.cluster.clone(), *ip))
                        .or_default()
                        .push(target);
                }
            }
        }
    }
    let all = seen(desk, ask.clients, ask.view).into_iter();
    let instances = all.map(|(client, proxy)| {
        let of_ip = |ip: &_| at.get(&(proxy.proxy.cluster.clone(), *ip)).cloned();
        let targets = proxy.proxy.ips.iter().filter_map(of_ip).flatten();
        (client.key.to_string(), targets.collect())
    });
    Value::Object(instances.collect())
}
