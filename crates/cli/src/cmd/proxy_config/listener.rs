//! Listeners, a line for each filter chain: `ADDRESSES, PORT, MATCH, DESTINATION`.

use super::{place, route};
use crate::args::live::OnlyListeners;
use crate::dump::{Found, field, items, text};
use crate::table::Table;
use serde_json::Value;

const HTTP: &str = "HttpConnectionManager";
const TCP: &str = "TcpProxy";
/// The cluster of a listener that only closes connections; it makes no listener a TCP one.
const BLACK_HOLE: &str = "BlackHoleCluster";

/// Sets of protocols with a name of their own.
const PROTOCOLS: [(&str, &[&str]); 4] = [
    ("App: HTTP", &["http/1.0", "http/1.1", "h2c"]),
    (
        "App: HTTP TLS",
        &[
            "http/1.0",
            "http/1.1",
            "h2c",
            "istio-http/1.0",
            "istio-http/1.1",
            "istio-h2",
        ],
    ),
    (
        "App: Istio HTTP Plain",
        &["istio", "istio-http/1.0", "istio-http/1.1", "istio-h2"],
    ),
    ("App: TCP TLS", &["istio-peer-exchange", "istio"]),
];

fn chains(listener: &Value) -> impl Iterator<Item = &Value> {
    items(listener, "filter_chains").chain(field(listener, "default_filter_chain"))
}

fn is(filter: &Value, message: &str) -> bool {
    let config = field(filter, "typed_config");
    config.is_some_and(|config| text(config, "@type").ends_with(&format!(".{message}")))
}

/// `HTTP`, `TCP`, `HTTP+TCP` or `UNKNOWN`.
fn kind(listener: &Value) -> &'static str {
    let filters: Vec<&Value> = chains(listener)
        .flat_map(|chain| items(chain, "filters"))
        .collect();
    let http = filters.iter().any(|filter| is(filter, HTTP));
    let closes = |filter: &Value| {
        let config = field(filter, "typed_config");
        config.is_some_and(|config| text(config, "cluster") == BLACK_HOLE)
    };
    let tcp = filters
        .iter()
        .any(|filter| is(filter, TCP) && !closes(filter));
    match (http, tcp) {
        (true, false) => "HTTP",
        (true, true) => "HTTP+TCP",
        (false, true) => "TCP",
        (false, false) => "UNKNOWN",
    }
}

/// The addresses that a listener binds, and the port of the first.
fn addresses(listener: &Value) -> (Vec<String>, Option<u64>) {
    let (first, port) = field(listener, "address").map(place).unwrap_or_default();
    let more = items(listener, "additional_addresses")
        .filter_map(|more| field(more, "address"))
        .map(|address| place(address).0);
    (std::iter::once(first).chain(more).collect(), port)
}

/// Whether a listener is asked for.
pub(super) fn shown(listener: &Value, only: &OnlyListeners) -> bool {
    let OnlyListeners {
        address,
        port,
        kind: wanted,
    } = only;
    let (addresses, bound) = addresses(listener);
    address
        .as_ref()
        .is_none_or(|wanted| addresses.iter().any(|one| one.eq_ignore_ascii_case(wanted)))
        && port.is_none_or(|port| bound == Some(u64::from(port)))
        && wanted
            .as_ref()
            .is_none_or(|wanted| kind(listener).eq_ignore_ascii_case(wanted))
}

/// The table.
pub(super) fn table(found: &[Found]) -> Table {
    let mut rows = Vec::new();
    for one in found {
        let (addresses, port) = addresses(&one.body);
        for (at, chain) in chains(&one.body).enumerate() {
            rows.push((
                port,
                addresses.join(","),
                at,
                matched(chain),
                destination(chain),
            ));
        }
    }
    rows.sort();
    let mut table = Table::new(&["ADDRESSES", "PORT", "MATCH", "DESTINATION"]);
    for (port, addresses, _, matched, destination) in rows {
        let port = port.map(|port| port.to_string()).unwrap_or_default();
        table.row(vec![addresses, port, matched, destination]);
    }
    table
}

/// Which connections a chain takes.
fn matched(chain: &Value) -> String {
    let Some(rule) = field(chain, "filter_chain_match") else {
        return "ALL".to_owned();
    };
    let list = |name| -> Vec<&str> { items(rule, name).filter_map(Value::as_str).collect() };
    let mut said = Vec::new();
    let names = list("server_names");
    if !names.is_empty() {
        said.push(format!("SNI: {}", names.join(",")));
    }
    let transport = text(rule, "transport_protocol");
    if !transport.is_empty() {
        said.push(format!("Trans: {transport}"));
    }
    let protocols = list("application_protocols");
    if !protocols.is_empty() {
        let known = PROTOCOLS.iter().find(|(_, known)| *known == protocols);
        let other = || format!("App: {}", protocols.join(","));
        said.push(known.map_or_else(other, |(name, _)| (*name).to_owned()));
    }
    let port = field(rule, "destination_port").and_then(Value::as_u64);
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let ranges: Vec<String> = items(rule, "prefix_ranges").map(range).collect();
    match (ranges.is_empty(), port.is_empty()) {
        (false, _) => said.push(format!("Addr: {}{port}", ranges.join(","))),
        (true, false) => said.push(format!("Addr: *{port}")),
        (true, true) => {}
    }
    match said.is_empty() {
        true => "ALL".to_owned(),
        false => said.join("; "),
    }
}

