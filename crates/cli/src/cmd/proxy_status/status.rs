//! What control planes say of their proxies (`/debug/syncz`), as rows.

use crate::clock;
use crate::dump::{items, text};
use crate::output::API_VERSION;
use crate::table::Table;
use serde_json::{Value, json};

/// The types that every table shows, in the order in which they are sent.
const USUAL: [&str; 5] = ["CDS", "LDS", "EDS", "RDS", "ECDS"];

/// One proxy of one control plane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Proxy {
    /// `POD.NAMESPACE`.
    pub(super) name: String,
    plane: String,
    kind: String,
    cluster: String,
    version: String,
    peer: String,
    connected: Option<i64>,
    types: Vec<Type>,
}

/// One type that a proxy asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Type {
    /// `CDS`.
    short: String,
    url: String,
    state: String,
    /// When something was last sent, in seconds since 1970.
    since: Option<i64>,
    error: String,
    refused: Vec<String>,
}

impl Proxy {
    /// True when it refuses something.
    pub(super) fn refuses(&self) -> bool {
        self.types.iter().any(|one| one.state == "ERROR")
    }

    fn of(&self, short: &str) -> Option<&Type> {
        self.types.iter().find(|one| one.short == short)
    }
}

/// The proxies of an answer: a list, or a document of ours with one.
pub(crate) fn proxies(document: &Value) -> impl Iterator<Item = &Value> {
    let list = document.as_array();
    list.into_iter().flatten().chain(items(document, "proxies"))
}

/// The rows of one answer.
pub(super) fn read(plane: &str, document: &Value) -> Vec<Proxy> {
    proxies(document)
        .map(|proxy| {
            let resources = proxy.get("resources").unwrap_or(&Value::Null);
            let types = items(proxy, "types").map(|value| one_type(value, resources));
            let mut types: Vec<Type> = types.collect();
            types.sort();
            Proxy {
                name: text(proxy, "proxy"),
                plane: plane.to_owned(),
                kind: text(proxy, "node_type"),
                cluster: text(proxy, "cluster_id"),
                version: version(proxy),
                peer: text(proxy, "peer"),
                connected: moment(proxy, "connectedAt"),
                types,
            }
        })
        .collect()
}

/// The version of the proxy, as it says itself.
pub(crate) fn version(proxy: &Value) -> String {
    let said = ["version", "proxy_version", "istio_version"].map(|key| text(proxy, key));
    said.into_iter()
        .find(|version| !version.is_empty())
        .unwrap_or_default()
}

/// A type; `resources` has for each type address when something was sent.
fn one_type(value: &Value, resources: &Value) -> Type {
    let state = text(value, "state");
    let url = text(value, "type_url");
    let since = resources.get(&url).and_then(|one| moment(one, "sentTime"));
    let sent = value.get("sentNonce").is_some_and(|nonce| !nonce.is_null());
    let refused = items(value, "quarantined").filter_map(Value::as_str);
    Type {
        short: text(value, "type").to_ascii_uppercase(),
        url,
        state: match state.as_str() {
            "STALE" if !sent => "NOT SENT".to_owned(),
            "NOT_SENT" => "NOT SENT".to_owned(),
            _ => state,
        },
        since,
        error: text(value, "error"),
        refused: refused.map(str::to_owned).collect(),
    }
}

/// A moment as a number of seconds or a text.
fn moment(value: &Value, key: &str) -> Option<i64> {
    let found = value.get(key)?;
    found
        .as_i64()
        .or_else(|| found.as_str().and_then(clock::parse))
}

/// The table, then what was refused, a line each.
pub(super) fn table(proxies: &[Proxy]) -> String {
    let head = ["NAME", "NODE TYPE", "CLUSTER", "ISTIOD", "VERSION"];
    let mut table = Table::new(&[&head[..], &USUAL].concat());
    for proxy in proxies {
        let states = USUAL.map(|short| proxy.of(short).map_or("", |one| &one.state).to_owned());
        table.row(first(proxy).into_iter().chain(states).collect());
    }
    table.text() + &errors(proxies)
}

fn first(proxy: &Proxy) -> [String; 5] {
    [
        &proxy.name,
        &proxy.kind,
        &proxy.cluster,
        &proxy.plane,
        &proxy.version,
    ]
    .map(String::clone)
}

