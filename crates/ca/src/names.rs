//! The names in the control plane's certificate, as istiod has them (platform.md 4.8): those of its
//! Services, which proxies are configured with, and those that it is told. The tags of a revision are
//! Services too: chart `meltemid` makes `istiod-revision-tag-TAG` for each.

use meltemi_types::Namespace;
use std::collections::BTreeSet;

/// The names of the control plane of a revision in its namespace, sorted: its Services and those of
/// its tags, with and without the cluster's domain, the names that Istio's older proxies use, and
/// `others`.
#[must_use]
pub fn serving(
    (namespace, domain): (&Namespace, &str),
    (revision, tags): (&str, &[String]),
    others: &[String],
) -> Vec<String> {
    let mut services = BTreeSet::from([
        "istiod".to_owned(),
        "istiod-remote".to_owned(),
        "istio-pilot".to_owned(),
    ]);
    if !revision.is_empty() && revision != "default" {
        services.insert(format!("istiod-{revision}"));
    }
    services.extend(tags.iter().map(|tag| format!("istiod-revision-tag-{tag}")));
    let mut names: BTreeSet<String> = others.iter().cloned().collect();
    for service in services {
        names.insert(format!("{service}.{namespace}.svc.{domain}"));
        names.insert(format!("{service}.{namespace}.svc"));
    }
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_has_its_own_service() {
        let namespace = Namespace::istio_system();
        let at = (&namespace, "cluster.local");
        let names = serving(at, ("canary", &[]), &["mesh.example.com".to_owned()]);
        assert_eq!(
            names,
            [
                "istio-pilot.istio-system.svc",
                "istio-pilot.istio-system.svc.cluster.local",
                "istiod-canary.istio-system.svc",
                "istiod-canary.istio-system.svc.cluster.local",
                "istiod-remote.istio-system.svc",
                "istiod-remote.istio-system.svc.cluster.local",
                "istiod.istio-system.svc",
                "istiod.istio-system.svc.cluster.local",
                "mesh.example.com",
            ]
        );
        assert!(
            !serving(at, ("default", &[]), &[])
                .iter()
                .any(|n| n.contains("default"))
        );
    }

    #[test]
    fn a_tag_is_a_service_of_its_own() {
        let namespace = Namespace::istio_system();
        let at = (&namespace, "cluster.local");
        let tags = ["prod".to_owned(), "test".to_owned()];
        let names = serving(at, ("default", &tags), &[]);
        let tagged: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|n| n.contains("tag"))
            .collect();
        assert_eq!(
            tagged,
            [
                "istiod-revision-tag-prod.istio-system.svc",
                "istiod-revision-tag-prod.istio-system.svc.cluster.local",
                "istiod-revision-tag-test.istio-system.svc",
                "istiod-revision-tag-test.istio-system.svc.cluster.local",
            ]
        );
    }
}
