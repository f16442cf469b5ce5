//! From an object's bytes to an item of the cache.

use crate::cache::{Claim, Item};
use crate::target::Target;
use crate::wire::{self, Malformed};
use meltemi_api::Broken;
use meltemi_api::kinds::{Kind, Scope};
use meltemi_api::stored::{self, Pool};
use meltemi_api::yaml::{self, Admission, Outcome, Source, Strangers};
use meltemi_types::{ClusterId, Code, Diagnostic, Namespace, ObjectRef, Origin};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of the mesh configuration's object, whatever its ConfigMap is called.
const MESH: &str = "istio";

/// An object that a list or a watch holds. `None` when its name is none of ours.
pub(crate) fn item(
    target: &Target,
    json: &[u8],
    (cluster, pool): (&ClusterId, &mut Pool),
) -> Result<Option<Item>, Malformed> {
    if target.kind == Kind::MeshConfig {
        return mesh_config(target, json, cluster);
    }
    let judged = stored::read(target.kind, json, cluster, pool).map_err(|_| Malformed)?;
    let (version, claim, warnings) = match judged.outcome {
        Outcome::Object(object) => {
            let version = object.meta().resource_version.as_deref();
            let version = wire::number(version.unwrap_or_default());
            (version, Claim::Good(object), judged.diagnostics)
        }
        Outcome::Broken { object, selector } => {
            let who = wire::who(json)?.metadata;
            let broken = Broken {
                object,
                selector,
                generation: who.generation.filter(|_| target.is_custom()),
                diagnostics: judged.diagnostics.into(),
            };
            let claim = Claim::Broken(Arc::new(broken));
            (wire::number(&who.resource_version), claim, Vec::new())
        }
        Outcome::LeftOut | Outcome::Foreign | Outcome::Unclear => {
            for diagnostic in &judged.diagnostics {
                tracing::warn!(%diagnostic, kind = %target.title(), "an object is left out");
            }
            return Ok(None);
        }
    };
    let key = match &claim {
        Claim::Good(object) => object.key().clone(),
        Claim::Broken(broken) => broken.object.clone(),
    };
    Ok(Some(Item {
        key,
        version,
        claim,
        warnings,
    }))
}

/// Which object is gone, and as of which version.
pub(crate) fn gone(
    target: &Target,
    json: &[u8],
    cluster: &ClusterId,
) -> Result<Option<(Arc<ObjectRef>, u64)>, Malformed> {
    let who = wire::who(json)?.metadata;
    let version = wire::number(&who.resource_version);
    if let Some((namespace, _)) = target.only().filter(|_| target.kind == Kind::MeshConfig) {
        return Ok(Some((mesh_key(cluster, namespace), version)));
    }
    let namespace = match (target.kind.info().scope, who.namespace) {
        (Scope::Cluster, _) => None,
        (Scope::Namespaced, None) => Some(Namespace::default_namespace()),
        (Scope::Namespaced, Some(namespace)) => match namespace.parse() {
            Ok(namespace) => Some(namespace),
            Err(_) => return Ok(None),
        },
    };
    let key = who.name.parse().ok().map(|name| ObjectRef {
        cluster: cluster.clone(),
        kind: target.kind.name().into(),
        namespace,
        name,
    });
    Ok(key.map(|key| (Arc::new(key), version)))
}

#[derive(Deserialize)]
struct ConfigMap {
    #[serde(default)]
    metadata: wire::WhoMeta,
    data: Option<BTreeMap<String, String>>,
}

/// The ConfigMap of the mesh configuration.
fn mesh_config(
    target: &Target,
    json: &[u8],
    cluster: &ClusterId,
) -> Result<Option<Item>, Malformed> {
    let Some((namespace, name)) = target.only() else {
        return Ok(None);
    };
    let map: ConfigMap = serde_json::from_slice(json)?;
    let version = wire::number(&map.metadata.resource_version);
    let data = map.data.unwrap_or_default();
    let source = |key: &str| Source {
        cluster: cluster.clone(),
        file: format!("ConfigMap {namespace}/{name} {key}").into(),
        root_namespace: namespace.clone(),
        strangers: Strangers::Ignore,
        admission: Admission::Done,
    };
    let mut warnings = Vec::new();
    if let Some(text) = data.get("meshNetworks") {
        let read = yaml::read_mesh_networks(text.as_bytes(), &source("meshNetworks"));
        warnings = read.diagnostics;
    }
    let key = mesh_key(cluster, namespace);
    let claim = match data.get("mesh") {
        None => Claim::Broken(Arc::new(without_mesh(&key))),
        Some(text) => {
            let document = yaml::read_mesh_config(text.as_bytes(), &source("mesh"));
            match document.outcome {
                Outcome::Object(object) => {
                    warnings.extend(document.diagnostics);
                    Claim::Good(object)
                }
                Outcome::Broken { .. } | Outcome::LeftOut | Outcome::Foreign | Outcome::Unclear => {
                    Claim::Broken(Arc::new(Broken {
                        object: key.clone(),
                        selector: None,
                        generation: None,
                        diagnostics: document.diagnostics.into(),
                    }))
                }
            }
        }
    };
    Ok(Some(Item {
        key,
        version,
        claim,
        warnings,
    }))
}

