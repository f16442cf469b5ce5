//! Which objects make pods, where their template is, and who owns it.

use meltemi_inject::Owner;
use serde_json::{Map, Value};
use std::fmt;

/// An object that makes pods.
pub(super) struct Workload {
    /// What its pods belong to.
    pub(super) owner: Owner,
    kind: String,
    name: String,
    /// Where metadata and spec of the pod stand.
    pointer: &'static str,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl Workload {
    /// The object as a workload; nothing when it is none.
    pub(super) fn of(object: &Value) -> Option<Self> {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str);
        let kind = text("/kind")?;
        let group = text("/apiVersion")?.split_once('/').map_or("", |(g, _)| g);
        let pointer = match (group, kind) {
            ("", "Pod") => "",
            ("", "ReplicationController")
            | ("apps" | "extensions", "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet")
            | ("batch", "Job")
            | ("" | "apps.openshift.io", "DeploymentConfig")
            | ("argoproj.io", "Rollout") => "/spec/template",
            ("batch", "CronJob") => "/spec/jobTemplate/spec/template",
            _ => return None,
        };
        object.pointer(&format!("{pointer}/spec/containers"))?;
        let own = |path: &str| text(path).unwrap_or_default().to_owned();
        let owner = match kind {
            "Pod" => Owner::of_pod(object),
            _ => Owner {
                api_version: own("/apiVersion"),
                kind: kind.to_owned(),
                name: own("/metadata/name"),
                namespace: own("/metadata/namespace"),
            },
        };
        let name = match own("/metadata/name") {
            name if name.is_empty() => own("/metadata/generateName"),
            name => name,
        };
        Some(Self {
            owner,
            kind: kind.to_owned(),
            name,
            pointer,
        })
    }

    /// Metadata and spec of its pods.
    pub(super) fn pod(&self, object: &Value) -> Value {
        let template = object.pointer(self.pointer);
        let field = |key: &str| {
            let found = template.and_then(|template| template.get(key));
            found.cloned().unwrap_or_else(|| Value::Object(Map::new()))
        };
        let fields = ["metadata", "spec"].map(|key| (key.to_owned(), field(key)));
        Value::Object(Map::from_iter(fields))
    }

    /// Puts metadata and spec of its pods into the object.
    pub(super) fn put(&self, object: &mut Value, mut pod: Value) {
        let Some(Value::Object(template)) = object.pointer_mut(self.pointer) else {
            return;
        };
        for key in ["metadata", "spec"] {
            if let Some(value) = pod.get_mut(key) {
                template.insert(key.to_owned(), value.take());
            }
        }
    }
}
