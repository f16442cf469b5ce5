//! What is watched: every kind of the mesh, and the ConfigMap of the mesh configuration.

use crate::cache::OnGone;
use crate::credentials::Needed;
use meltemi_api::kinds::{KINDS, Kind};
use meltemi_types::{Namespace, ObjectRef};

/// One thing to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// What its objects become.
    pub(crate) kind: Kind,
    group: &'static str,
    plural: &'static str,
    versions: &'static [&'static str],
    only: Option<Only>,
}

/// One object of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Only {
    namespace: Namespace,
    name: String,
}

impl Target {
    /// Every kind. Endpoints are left out: an API server mirrors them into EndpointSlices.
    pub(crate) fn kinds() -> Vec<Self> {
        let all = KINDS.iter();
        let own = |kind| matches!(kind, Kind::Endpoints | Kind::MeshConfig);
        let watched = all.filter(|info| !own(info.kind) && !info.kind.is_credential());
        let target = |info: &meltemi_api::kinds::KindInfo| Self {
            kind: info.kind,
            group: info.group,
            plural: info.plural,
            versions: info.versions,
            only: None,
        };
        watched.map(target).collect()
    }

    /// The ConfigMap of the mesh configuration.
    pub(crate) fn mesh_config(namespace: Namespace, name: String) -> Self {
        Self {
            kind: Kind::MeshConfig,
            group: "",
            plural: "configmaps",
            versions: &["v1"],
            only: Some(Only { namespace, name }),
        }
    }

    /// One object that holds certificates.
    pub(crate) fn credential(needed: &Needed) -> Self {
        let info = needed.kind.info();
        Self {
            kind: needed.kind,
            group: info.group,
            plural: info.plural,
            versions: info.versions,
            only: Some(Only {
                namespace: needed.namespace.clone(),
                name: needed.name.to_string(),
            }),
        }
    }

    /// The unit by which is told what is wrong with it as a whole.
    pub(crate) fn unit(&self) -> String {
        match &self.only {
            Some(Only { namespace, name }) if self.kind.is_credential() => {
                format!("{} {namespace}/{name}", self.title())
            }
            Some(_) | None => self.title(),
        }
    }

    /// Its name as RBAC and CustomResourceDefinitions spell it.
    pub(crate) fn title(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// What becomes of objects that are gone.
    pub(crate) fn on_gone(&self) -> OnGone {
        match self.kind == Kind::MeshConfig {
            true => OnGone::Keep,
            false => OnGone::Delete,
        }
    }

    /// The versions that can be read, the preferred one first.
    pub(crate) fn versions(&self) -> &'static [&'static str] {
        self.versions
    }

    /// True for a kind that exists only where its CustomResourceDefinition does.
    pub(crate) fn is_custom(&self) -> bool {
        self.group.ends_with("istio.io")
    }

    /// The rights that reading it takes, for people.
    pub(crate) fn rights(&self) -> String {
        let group = match self.group {
            "" => "the core API group".to_owned(),
            group => format!("the API group {group}"),
        };
        match &self.only {
            None => format!(
                "list and watch on {} of {group}, in a ClusterRole",
                self.plural
            ),
            Some(only) => format!(
                "list and watch on {} of {group}, in a Role of namespace {}",
                self.plural, only.namespace
            ),
        }
    }

    /// Where its objects are, without a query.
    pub(crate) fn path(&self, version: &str) -> String {
        let root = self.root(version);
        match &self.only {
            None => format!("{root}/{}", self.plural),
            Some(only) => format!("{root}/namespaces/{}/{}", only.namespace, self.plural),
        }
    }

    /// Where one of its objects is, in that version.
    pub(crate) fn object(&self, version: &str, key: &ObjectRef) -> String {
        let (root, plural) = (self.root(version), self.plural);
        match (&self.only, &key.namespace) {
            (Some(only), _) => format!("{}/{}", self.path(version), only.name),
            (None, Some(namespace)) => {
                format!("{root}/namespaces/{namespace}/{plural}/{}", key.name)
            }
            (None, None) => format!("{root}/{plural}/{}", key.name),
        }
    }

    /// Where the API server says which kinds a version of the group has.
    pub(crate) fn root(&self, version: &str) -> String {
        match self.group {
            "" => format!("/api/{version}"),
            group => format!("/apis/{group}/{version}"),
        }
    }

    /// The name as discovery spells it.
    pub(crate) fn plural(&self) -> &'static str {
        self.plural
    }

    /// The part of a query that picks its objects.
    pub(crate) fn selector(&self) -> String {
        self.only
            .as_ref()
            .map(|only| format!("&fieldSelector=metadata.name%3D{}", only.name))
            .unwrap_or_default()
    }

    /// The ConfigMap's namespace and name.
    pub(crate) fn only(&self) -> Option<(&Namespace, &str)> {
        let only = self.only.as_ref()?;
        Some((&only.namespace, &only.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_where_the_api_server_has_them() {
        let kinds = Target::kinds();
        let find = |kind| kinds.iter().find(|target| target.kind == kind).unwrap();
        assert_eq!(find(Kind::Pod).path("v1"), "/api/v1/pods");
        let rule = find(Kind::DestinationRule);
        assert_eq!(
            rule.path("v1beta1"),
            "/apis/networking.istio.io/v1beta1/destinationrules"
        );
        assert_eq!(rule.title(), "destinationrules.networking.istio.io");
        assert!(rule.is_custom() && !find(Kind::Ingress).is_custom());
        assert!(!kinds.iter().any(|target| target.kind == Kind::Endpoints));
    }

    #[test]
    fn one_config_map_is_read_and_no_other() {
        let target = Target::mesh_config(Namespace::istio_system(), "istio-canary".into());
        assert_eq!(
            target.path("v1"),
            "/api/v1/namespaces/istio-system/configmaps"
        );
        assert_eq!(
            target.selector(),
            "&fieldSelector=metadata.name%3Distio-canary"
        );
    }
}
