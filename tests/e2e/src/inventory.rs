//! What lies in a cluster: two lists, before and after, tell what was left behind.

use anyhow::Result;
use meltemi_testkit::cluster::access::Kubectl;
use std::collections::BTreeSet;

/// Kinds whose objects come and go by themselves, or that stay on purpose: definitions, and what
/// the API server makes of them.
const APART: [&str; 5] = [
    "apiservices.apiregistration.k8s.io",
    "events",
    "events.events.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "leases.coordination.k8s.io",
];

/// Every object, as KIND NAMESPACE/NAME.
///
/// # Errors
/// kubectl fails.
pub fn objects(kubectl: &Kubectl) -> Result<BTreeSet<String>> {
    let kinds = kubectl.run(&["api-resources", "--verbs=list", "--output=name"])?;
    let kinds: Vec<_> = kinds.lines().filter(|kind| !APART.contains(kind)).collect();
    let form = "--output=jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{\"\\n\"}{end}";
    let all = ["get", &kinds.join(","), "--all-namespaces", form];
    let listed = kubectl.run(&all)?;
    Ok(listed.lines().map(str::to_owned).collect())
}
