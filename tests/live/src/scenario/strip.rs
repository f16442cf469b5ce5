//! A bootstrap as it is tested: everything that decides stays, everything behind it goes.

use super::Surroundings;
use super::certificates::Certificates;
use super::observe::{Chain, Names, Rest, Route};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// Listeners that connections arrive at.
const ENTRIES: [&str; 2] = ["virtualOutbound", "virtualInbound"];
/// The listener that stands in where a proxy has none of these.
pub const ENTRY: &str = "entry";

/// Rewrites the bootstrap and says under which names Envoy counts.
///
/// # Errors
/// It has no listeners.
pub fn strip(bootstrap: &mut Value, around: &Surroundings) -> Result<Names> {
    let mut names = Names::default();
    let resources = bootstrap
        .get_mut("static_resources")
        .context("no static resources")?;
    let listeners = resources.get_mut("listeners").and_then(Value::as_array_mut);
    let mut nothing = Vec::new();
    let listeners = listeners.unwrap_or(&mut nothing);
    let mut clusters = BTreeSet::new();
    for (index, listener) in listeners.iter_mut().enumerate() {
        collect(listener, &mut clusters);
        self::listener(listener, (index, &around.certificates), &mut names);
    }
    let outbound = |l: &Value| l.get("name").is_some_and(|name| name == "virtualOutbound");
    let mut listeners = std::mem::take(listeners);
    if !listeners.iter().any(outbound) {
        listeners.push(entry());
        names.listeners.insert(ENTRY.into(), ENTRY.into());
    }
    clusters.insert("BlackHoleCluster".into());
    for (index, name) in clusters.into_iter().enumerate() {
        names.clusters.insert(name, format!("k{index}k"));
    }
    let routed = names.routes.iter().map(|route| &route.stat);
    let rests = names.rests.iter().map(|rest| &rest.stat);
    let own = routed.chain(rests).map(|stat| (stat, stat));
    let clusters = names.clusters.iter().chain(own);
    let clusters: Vec<Value> = clusters
        .map(|(name, stat)| cluster(name, stat, around.upstream.address))
        .collect();
    *resources = json!({"listeners": listeners, "clusters": clusters});
    // What a control plane would add has no place in a configuration that stands still.
    if let Some(fields) = bootstrap.as_object_mut() {
        fields.remove("stats_config");
        fields.remove("dynamic_resources");
    }
    Ok(names)
}

/// All clusters that are named.
fn collect(value: &Value, clusters: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("cluster", Value::String(name)) => {
                        clusters.insert(name.clone());
                    }
                    ("clusters", Value::Array(all)) => {
                        let named = all.iter().filter_map(|one| one.get("name")?.as_str());
                        clusters.extend(named.map(str::to_owned));
                    }
                    (_, value) => collect(value, clusters),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, clusters)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn set(value: &mut Value, key: &str, new: Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.insert(key.into(), new);
    }
}

fn unset(value: &mut Value, keys: &[&str]) {
    if let Some(fields) = value.as_object_mut() {
        for key in keys {
            fields.remove(*key);
        }
    }
}

fn typed(kind: &str) -> Value {
    json!({"@type": format!("type.googleapis.com/envoy.extensions.filters.{kind}")})
}

fn proxy_protocol() -> Value {
    let config = typed("listener.proxy_protocol.v3.ProxyProtocol");
    json!({"name": "envoy.filters.listener.proxy_protocol", "typed_config": config})
}

fn loopback() -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}})
}

/// A cluster with one endpoint.
fn cluster(name: &str, stat: &str, endpoint: SocketAddr) -> Value {
    let (ip, port) = (endpoint.ip().to_string(), endpoint.port());
    let address = json!({"socket_address": {"address": ip, "port_value": port}});
    let endpoints = json!([{"lb_endpoints": [{"endpoint": {"address": address}}]}]);
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "1s", "alt_stat_name": stat,
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    })
}

/// A listener that only hands connections on.
fn entry() -> Value {
    let mut tcp = typed("network.tcp_proxy.v3.TcpProxy");
    set(&mut tcp, "stat_prefix", "nowhere".into());
    set(&mut tcp, "cluster", "BlackHoleCluster".into());
    json!({
        "name": ENTRY,
        "stat_prefix": ENTRY,
        "address": loopback(),
        "use_original_dst": true,
        "listener_filters": [proxy_protocol()],
        // Envoy wants one; no connection goes to port 1.
        "filter_chains": [{
            "filter_chain_match": {"destination_port": 1},
            "filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": tcp}],
        }],
    })
}

