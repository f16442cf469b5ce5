//! Whose pod it is: what its telemetry and its canonical name are made of.

use crate::pod;
use serde_json::Value;

/// The workload that a pod belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Its API version; may be empty.
    pub api_version: String,
    /// Its kind, such as `Deployment`.
    pub kind: String,
    /// Its name; empty for a pod that will get one from `generateName`.
    pub name: String,
    /// Its namespace as it says; may be empty.
    pub namespace: String,
}

impl Owner {
    /// The owner that a pod of its own names.
    #[must_use]
    pub fn of_pod(pod: &Value) -> Self {
        let text = |of: &Value, key: &str| {
            let found = of.get(key).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        let empty = Value::Null;
        let metadata = pod.get("metadata").unwrap_or(&empty);
        let itself = Self {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: text(metadata, "name"),
            namespace: text(metadata, "namespace"),
        };
        let references = metadata.get("ownerReferences").and_then(Value::as_array);
        let controller = references
            .into_iter()
            .flatten()
            .find(|reference| reference.get("controller") == Some(&Value::Bool(true)));
        let (Some(controller), false) = (controller, text(metadata, "generateName").is_empty())
        else {
            return itself;
        };
        let direct = Self {
            api_version: text(controller, "apiVersion"),
            kind: text(controller, "kind"),
            name: text(controller, "name"),
            namespace: itself.namespace,
        };
        direct.above(pod)
    }

    /// The owner's own owner, as far as names tell.
    fn above(self, pod: &Value) -> Self {
        let without = |label: &str| {
            let hash = pod::label(pod, label)?;
            let name = self.name.strip_suffix(hash)?.strip_suffix('-')?;
            Some(name.to_owned())
        };
        match self.kind.as_str() {
            "ReplicaSet" => {
                if let Some(name) = without("rollouts-pod-template-hash") {
                    return Self {
                        api_version: "v1alpha1".to_owned(),
                        kind: "Rollout".to_owned(),
                        name,
                        ..self
                    };
                }
                match without("pod-template-hash") {
                    Some(name) => Self {
                        kind: "Deployment".to_owned(),
                        name,
                        ..self
                    },
                    None => self,
                }
            }
            "ReplicationController" => match pod::label(pod, "deploymentconfig") {
                Some(name) => Self {
                    kind: "DeploymentConfig".to_owned(),
                    name: name.to_owned(),
                    ..self
                },
                None => self,
            },
            "Job" => match cron_job(&self.name) {
                Some(name) => Self {
                    api_version: "batch/v1".to_owned(),
                    kind: "CronJob".to_owned(),
                    name,
                    ..self
                },
                None => self,
            },
            _ => self,
        }
    }
}

/// The CronJob that made a Job of this name.
fn cron_job(job: &str) -> Option<String> {
    let (name, minute) = job.rsplit_once('-')?;
    let is_minute =
        (8..=10).contains(&minute.len()) && minute.bytes().all(|byte| byte.is_ascii_digit());
    (is_minute && !name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn owners_are_followed_by_name() {
        let table = [
            (
                "apps/v1",
                "ReplicaSet",
                "web-5d4",
                json!({"pod-template-hash": "5d4"}),
                ("apps/v1", "Deployment", "web"),
            ),
            (
                "apps/v1",
                "ReplicaSet",
                "web-5d4",
                json!({}),
                ("apps/v1", "ReplicaSet", "web-5d4"),
            ),
            (
                "apps/v1",
                "ReplicaSet",
                "web-5d4",
                json!({"rollouts-pod-template-hash": "5d4"}),
                ("v1alpha1", "Rollout", "web"),
            ),
            (
                "v1",
                "ReplicationController",
                "web-1",
                json!({"deploymentconfig": "web"}),
                ("v1", "DeploymentConfig", "web"),
            ),
            (
                "batch/v1",
                "Job",
                "tidy-28391730",
                json!({}),
                ("batch/v1", "CronJob", "tidy"),
            ),
            (
                "batch/v1",
                "Job",
                "tidy-1",
                json!({}),
                ("batch/v1", "Job", "tidy-1"),
            ),
            ("foo/v1", "Bar", "b", json!({}), ("foo/v1", "Bar", "b")),
        ];
        for (api_version, kind, name, labels, expected) in table {
            let reference =
                json!({"apiVersion": api_version, "kind": kind, "name": name, "controller": true});
            let pod = json!({"metadata": {"generateName": "x-", "labels": labels, "ownerReferences": [reference]}});
            let owner = Owner::of_pod(&pod);
            assert_eq!((&*owner.api_version, &*owner.kind, &*owner.name), expected);
        }
        let alone = Owner::of_pod(&json!({"metadata": {"name": "p", "ownerReferences": []}}));
        assert_eq!((&*alone.kind, &*alone.name), ("Pod", "p"));
    }
}