fn range(range: &Value) -> String {
    let length = field(range, "prefix_len").and_then(Value::as_u64);
    format!("{}/{}", text(range, "address_prefix"), length.unwrap_or(0))
}

/// Where a chain sends what it takes.
fn destination(chain: &Value) -> String {
    for filter in items(chain, "filters") {
        let Some(config) = field(filter, "typed_config") else {
            continue;
        };
        if is(filter, HTTP) {
            let rds = field(config, "rds").map(|rds| text(rds, "route_config_name"));
            return match (field(config, "route_config"), rds) {
                (Some(inline), _) => route::inline(inline),
                (None, Some(name)) => format!("Route: {name}"),
                (None, None) => "HTTP".to_owned(),
            };
        }
        if is(filter, TCP) {
            return weighted(config);
        }
    }
    "Non-HTTP/Non-TCP".to_owned()
}

/// One cluster, or several with their weights.
fn weighted(config: &Value) -> String {
    let cluster = text(config, "cluster");
    if !cluster.is_empty() {
        return route::cluster(&cluster);
    }
    let split = field(config, "weighted_clusters").into_iter();
    let parts = split
        .flat_map(|split| items(split, "clusters"))
        .map(|part| {
            let weight = field(part, "weight").and_then(Value::as_u64).unwrap_or(0);
            format!("{} {weight}", text(part, "name"))
        });
    format!("Clusters: {}", parts.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filter(message: &str, mut config: Value) -> Value {
        config["@type"] = json!(format!("type.googleapis.com/envoy.{message}"));
        json!({"name": "x", "typed_config": config})
    }

    fn listener() -> Value {
        let http = filter(HTTP, json!({"rds": {"route_config_name": "80"}}));
        let tcp = filter(TCP, json!({"cluster": "outbound|1||a"}));
        let black = filter(TCP, json!({"cluster": BLACK_HOLE}));
        json!({
            "address": {"socket_address": {"address": "0.0.0.0", "port_value": 15006}},
            "additional_addresses": [{"address": {"socket_address": {"address": "::"}}}],
            "filter_chains": [
                {"filter_chain_match": {"destination_port": 80, "transport_protocol": "tls",
                  "application_protocols": ["istio-peer-exchange", "istio"]}, "filters": [http]},
                {"filter_chain_match": {"server_names": ["a", "b"], "prefix_ranges":
                  [{"address_prefix": "10.0.0.1", "prefix_len": 32}]}, "filters": [tcp]},
            ],
            "default_filter_chain": {"filters": [black]},
        })
    }

    #[test]
    fn a_chain_is_a_line() {
        let found = Found {
            name: "x".into(),
            state: "ACTIVE",
            version: String::new(),
            body: listener(),
        };
        let expected = "\
ADDRESSES   PORT   MATCH                                  DESTINATION
0.0.0.0,::  15006  Trans: tls; App: TCP TLS; Addr: *:80   Route: 80
0.0.0.0,::  15006  SNI: a,b; Addr: 10.0.0.1/32            Cluster: outbound|1||a
0.0.0.0,::  15006  ALL                                    BlackHoleCluster
";
        let text = table(&[found]).text();
        let words = |text: &str| -> Vec<Vec<String>> {
            let of = |line: &str| {
                line.split("  ")
                    .filter(|w| !w.is_empty())
                    .map(|w| w.trim().to_owned())
                    .collect()
            };
            text.lines().map(of).collect()
        };
        assert_eq!(words(&text), words(expected), "{text}");
    }

    #[test]
    fn filters_know_address_port_and_type() {
        let only = |address: &str, port: u16, kind: &str| OnlyListeners {
            address: (!address.is_empty()).then(|| address.to_owned()),
            port: (port > 0).then_some(port),
            kind: (!kind.is_empty()).then(|| kind.to_owned()),
        };
        assert!(shown(&listener(), &only("", 0, "")));
        assert!(shown(&listener(), &only("::", 15006, "http+tcp")));
        assert!(!shown(&listener(), &only("", 80, "")));
        assert!(!shown(&listener(), &only("", 0, "TCP")));
    }
}