/// As [`table`], with every type that somebody asked for, how long it has been so, and where the
/// proxy is.
pub(super) fn wide(proxies: &[Proxy], now: i64) -> String {
    let asked = proxies.iter().flat_map(|proxy| &proxy.types);
    let mut more: Vec<&str> = asked
        .map(|one| one.short.as_str())
        .filter(|short| !USUAL.contains(short))
        .collect();
    more.sort_unstable();
    more.dedup();
    let shorts: Vec<&str> = USUAL.iter().copied().chain(more).collect();
    let head = ["NAME", "NODE TYPE", "CLUSTER", "ISTIOD", "VERSION"];
    let mut table = Table::new(&[&head[..], &shorts, &["CONNECTED", "ADDRESS"]].concat());
    for proxy in proxies {
        let states = shorts.iter().map(|short| match proxy.of(short) {
            None => String::new(),
            Some(one) => match one.since {
                Some(since) => format!("{} ({})", one.state, clock::age(now - since)),
                None => one.state.clone(),
            },
        });
        let connected = proxy.connected.map(|since| clock::age(now - since));
        let last = [connected.unwrap_or_default(), proxy.peer.clone()];
        table.row(first(proxy).into_iter().chain(states).chain(last).collect());
    }
    table.text() + &errors(proxies)
}

fn errors(proxies: &[Proxy]) -> String {
    let mut lines = String::new();
    for proxy in proxies {
        for one in proxy.types.iter().filter(|one| one.state == "ERROR") {
            let names = match one.refused.is_empty() {
                true => String::new(),
                false => format!(" ({})", one.refused.join(", ")),
            };
            let error = one.error.trim().replace('\n', " ");
            lines.push_str(&format!(
                "{} refuses {}{names}: {error}\n",
                proxy.name, one.short
            ));
        }
    }
    lines
}

/// The document for scripts.
pub(super) fn document(proxies: &[Proxy]) -> Value {
    let proxies = proxies.iter().map(|proxy| {
        let types = proxy.types.iter().map(|one| {
            json!({
                "type": one.short,
                "typeUrl": one.url,
                "state": one.state.replace(' ', "_"),
                "lastSent": one.since.map(clock::rfc3339),
                "error": one.error,
                "refused": one.refused,
            })
        });
        json!({
            "name": proxy.name,
            "nodeType": proxy.kind,
            "cluster": proxy.cluster,
            "istiod": proxy.plane,
            "version": proxy.version,
            "peer": proxy.peer,
            "connectedAt": proxy.connected.map(clock::rfc3339),
            "types": types.collect::<Vec<_>>(),
        })
    });
    json!({
        "apiVersion": API_VERSION,
        "kind": "ProxyStatus",
        "proxies": proxies.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Vec<Proxy> {
        let document = json!({"proxies": [{
            "proxy": "web.shop", "nodeType": "sidecar", "clusterId": "Kubernetes",
            "version": "1.40.0", "peer": "127.0.0.1:9", "connectedAt": 100,
            "resources": {"t/C": {"sentTime": "1970-01-01T00:02:00Z"}},
            "types": [
                {"type": "cds", "typeUrl": "t/C", "state": "SYNCED", "sentNonce": "1"},
                {"type": "eds", "typeUrl": "t/E", "state": "STALE", "sentNonce": "1"},
                {"type": "lds", "typeUrl": "t/L", "state": "ERROR", "sentNonce": "1",
                 "error": "no such\ncluster", "quarantined": ["0.0.0.0_80"]},
                {"type": "nds", "typeUrl": "t/N", "state": "SYNCED", "sentNonce": "2"},
                {"type": "rds", "typeUrl": "t/R", "state": "STALE", "sentNonce": null},
            ],
        }]});
        read("istiod-1", &document)
    }

    #[test]
    fn each_state_has_its_word_and_a_refusal_its_reason() {
        let expected = "\
NAME      NODE TYPE  CLUSTER     ISTIOD    VERSION  CDS     LDS    EDS    RDS       ECDS
web.shop  sidecar    Kubernetes  istiod-1  1.40.0   SYNCED  ERROR  STALE  NOT SENT  -
web.shop refuses LDS (0.0.0.0_80): no such cluster
";
        assert_eq!(table(&shop()), expected);
        assert!(shop().iter().all(Proxy::refuses));
    }

    #[test]
    fn wide_has_further_types_and_ages() {
        let text = wide(&shop(), 160);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines
                .iter()
                .any(|l| l.ends_with("NDS     CONNECTED  ADDRESS")),
            "{text}"
        );
        assert!(text.contains("SYNCED (40s)  ERROR"), "{text}");
        assert!(text.contains("60s        127.0.0.1:9\n"), "{text}");
    }

    #[test]
    fn scripts_get_moments_and_states_without_spaces() {
        let document = document(&shop());
        let types = &document["proxies"][0]["types"];
        assert_eq!(types[0]["lastSent"], "1970-01-01T00:02:00Z");
        assert_eq!(types[4]["state"], "NOT_SENT");
        assert_eq!(
            document["proxies"][0]["connectedAt"],
            "1970-01-01T00:01:40Z"
        );
    }
}
