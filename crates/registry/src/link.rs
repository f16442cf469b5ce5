//! What joins objects: short names, and what can only be said by looking at several objects.

pub(crate) mod delegate;
pub(crate) mod ingress;
pub(crate) mod lower;
pub(crate) mod routes;

use meltemi_model::Mesh;
use meltemi_model::Snapshot;
use meltemi_types::{Code, Diagnostic, HostPattern, Namespace};
use std::collections::BTreeMap;

/// A host as Istio reads it: a name without a dot is a Kubernetes service of `namespace`.
pub(crate) fn full_host(text: &str, namespace: &Namespace, mesh: &Mesh) -> Option<HostPattern> {
    let text = text.to_ascii_lowercase();
    match text.contains('.') || text.starts_with('*') {
        true => text.parse().ok(),
        false => format!("{text}.{namespace}.svc.{}", mesh.cluster_domain)
            .parse()
            .ok(),
    }
}

/// Findings between objects of a finished snapshot.
pub(crate) fn checks(snapshot: &Snapshot) -> Vec<Diagnostic> {
    duplicate_sidecars(snapshot)
}

/// Only the oldest Sidecar without a selector counts in a namespace.
fn duplicate_sidecars(snapshot: &Snapshot) -> Vec<Diagnostic> {
    let mut first = BTreeMap::new();
    let mut found = Vec::new();
    for rule in &snapshot.sidecars.rules {
        if rule.selector.is_some() {
            continue;
        }
        let winner = first.entry(&rule.namespace).or_insert(rule);
        if winner.origin.object != rule.origin.object {
            found.push(Diagnostic::warning(
                Code::DuplicateSidecar,
                rule.origin.clone(),
                format!(
                    "Sidecar {} already covers the whole namespace",
                    winner.origin.object.name
                ),
                "delete one of them, or give this one a workloadSelector",
            ));
        }
    }
    found
}
