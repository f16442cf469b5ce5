//! The document `ProxyResources`: everything that one proxy should have, for people and programs.
//!
//! The command line and the debug page answer with it, so both say the same of the same proxy. The
//! resources are read back from the bytes that are sent, never from what they were made of.

use crate::compose::Assigned;
use meltemi_model::proxy::NodeFacts;
use meltemi_proto::pool;
use meltemi_proto::resource::{Encoded, TypeSet};
use meltemi_proto::urls::message_name;
use meltemi_types::xds::{CLUSTER, ENDPOINT, LISTENER, NAME_TABLE, ROUTE};
use meltemi_types::{Diagnostic, Locality, TypeUrl};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The version of the documents that Meltemi prints.
pub const API_VERSION: &str = "cli.meltemi.io/v1";

/// The types of resources that the document has, by their names in it, in its order.
pub const KINDS: [(&str, TypeUrl); 5] = [
    ("cluster", CLUSTER),
    ("endpoint", ENDPOINT),
    ("listener", LISTENER),
    ("route", ROUTE),
    ("nametable", NAME_TABLE),
];

impl Assigned {
    /// The sets of one type, the one shared with the class first; none of a type without any.
    #[must_use]
    pub fn sets(&self, type_url: &str) -> Vec<&Arc<TypeSet>> {
        let Self { outbound, inbound } = self;
        match type_url {
            CLUSTER => vec![&outbound.clusters, &inbound.clusters],
            ENDPOINT => vec![&outbound.endpoints],
            LISTENER => vec![&outbound.listeners, &inbound.listeners],
            ROUTE => vec![&outbound.routes],
            NAME_TABLE => vec![&outbound.names],
            _ => Vec::new(),
        }
    }

    /// The resources of one type, in the order of their sets and names.
    pub fn resources(&self, type_url: &str) -> impl Iterator<Item = &Arc<Encoded>> {
        let sets = self.sets(type_url).into_iter();
        sets.flat_map(|set| set.resources.values())
    }
}

/// What of a proxy's resources is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection<'a> {
    /// The type, by its name in [`KINDS`]; all where nothing is said.
    pub kind: Option<&'a str>,
    /// The name of the resource; all where nothing is said.
    pub name: Option<&'a str>,
}

/// The document. `node` is who asks, as [`node`] writes it.
///
/// # Errors
/// Bytes cannot be read back: our own fault; the text names the resource.
pub fn proxy_resources(
    node: &Value,
    assigned: &Assigned,
    selection: Selection<'_>,
    diagnostics: &BTreeSet<Diagnostic>,
) -> Result<Value, String> {
    let Selection { kind, name } = selection;
    let mut types = Map::new();
    for (word, type_url) in KINDS {
        if kind.is_some_and(|kind| kind != word) {
            continue;
        }
        let all = assigned.resources(type_url);
        let wanted = all.filter(|r| name.is_none_or(|name| name == &*r.name));
        let shown: Result<Vec<Value>, String> = wanted.map(|r| resource(r)).collect();
        let shown = shown?;
        // Few proxies have a name table: it is not worth an empty list in every answer.
        if type_url != NAME_TABLE || kind.is_some() || !shown.is_empty() {
            types.insert(word.into(), Value::Array(shown));
        }
    }
    Ok(json!({
        "apiVersion": API_VERSION,
        "kind": "ProxyResources",
        "node": node,
        "class": assigned.class_hash(),
        "resources": types,
        "diagnostics": diagnostics.iter().map(diagnostic).collect::<Vec<_>>(),
    }))
}

/// Who a proxy says that it is, in the words of its bootstrap.
#[must_use]
pub fn node(facts: &NodeFacts, cluster: &str) -> Value {
    let NodeFacts {
        id,
        metadata,
        locality,
        extensions: _, // hundreds of names that say what its binary is
    } = facts;
    let mut node = json!({ "id": id, "cluster": cluster, "metadata": metadata });
    if let (true, Some(fields)) = (*locality != Locality::default(), node.as_object_mut()) {
        let parts = [
            ("region", &locality.region),
            ("zone", &locality.zone),
            ("sub_zone", &locality.subzone),
        ];
        let known = parts.into_iter().filter(|(_, part)| !part.is_empty());
        let known: Map<String, Value> = known.map(|(k, part)| (k.into(), json!(part))).collect();
        fields.insert("locality".into(), Value::Object(known));
    }
    node
}

/// One resource with its version, as it is sent, and the objects that it comes from.
fn resource(encoded: &Encoded) -> Result<Value, String> {
    Ok(json!({
        "name": encoded.name,
        "version": encoded.version,
        "origin": encoded.origins,
        "resource": decoded(encoded)?,
    }))
}

/// The message as JSON, read back from the bytes that a proxy gets.
///
/// # Errors
/// The bytes are no such message; the text names the resource.
pub fn decoded(encoded: &Encoded) -> Result<Value, String> {
    pool::to_json(message_name(encoded.type_url), &encoded.body)
        .map_err(|e| format!("{} cannot be shown: {e}", encoded.name))
}

/// A finding with its fields and, as `text`, its sentence.
#[must_use]
pub fn diagnostic(diagnostic: &Diagnostic) -> Value {
    let mut value = serde_json::to_value(diagnostic).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("text".into(), diagnostic.to_string().into());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Translator;
    use meltemi_model::{Proxy, Snapshot};

    fn facts() -> NodeFacts {
        NodeFacts {
            id: "sidecar~10.0.0.1~a-1.shop~shop.svc.cluster.local".into(),
            locality: Locality::parse("here/there"),
            ..NodeFacts::default()
        }
    }

    #[test]
    fn the_document_has_every_type_and_who_asked() {
        let proxy = Proxy::understand(&facts()).unwrap();
        let assigned = Translator::new(Arc::new(Snapshot::default())).assign(&proxy, None);
        let none = BTreeSet::new();
        let all = Selection::default();
        let whole = proxy_resources(&node(&facts(), "a.shop"), &assigned, all, &none).unwrap();
        assert_eq!(whole["kind"], "ProxyResources");
        assert_eq!(
            whole["node"]["locality"],
            json!({"region": "here", "zone": "there"})
        );
        let types: Vec<_> = whole["resources"].as_object().unwrap().keys().collect();
        assert_eq!(types, ["cluster", "endpoint", "listener", "route"]);
        let listeners = whole["resources"]["listener"].as_array().unwrap();
        let names: Vec<_> = listeners
            .iter()
            .map(|l| l["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["virtualOutbound", "virtualInbound"]);
        assert_eq!(listeners[0]["resource"]["name"], "virtualOutbound");
        let one = Selection {
            kind: Some("cluster"),
            name: Some("BlackHoleCluster"),
        };
        let one = proxy_resources(&Value::Null, &assigned, one, &none).unwrap();
        assert_eq!(one["resources"].as_object().unwrap().len(), 1);
        assert_eq!(one["resources"]["cluster"].as_array().unwrap().len(), 1);
    }
}
