//! What a proxy should have against what its Envoy runs.
//!
//! Clusters, listeners and routes are compared whole. Envoy rebuilds endpoints from its hosts, so of
//! them only the addresses are compared. Routes and endpoints that nothing in Envoy asks for are
//! not missed: it takes by name, the control plane counts what its class may have. Endpoints of
//! clusters that take none from a control plane are listed by Envoy too, and left out.

use crate::dump::{Dump, Found, Section, field, items, text};
use crate::output::API_VERSION;
use crate::yaml;
use serde_json::{Value, json};
use similar::TextDiff;
use std::collections::{BTreeMap, BTreeSet};

/// What is compared.
const SECTIONS: [Section; 4] = [
    Section::Cluster,
    Section::Listener,
    Section::Route,
    Section::Endpoint,
];

/// How many equal lines stand around a difference.
const CONTEXT: usize = 3;

/// One type, compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Compared {
    section: Section,
    /// How many are equal.
    same: usize,
    /// Those that are not: both sides, where there is one.
    different: BTreeMap<String, (Option<Value>, Option<Value>)>,
}

impl Compared {
    pub(super) fn matches(&self) -> bool {
        self.different.is_empty()
    }
}

/// Compares each type.
pub(super) fn compare(wanted: &Dump, runs: &Dump) -> Vec<Compared> {
    let asked = asked(runs);
    let compare = |section| {
        let mut wants = by_name(section, wanted.section(section));
        let mut has = by_name(section, runs.section(section));
        if let Some(names) = asked.get(&section) {
            wants.retain(|name, _| names.contains(name) || has.contains_key(name));
            has.retain(|name, _| {
                section != Section::Endpoint || names.contains(name) || wants.contains_key(name)
            });
        }
        one(section, wants, has)
    };
    SECTIONS.map(compare).into_iter().collect()
}

/// What came from a control plane: static resources are the bootstrap's, and those that drain are
/// on their way out. What is warming is newer than what is active.
fn by_name(section: Section, found: Vec<Found>) -> BTreeMap<String, Value> {
    let dynamic = found
        .into_iter()
        .filter(|one| matches!(one.state, "ACTIVE" | "WARMING"));
    let shown = dynamic.map(|one| match section {
        Section::Endpoint => (one.name, addresses(&one.body)),
        Section::Cluster
        | Section::Listener
        | Section::Route
        | Section::Secret
        | Section::Extension => (one.name, one.body),
    });
    shown.collect()
}

fn one(
    section: Section,
    wants: BTreeMap<String, Value>,
    mut has: BTreeMap<String, Value>,
) -> Compared {
    let mut same = 0;
    let mut different = BTreeMap::new();
    for (name, want) in wants {
        match has.remove(&name) {
            Some(have) if have == want => same += 1,
            have => {
                different.insert(name, (Some(want), have));
            }
        }
    }
    let only = has
        .into_iter()
        .map(|(name, have)| (name, (None, Some(have))));
    different.extend(only);
    Compared {
        section,
        same,
        different,
    }
}

/// The names of routes and endpoints that Envoy asks for.
fn asked(runs: &Dump) -> BTreeMap<Section, BTreeSet<String>> {
    let mut routes = BTreeSet::new();
    for listener in runs.section(Section::Listener) {
        named("route_config_name", &listener.body, &mut routes);
    }
    let clusters = runs.section(Section::Cluster).into_iter();
    let endpoints = clusters.filter(|one| text(&one.body, "type") == "EDS");
    let endpoints = endpoints.map(|one| {
        let config = field(&one.body, "eds_cluster_config");
        let service = config.map(|config| text(config, "service_name"));
        service.filter(|name| !name.is_empty()).unwrap_or(one.name)
    });
    BTreeMap::from([
        (Section::Route, routes),
        (Section::Endpoint, endpoints.collect()),
    ])
}

