//! Which objects take part, whatever source they came from. What lies in a namespace that no
//! `discoverySelectors` of the mesh configuration match is kept aside, and comes back when the
//! namespace's labels or the selectors change. Mesh objects of another revision are not there.
//!
//! Follows <https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshConfig>. The
//! surprise: the root namespace is no exception, as in Istio; only the mesh configuration is.

use crate::settings::Settings;
use crate::world::World;
use meltemi_api::change::Broken;
use meltemi_api::selector::LabelSelector;
use meltemi_api::{Change, Object};
use meltemi_types::{ClusterId, Labels, Namespace, ObjectRef};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const REVISION: &str = "istio.io/rev";

/// The change as this revision sees it: a mesh object with the label of another one is gone. An
/// object that does not parse may be anybody's, and is taken for ours.
pub(crate) fn of_revision(change: Change, settings: &Settings) -> Change {
    if let Change::Upsert(object) = &change
        && is_of_another(object, settings)
    {
        return Change::Delete(object.key().clone());
    }
    change
}

fn is_of_another(object: &Object, settings: &Settings) -> bool {
    let is_mesh = object.kind().info().group.ends_with("istio.io");
    let label = object.meta().labels.value(REVISION);
    let is_ours = |label: &str| {
        let tagged = settings.tags.iter().any(|tag| **tag == *label);
        tagged || named(label) == named(&settings.revision)
    };
    is_mesh && label.is_some_and(|label| !is_ours(label))
}

fn named(revision: &str) -> &str {
    match revision {
        "" => "default",
        revision => revision,
    }
}

/// A namespace of a cluster.
type Place = (ClusterId, Namespace);

/// What takes part and what is kept aside.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    selectors: Vec<LabelSelector>,
    labels: BTreeMap<Place, Labels>,
    aside: BTreeMap<Arc<ObjectRef>, Aside>,
}

/// An object that is kept aside: its last good version, and its newest when that is broken.
#[derive(Debug, Default)]
struct Aside {
    good: Option<Object>,
    broken: Option<Arc<Broken>>,
}

impl Discovery {
    /// Looks at a change of a namespace; true when another set of namespaces may take part.
    pub(crate) fn observe(&mut self, change: &Change) -> bool {
        let (key, labels) = match change {
            Change::Upsert(Object::Namespace(object)) => {
                (&object.meta.object, Some(&object.meta.labels))
            }
            Change::Upsert(object) => return matches!(object, Object::MeshConfig(_)),
            Change::Delete(key) if &*key.kind == "Namespace" => (key, None),
            Change::Delete(key) => return &*key.kind == "MeshConfig",
            Change::Broken(_) | Change::Findings { .. } | Change::Synced { .. } => return false,
        };
        let Ok(name) = key.name.as_str().parse() else {
            return false;
        };
        let place = (key.cluster.clone(), name);
        let before = self.takes_part(&place);
        match labels {
            Some(labels) => self.labels.insert(place.clone(), labels.clone()),
            None => self.labels.remove(&place),
        };
        before != self.takes_part(&place)
    }

    /// The change, unless its object is kept aside.
    pub(crate) fn admit(&mut self, change: Change) -> Option<Change> {
        let key = match &change {
            Change::Upsert(object) => object.key(),
            Change::Delete(key) => key,
            Change::Broken(broken) => &broken.object,
            Change::Findings { .. } | Change::Synced { .. } => return Some(change),
        };
        if self.is_visible(key) {
            return Some(change);
        }
        let key = key.clone();
        match change {
            Change::Upsert(object) => {
                let good = Some(object);
                self.aside.insert(key, Aside { good, broken: None });
            }
            Change::Broken(broken) => {
                self.aside.entry(key).or_default().broken = Some(broken);
            }
            Change::Delete(_) | Change::Findings { .. } | Change::Synced { .. } => {
                self.aside.remove(&key);
            }
        }
        None
    }

    /// What comes and goes when these are the selectors and the labels are what they are now.
    pub(crate) fn review(&mut self, selectors: &[LabelSelector], world: &World) -> Vec<Change> {
        if self.selectors.is_empty() && selectors.is_empty() {
            return Vec::new();
        }
        self.selectors = selectors.to_vec();
        let mut changes = Vec::new();
        let mut leaving: BTreeSet<Arc<ObjectRef>> = BTreeSet::new();
        for object in world.objects() {
            if !self.is_visible(object.key()) {
                leaving.insert(object.key().clone());
                let key = object.key().clone();
                self.aside.entry(key).or_default().good = Some(object);
            }
        }
        for broken in world.broken.values() {
            if !self.is_visible(&broken.object) {
                leaving.insert(broken.object.clone());
                let key = broken.object.clone();
                self.aside.entry(key).or_default().broken = Some(broken.clone());
            }
        }
        changes.extend(leaving.into_iter().map(Change::Delete));
        for (key, kept) in std::mem::take(&mut self.aside) {
            if !self.is_visible(&key) {
                self.aside.insert(key, kept);
                continue;
            }
            changes.extend(kept.good.map(Change::Upsert));
            changes.extend(kept.broken.map(Change::Broken));
        }
        changes
    }

