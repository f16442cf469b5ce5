//! What pods may do to their node, and what they must not.

use crate::{Object, texts};
use serde_json::Value;

/// What is wrong with the pods of these objects by the restricted pod security standard, and with
/// their images and requests.
#[must_use]
pub fn exposed(objects: &[Object]) -> Vec<String> {
    let mut found = Vec::new();
    for object in objects {
        let Some(spec) = object.pod().and_then(|pod| pod.get("spec")) else {
            continue;
        };
        let wrong = pod(spec).into_iter().chain(
            spec.get("containers")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .flat_map(container),
        );
        found.extend(wrong.map(|what| format!("{}: {what}", object.id())));
    }
    found
}

fn pod(spec: &Value) -> Vec<&'static str> {
    let at = |pointer: &str| spec.pointer(pointer).unwrap_or(&Value::Null);
    let on_host = ["/hostNetwork", "/hostPID", "/hostIPC"];
    let volumes = at("/volumes").as_array().into_iter().flatten();
    let checks = [
        (
            at("/securityContext/runAsNonRoot") == true,
            "may run as root",
        ),
        (
            at("/securityContext/runAsUser")
                .as_u64()
                .is_some_and(|id| id > 0),
            "does not say which user it runs as",
        ),
        (
            at("/securityContext/seccompProfile/type") == "RuntimeDefault",
            "has no seccomp profile",
        ),
        (
            on_host.iter().all(|key| at(key).is_null()),
            "shares with its node",
        ),
        (
            volumes
                .clone()
                .all(|volume| volume.get("hostPath").is_none()),
            "mounts files of its node",
        ),
    ];
    failed(&checks)
}

fn container(container: &Value) -> Vec<&'static str> {
    let at = |pointer: &str| container.pointer(pointer).unwrap_or(&Value::Null);
    let image = at("/image").as_str().unwrap_or_default();
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    let checks = [
        (
            at("/securityContext/allowPrivilegeEscalation") == false,
            "may gain privileges",
        ),
        (
            at("/securityContext/readOnlyRootFilesystem") == true,
            "may write to its image",
        ),
        (
            texts(at("/securityContext/capabilities/drop")) == ["ALL"]
                && at("/securityContext/capabilities/add").is_null(),
            "has capabilities",
        ),
        (at("/securityContext/privileged").is_null(), "is privileged"),
        (
            at("/resources/requests/cpu").is_string()
                && at("/resources/requests/memory").is_string(),
            "requests nothing",
        ),
        (
            // The injector puts in what the control plane says.
            image == "auto" || !tag.is_empty() && tag != "latest" && !tag.contains('/'),
            "does not say which image",
        ),
    ];
    failed(&checks)
}

fn failed(checks: &[(bool, &'static str)]) -> Vec<&'static str> {
    let wrong = checks.iter().filter(|(holds, _)| !holds);
    wrong.map(|(_, what)| *what).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment() -> Value {
        json!({"kind": "Deployment", "spec": {"template": {"spec": {
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "image": "h/i:1",
                "resources": {"requests": {"cpu": "1", "memory": "1Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        }}}})
    }

    #[test]
    fn a_restricted_pod_is_fine() {
        assert_eq!(exposed(&[Object(deployment())]), [""; 0]);
    }

    #[test]
    fn everything_else_is_found() {
        let pod = "/spec/template/spec";
        let container = "/spec/template/spec/containers/0";
        let cases = [
            (format!("{pod}/securityContext/runAsNonRoot"), json!(false)),
            (format!("{pod}/securityContext/runAsUser"), json!(0)),
            (
                format!("{pod}/securityContext/seccompProfile/type"),
                json!("Unconfined"),
            ),
            (format!("{container}/image"), json!("h/i")),
            (format!("{container}/image"), json!("h/i:latest")),
            (format!("{container}/image"), json!("h:5000/i")),
            (format!("{container}/resources/requests/cpu"), json!(null)),
            (
                format!("{container}/securityContext/allowPrivilegeEscalation"),
                json!(true),
            ),
            (
                format!("{container}/securityContext/readOnlyRootFilesystem"),
                json!(false),
            ),
            (
                format!("{container}/securityContext/capabilities/drop"),
                json!([]),
            ),
        ];
        for (path, value) in cases {
            let mut object = deployment();
            let place = object.pointer_mut(&path);
            if let Some(place) = place {
                *place = value;
            }
            assert_eq!(exposed(&[Object(object)]).len(), 1, "{path}");
        }
        let additions = [
            (pod, "hostNetwork", json!(true)),
            (
                pod,
                "volumes",
                json!([{"name": "a", "hostPath": {"path": "/"}}]),
            ),
        ];
        for (path, key, value) in additions {
            let mut object = deployment();
            if let Some(Value::Object(place)) = object.pointer_mut(path) {
                place.insert(key.into(), value);
            }
            assert_eq!(exposed(&[Object(object)]).len(), 1, "{key}");
        }
    }
}