fn listener(
    listener: &mut Value,
    (index, certificates): (usize, &Certificates),
    names: &mut Names,
) {
    let name = listener
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let stat = format!("l{index}l");
    let is_entry = ENTRIES.contains(&name.as_str());
    names.listeners.insert(name.clone(), stat.clone());
    set(listener, "stat_prefix", stat.into());
    unset(
        listener,
        &[
            "access_log",
            "connection_balance_config",
            "transparent",
            "socket_options",
        ],
    );
    let filters = listener.get("listener_filters").and_then(Value::as_array);
    let inspects = |filter: &&Value| {
        let name = filter
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        name.ends_with("_inspector")
    };
    let kept: Vec<Value> = filters
        .into_iter()
        .flatten()
        .filter(inspects)
        .cloned()
        .collect();
    let first = is_entry.then(proxy_protocol);
    let filters: Vec<Value> = first.into_iter().chain(kept).collect();
    set(listener, "listener_filters", filters.into());
    set(listener, "bind_to_port", is_entry.into());
    if is_entry {
        set(listener, "address", loopback());
        unset(listener, &["additional_addresses"]);
    }
    let mut chains: Vec<&mut Value> = Vec::new();
    if let Some(fields) = listener.as_object_mut() {
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("filter_chains", Value::Array(all)) => chains.extend(all),
                ("default_filter_chain", one) => chains.push(one),
                (_, _) => {}
            }
        }
    }
    for one in chains {
        chain(one, (&name, certificates), names);
    }
}

fn chain(chain: &mut Value, (listener, certificates): (&str, &Certificates), names: &mut Names) {
    let stat = format!("c{}c", names.chains.len());
    names.chains.push(Chain {
        listener: listener.into(),
        name: chain
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .into(),
        stat: stat.clone(),
    });
    if let Some(socket) = chain
        .get_mut("transport_socket")
        .and_then(|s| s.get_mut("typed_config"))
    {
        tls(socket, certificates);
    }
    let filters = chain.get_mut("filters").and_then(Value::as_array_mut);
    let Some(last) = filters.and_then(Vec::pop) else {
        return;
    };
    let mut last = last;
    if let Some(config) = last.get_mut("typed_config") {
        set(config, "stat_prefix", stat.into());
        unset(
            config,
            &[
                "access_log",
                "tracing",
                "upgrade_configs",
                "early_header_mutation_extensions",
            ],
        );
        if config.get("http_filters").is_some() {
            let router = typed("http.router.v3.Router");
            set(
                config,
                "http_filters",
                json!([{"name": "envoy.filters.http.router", "typed_config": router}]),
            );
        }
        if let Some(routes) = config.get_mut("route_config") {
            self::routes(routes, names);
        }
    }
    set(chain, "filters", json!([last]));
}

/// Makes routes tell apart by what Envoy counts.
fn routes(config: &mut Value, names: &mut Names) {
    set(config, "validate_clusters", false.into());
    let hosts = config
        .get_mut("virtual_hosts")
        .and_then(Value::as_array_mut);
    for host in hosts.into_iter().flatten() {
        let name = host
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let routes = host.get_mut("routes").and_then(Value::as_array_mut);
        for route in routes.into_iter().flatten() {
            let stat = format!("r{}r", names.routes.len());
            let named = route
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            // Filters that are gone cannot be configured.
            unset(route, &["typed_per_filter_config"]);
            if let Some(action) = route.get_mut("route") {
                unset(action, &["retry_policy", "request_mirror_policies"]);
                // A cluster for each route tells which one was taken.
                let cluster = action
                    .get("cluster")
                    .and_then(Value::as_str)
                    .map(str::to_owned);
                if let Some(cluster) = cluster {
                    set(action, "cluster", stat.as_str().into());
                    names.routes.push(Route {
                        host: name.clone(),
                        name: named,
                        cluster,
                        stat,
                    });
                }
            }
        }
        let stat = format!("x{}x", names.rests.len());
        let rest = json!({"match": {"prefix": "/"}, "route": {"cluster": stat}});
        let written = host.get_mut("routes").and_then(Value::as_array_mut);
        let routes = written.map(std::mem::take).unwrap_or_default();
        let routes: Vec<Value> = routes.into_iter().chain([rest]).collect();
        set(host, "routes", routes.into());
        names.rests.push(Rest { host: name, stat });
        unset(host, &["typed_per_filter_config", "retry_policy"]);
    }
    unset(
        config,
        &["typed_per_filter_config", "request_mirror_policies"],
    );
}

/// Certificates of this run in the place of those that secrets would bring.
fn tls(context: &mut Value, certificates: &Certificates) {
    let Some(common) = context.get_mut("common_tls_context") else {
        return;
    };
    let file = |path: std::path::PathBuf| json!({"filename": path.display().to_string()});
    let own = json!([{
        "certificate_chain": file(certificates.certificate()),
        "private_key": file(certificates.key()),
    }]);
    let validates = [
        "validation_context",
        "combined_validation_context",
        "validation_context_sds_secret_config",
    ];
    let validated = validates.iter().any(|key| common.get(*key).is_some());
    unset(common, &validates);
    unset(
        common,
        &[
            "tls_certificate_sds_secret_configs",
            "tls_certificate_provider_instance",
            "custom_tls_certificate_selector",
        ],
    );
    set(common, "tls_certificates", own);
    if validated {
        let trusted = json!({"trusted_ca": file(certificates.certificate())});
        set(common, "validation_context", trusted);
    }
}