    fn is_visible(&self, key: &ObjectRef) -> bool {
        match &key.namespace {
            None => true,
            Some(_) if &*key.kind == "MeshConfig" => true,
            Some(_) if self.selectors.is_empty() => true,
            Some(namespace) => self.takes_part(&(key.cluster.clone(), namespace.clone())),
        }
    }

    /// A namespace that is not known has no labels.
    fn takes_part(&self, place: &Place) -> bool {
        let none = Labels::default();
        let labels = self.labels.get(place).unwrap_or(&none);
        self.selectors.is_empty() || self.selectors.iter().any(|s| s.matches(labels))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Registry, Settings};
    use k8s_openapi::api::core::v1::{Namespace, ServicePort, ServiceSpec};
    use meltemi_api::mesh_config::MeshConfig;
    use meltemi_api::networking::sidecar::Sidecar;
    use meltemi_api::selector::LabelSelector;
    use meltemi_api::{Change, Meta, Object, Resource};
    use meltemi_types::{Labels, ObjectRef};

    fn meta(kind: &str, namespace: Option<&str>, name: &str) -> Meta {
        Meta::new(ObjectRef {
            cluster: Default::default(),
            kind: kind.into(),
            namespace: namespace.map(|namespace| namespace.parse().unwrap()),
            name: name.parse().unwrap(),
        })
    }

    fn service(namespace: &str) -> Change {
        let port = ServicePort {
            port: 80,
            ..Default::default()
        };
        let spec = ServiceSpec {
            cluster_ip: Some("10.1.0.1".into()),
            ports: Some(vec![port]),
            ..Default::default()
        };
        Change::Upsert(Resource::new(meta("Service", Some(namespace), "web"), spec).into())
    }

    fn namespace(name: &str, team: &str) -> Change {
        let mut meta = meta("Namespace", None, name);
        let labels = [("team".to_owned(), team.to_owned())];
        meta.labels = labels.into_iter().collect::<Labels>();
        Change::Upsert(Object::from(Resource::new(meta, Namespace::default())))
    }

    fn mesh(team: Option<&str>) -> Change {
        let selector = |team: &str| LabelSelector {
            match_labels: [("team".to_owned(), team.to_owned())].into(),
            ..LabelSelector::default()
        };
        let spec = MeshConfig {
            discovery_selectors: team.into_iter().map(selector).collect(),
            ..MeshConfig::default()
        };
        let meta = meta("MeshConfig", Some("istio-system"), "istio");
        Change::Upsert(Resource::new(meta, spec).into())
    }

    /// The namespaces that contribute a service after each step.
    fn seen(registry: &mut Registry) -> Vec<String> {
        let snapshot = registry.publish().snapshot;
        let services = snapshot.services.iter();
        services
            .map(|service| service.key.namespace.to_string())
            .collect()
    }

    #[test]
    fn namespaces_that_no_selector_matches_contribute_nothing() {
        let mut registry = Registry::new(Settings::default());
        let mut step = |changes: Vec<Change>| {
            changes
                .into_iter()
                .for_each(|change| registry.apply(change));
            seen(&mut registry)
        };
        assert_eq!(step(vec![service("a"), service("b")]), ["a", "b"]);
        assert_eq!(
            step(vec![namespace("a", "red"), namespace("b", "blue")]),
            ["a", "b"]
        );
        assert_eq!(step(vec![mesh(Some("red"))]), ["a"]);
        assert_eq!(step(vec![service("b"), service("c")]), ["a"], "kept aside");
        assert_eq!(step(vec![namespace("c", "red")]), ["a", "c"]);
        assert_eq!(step(vec![namespace("a", "blue")]), ["c"]);
        let Change::Upsert(gone) = service("b") else {
            panic!()
        };
        assert_eq!(step(vec![Change::Delete(gone.key().clone())]), ["c"]);
        assert_eq!(
            step(vec![mesh(None)]),
            ["a", "c"],
            "what is gone does not come back"
        );
    }

    #[test]
    fn mesh_objects_of_another_revision_are_not_there() {
        let labelled = |revision: Option<&str>| {
            let mut meta = meta("Sidecar", Some("a"), "all");
            let label = revision.map(|revision| ("istio.io/rev".to_owned(), revision.to_owned()));
            meta.labels = label.into_iter().collect::<Labels>();
            Change::Upsert(Object::from(Resource::new(meta, Sidecar::default())))
        };
        let settings = Settings {
            revision: "canary".into(),
            tags: vec!["next".into()],
            ..Settings::default()
        };
        let mut registry = Registry::new(settings);
        for (revision, expected) in [
            (None, 1),
            (Some("default"), 0),
            (Some("canary"), 1),
            (Some("other"), 0),
            (Some("next"), 1),
            (Some(""), 0),
        ] {
            registry.apply(labelled(revision));
            let sidecars = registry.publish().snapshot.sidecars.rules.len();
            assert_eq!(sidecars, expected, "{revision:?}");
        }
    }

    #[test]
    fn the_order_of_changes_does_not_matter() {
        let changes = [
            namespace("a", "red"),
            mesh(Some("red")),
            service("a"),
            service("b"),
        ];
        for start in 0..changes.len() {
            let mut registry = Registry::new(Settings::default());
            let order = changes.iter().cycle().skip(start).take(changes.len());
            order.for_each(|change| registry.apply(change.clone()));
            assert_eq!(seen(&mut registry), ["a"], "from {start}");
        }
    }
}