fn without_mesh(key: &Arc<ObjectRef>) -> Broken {
    let diagnostic = Diagnostic::error(
        Code::MeshConfigInvalid,
        Origin::object(key.clone(), None),
        "the ConfigMap has no key mesh; the last good one stays in force",
        "put the mesh configuration under data.mesh; an empty text stands for the defaults",
    );
    Broken {
        object: key.clone(),
        selector: None,
        generation: None,
        diagnostics: [diagnostic].into(),
    }
}

/// The object that the mesh configuration is, wherever it comes from.
fn mesh_key(cluster: &ClusterId, namespace: &Namespace) -> Arc<ObjectRef> {
    Arc::new(ObjectRef {
        cluster: cluster.clone(),
        kind: Kind::MeshConfig.name().into(),
        namespace: Some(namespace.clone()),
        #[expect(clippy::unwrap_used, reason = "the constant is a name")]
        name: MESH.parse().unwrap(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_api::Object;
    use serde_json::json;

    fn read(target: &Target, value: &serde_json::Value) -> Option<Item> {
        let into = (&ClusterId::default(), &mut Pool::default());
        item(target, value.to_string().as_bytes(), into).unwrap()
    }

    fn mesh(data: &serde_json::Value) -> Item {
        let target = Target::mesh_config(Namespace::istio_system(), "istio-canary".into());
        let metadata =
            json!({"name": "istio-canary", "namespace": "istio-system", "resourceVersion": "5"});
        read(&target, &json!({"metadata": metadata, "data": data})).unwrap()
    }

    #[test]
    fn the_config_map_of_a_revision_is_the_mesh_configuration() {
        let item = mesh(&json!({"mesh": "connectTimeout: 3s\nlater: 1\n"}));
        assert_eq!(item.key.to_string(), "MeshConfig istio-system/istio");
        assert_eq!(item.version, 5);
        assert!(matches!(item.claim, Claim::Good(Object::MeshConfig(_))));
        let text = item.warnings[0].to_string();
        assert!(
            text.contains("ConfigMap istio-system/istio-canary mesh:2:"),
            "{text}"
        );
    }

    #[test]
    fn mesh_configuration_that_cannot_be_used_says_where() {
        for data in [
            json!({"mesh": "connectTimeout: ["}),
            json!({"other": ""}),
            json!(null),
        ] {
            assert!(matches!(mesh(&data).claim, Claim::Broken(_)), "{data}");
        }
    }

    #[test]
    fn a_deleted_object_is_named_by_its_metadata() {
        let pods = Target::kinds()
            .into_iter()
            .find(|t| t.kind == Kind::Pod)
            .unwrap();
        let json =
            br#"{"metadata":{"name":"web-0","namespace":"shop","resourceVersion":"9"},"spec":7}"#;
        let (key, version) = gone(&pods, json, &ClusterId::default()).unwrap().unwrap();
        assert_eq!((key.to_string().as_str(), version), ("Pod shop/web-0", 9));
    }

    #[test]
    fn an_object_that_does_not_decode_is_broken_by_itself() {
        let rules = Target::kinds()
            .into_iter()
            .find(|t| t.kind == Kind::DestinationRule)
            .unwrap();
        let metadata = json!({"name": "web", "namespace": "shop", "resourceVersion": "9"});
        let item = read(&rules, &json!({"metadata": metadata, "spec": {"host": {}}})).unwrap();
        assert!(matches!(item.claim, Claim::Broken(_)));
        assert_eq!(item.version, 9);
    }
}
