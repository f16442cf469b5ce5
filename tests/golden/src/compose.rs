//! The product's pipeline: changes of a source, registry, translation, resources.

use anyhow::{Result, anyhow};
use meltemi_api::Change;
use meltemi_model::proxy::NodeFacts;
use meltemi_model::{Certificates, Proxy, Snapshot};
use meltemi_proto::resource::Encoded;
use meltemi_registry::{Registry, Settings};
use meltemi_translate::{Assigned, Translator, document};
use meltemi_types::{Diagnostic, TypeUrl};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The resources of one type by name.
pub type ByName = BTreeMap<Arc<str>, Arc<Encoded>>;

/// What came of a mesh for one proxy.
#[derive(Clone, Debug)]
pub struct Composed {
    /// As the translator hands it out.
    pub assigned: Assigned,
    /// Everything that is wrong, of objects and of translation, sorted.
    pub diagnostics: BTreeSet<Diagnostic>,
}

/// Reads changes from nothing and translates for one proxy.
#[must_use]
pub fn compose(changes: Vec<Change>, proxy: &Proxy) -> Composed {
    translate(read(changes), proxy)
}

/// The same for a proxy whose certificate, if it has one, stands in its bootstrap.
#[must_use]
pub fn compose_without_agent(changes: Vec<Change>, proxy: &Proxy) -> Composed {
    let snapshot = read(changes);
    let certified = snapshot.certificates_of(proxy).exist();
    let proxy = Proxy {
        certificates: certified.then_some(Certificates::Bootstrap),
        ..proxy.clone()
    };
    translate(snapshot, &proxy)
}

fn read(changes: Vec<Change>) -> Arc<Snapshot> {
    let mut registry = Registry::new(Settings::default());
    changes
        .into_iter()
        .for_each(|change| registry.apply(change));
    registry.publish().snapshot
}

fn translate(snapshot: Arc<Snapshot>, proxy: &Proxy) -> Composed {
    let assigned = Translator::new(snapshot.clone()).assign(proxy, None);
    let mut diagnostics: BTreeSet<_> = snapshot.diagnostics.iter().cloned().collect();
    diagnostics.extend(assigned.diagnostics());
    Composed {
        assigned,
        diagnostics,
    }
}

/// A sidecar that says nothing but its name, namespace, address and labels.
///
/// # Errors
/// A part is not what it should be.
pub fn sidecar(name: &str, namespace: &str, ip: &str, labels: &Value) -> Result<Proxy> {
    proxy("sidecar", (name, namespace, ip), labels)
}

/// A gateway's proxy that says as little.
///
/// # Errors
/// A part is not what it should be.
pub fn router(name: &str, namespace: &str, ip: &str, labels: &Value) -> Result<Proxy> {
    proxy("router", (name, namespace, ip), labels)
}

fn proxy(kind: &str, (name, namespace, ip): (&str, &str, &str), labels: &Value) -> Result<Proxy> {
    let mut facts = NodeFacts {
        id: format!("{kind}~{ip}~{name}.{namespace}~{namespace}.svc.cluster.local"),
        ..NodeFacts::default()
    };
    facts.metadata.insert("LABELS".into(), labels.clone());
    Proxy::understand(&facts).map_err(|refused| anyhow!("{refused}"))
}

/// Every resource that the proxy gets, by type and name; of two with one name the outbound one.
#[must_use]
pub fn resources(assigned: &Assigned) -> BTreeMap<TypeUrl, ByName> {
    let of = |type_url| -> ByName {
        let sets = assigned.sets(type_url).into_iter().rev();
        let all = sets.flat_map(|set| &set.resources);
        all.map(|(name, resource)| (name.clone(), resource.clone()))
            .collect()
    };
    let types = document::KINDS.into_iter();
    types
        .map(|(_, type_url)| (type_url, of(type_url)))
        .collect()
}

/// A resource as proto JSON.
///
/// # Errors
/// Its bytes are no such message.
pub fn json(resource: &Encoded) -> Result<Value> {
    document::decoded(resource).map_err(|error| anyhow!("{error}"))
}

/// Every resource of a type as proto JSON, by name.
///
/// # Errors
/// As [`json`].
pub fn all_json(all: &BTreeMap<TypeUrl, ByName>, type_url: &str) -> Result<Vec<Value>> {
    let of_type = all.get(type_url).into_iter().flat_map(BTreeMap::values);
    of_type.map(|resource| json(resource)).collect()
}