fn named(key: &str, value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let (true, Some(text)) = (name == key, value.as_str()) {
                    names.insert(text.to_owned());
                }
                named(key, value, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| named(key, item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The addresses of an assignment, in order.
fn addresses(body: &Value) -> Value {
    let localities = items(body, "endpoints");
    let hosts = localities.flat_map(|locality| items(locality, "lb_endpoints"));
    let shown: BTreeSet<String> = hosts
        .filter_map(|host| field(field(host, "endpoint")?, "address"))
        .map(crate::cmd::proxy_config::address)
        .collect();
    json!(shown)
}

/// `Clusters Match`, or what differs.
fn show_one(compared: &Compared) -> String {
    let (_, many) = compared.section.words();
    if compared.matches() {
        return format!("{many} Match ({})\n", compared.same);
    }
    let mut lines = format!(
        "{many} Don't Match ({} of {} differ)\n",
        compared.different.len(),
        compared.same + compared.different.len()
    );
    for (name, (want, have)) in &compared.different {
        let write = |side: &Option<Value>| side.as_ref().map_or_else(String::new, yaml::write);
        let (want, have) = (write(want), write(have));
        let diff = TextDiff::from_lines(&want, &have);
        let head = |who: &str| format!("{who} {many}: {name}");
        let mut unified = diff.unified_diff();
        unified
            .context_radius(CONTEXT)
            .header(&head("Istiod"), &head("Envoy"));
        lines.push_str(&unified.to_string());
    }
    lines
}

/// All types.
pub(super) fn show(compared: &[Compared]) -> String {
    compared.iter().map(show_one).collect()
}

/// The document for scripts.
pub(super) fn document(proxy: &str, plane: &str, compared: &[Compared]) -> Value {
    let types = compared.iter().map(|one| {
        let pick = |keep: fn(&(Option<Value>, Option<Value>)) -> bool| {
            let kept = one.different.iter().filter(|(_, sides)| keep(sides));
            kept.map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        json!({
            "type": one.section.words().0,
            "match": one.matches(),
            "same": one.same,
            "different": pick(|sides| sides.0.is_some() && sides.1.is_some()),
            "onlyControlPlane": pick(|sides| sides.1.is_none()),
            "onlyProxy": pick(|sides| sides.0.is_none()),
        })
    });
    json!({
        "apiVersion": API_VERSION,
        "kind": "ProxyDiff",
        "proxy": proxy,
        "istiod": plane,
        "types": types.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Dump {
        Dump::open(json!({"resources": {
            "cluster": [
                {"name": "a", "resource": {"name": "a", "type": "EDS", "connect_timeout": "1s"}},
                {"name": "b", "resource": {"name": "b", "type": "EDS", "connect_timeout": "1s"}},
            ],
            "route": [{"name": "nobody", "resource": {"name": "nobody"}}],
        }}))
        .unwrap()
    }

    fn runs(timeout: &str) -> Dump {
        let cluster = |name: &str, timeout: &str| json!({"cluster": {"@type": "t/Cluster", "name": name, "type": "EDS", "connect_timeout": timeout}});
        Dump::open(json!({"configs": [{
            "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
            "static_clusters": [cluster("xds", "9s")],
            "dynamic_active_clusters": [cluster("a", "1s"), cluster("b", timeout)],
        }]}))
        .unwrap()
    }

    #[test]
    fn what_is_equal_matches_and_what_nobody_asks_for_is_not_missed() {
        let compared = compare(&wanted(), &runs("1s"));
        let expected = "Clusters Match (2)\nListeners Match (0)\nRoutes Match (0)\n\
                        Endpoints Match (0)\n";
        assert_eq!(show(&compared), expected);
    }

    #[test]
    fn a_difference_is_shown_in_place() {
        let compared = compare(&wanted(), &runs("3s"));
        let text = show(&compared);
        let expected = "Clusters Don't Match (1 of 2 differ)\n\
                        --- Istiod Clusters: b\n+++ Envoy Clusters: b\n@@ -1,3 +1,3 @@\n\
                        -connect_timeout: 1s\n+connect_timeout: 3s\n name: b\n type: EDS\n\
                        Listeners";
        assert!(text.starts_with(expected), "{text}");
        let document = document("p.n", "i", &compared);
        assert_eq!(document["types"][0]["different"], json!(["b"]));
        assert_eq!(document["types"][0]["match"], json!(false));
    }
}
