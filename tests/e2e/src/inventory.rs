//! What lies in a cluster: two lists, before and after, tell what was left behind.

use anyhow::Result;
use meltemi_testkit::cluster::access::Kubectl;
use std::collections::BTreeSet;

/// Kinds whose objects come and go by themselves, or that stay on purpose: definitions.
const APART: [&str; 4] = [
    "events",
    "events.events.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "leases.coordination.k8s.io",
];

/// What the API server makes of the definitions: the versions of their groups.
const GROUPS: [&str; 4] = [
    ".extensions.istio.io",
    ".networking.istio.io",
    ".security.istio.io",
    ".telemetry.istio.io",
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
    let lines = listed.lines().filter(|line| !is_made_of_a_definition(line));
    Ok(lines.map(str::to_owned).collect())
}

fn is_made_of_a_definition(line: &str) -> bool {
    line.starts_with("APIService ") && GROUPS.iter().any(|group| line.ends_with(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_api_services_only_those_of_our_definitions_are_left_out() {
        for (line, left_out) in [
            ("APIService /v1alpha3.networking.istio.io", true),
            ("APIService /v1.networking.k8s.io", false),
            ("APIService /v1.acme.istio.io", false),
            ("ConfigMap shop/v1.networking.istio.io", false),
        ] {
            assert_eq!(is_made_of_a_definition(line), left_out, "{line}");
        }
    }
}
