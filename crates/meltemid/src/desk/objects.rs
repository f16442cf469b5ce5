//! Pages about objects: which are in force, which kinds are watched, what is wrong with them.

use meltemi_api::kinds::{KINDS, KindInfo};
use meltemi_model::Snapshot;
use meltemi_translate::document::{API_VERSION, diagnostic};
use meltemi_types::{Diagnostic, Origin};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Configuration objects in force, as Kubernetes objects without their text: they are kept as what
/// was made of them.
pub(super) fn configz(snapshot: &Snapshot) -> Value {
    let routes = snapshot.routes.tables.iter().map(|t| &t.origin);
    let rules = snapshot.policies.iter().flat_map(|r| r.origins.iter());
    let sidecars = snapshot.sidecars.rules.iter().map(|r| &r.origin);
    let gateways = snapshot.gateways.rules.iter().map(|r| &r.origin);
    let peers = snapshot.security.peers.iter().map(|p| &p.origin);
    let guards = snapshot.security.guards.iter().map(|g| &g.origin);
    let all: BTreeSet<_> = routes
        .chain(rules)
        .chain(sidecars)
        .chain(gateways)
        .chain(peers)
        .chain(guards)
        .map(|origin| (origin.object.clone(), origin.location.clone()))
        .collect();
    let shown = all.into_iter().map(|(object, location)| {
        let info = KINDS.iter().find(|info| info.name == &*object.kind);
        let mut value = json!({
            "kind": object.kind,
            "apiVersion": info.map(api_version).unwrap_or_default(),
            "metadata": { "name": object.name, "namespace": object.namespace },
            "cluster": object.cluster,
        });
        if let (Some(location), Some(fields)) = (location, value.as_object_mut()) {
            fields.insert("location".into(), json!(location));
        }
        value
    });
    shown.collect()
}

fn api_version(info: &KindInfo) -> String {
    let version = info.versions.first().copied().unwrap_or_default();
    match info.group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    }
}

/// Kinds that are watched.
pub(super) fn resourcesz() -> Value {
    let kinds = KINDS.iter().map(|info| {
        json!({
            "group": info.group,
            "version": info.versions.first(),
            "kind": info.name,
        })
    });
    kinds.collect()
}

/// What is wrong, by code and object.
pub(super) fn push_status(diagnostics: &BTreeSet<Diagnostic>) -> Value {
    let mut codes = Map::new();
    for diagnostic in diagnostics {
        let object = diagnostic.origin.as_ref().map(Origin::to_string);
        let of_code = codes
            .entry(diagnostic.code.to_string())
            .or_insert_with(|| json!({}));
        if let Some(objects) = of_code.as_object_mut() {
            let message = json!({ "message": diagnostic.message });
            objects.insert(object.unwrap_or_default(), message);
        }
    }
    Value::Object(codes)
}

/// What is wrong, whole.
pub(super) fn diagnosticz(diagnostics: &BTreeSet<Diagnostic>) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": "Diagnostics",
        "diagnostics": diagnostics.iter().map(diagnostic).collect::<Vec<_>>(),
    })
}
