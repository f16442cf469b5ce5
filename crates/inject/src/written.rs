//! JSON as Kubernetes' own programs write it: the fields of an object in the order of its type, so
//! that texts in annotations and variables equal theirs byte for byte.

use serde_json::Value;

/// The fields in their order, of all types that are written here. No two of these types disagree
/// on the order of a pair, but for the few in [`order`].
const CONTAINER: [&str; 24] = [
    "name",
    "image",
    "command",
    "args",
    "workingDir",
    "ports",
    "envFrom",
    "env",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "volumeMounts",
    "volumeDevices",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "imagePullPolicy",
    "securityContext",
    "stdin",
    "stdinOnce",
    "tty",
];
const PROBE: [&str; 10] = [
    "exec",
    "httpGet",
    "tcpSocket",
    "grpc",
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
    "terminationGracePeriodSeconds",
];
const SECURITY: [&str; 12] = [
    "capabilities",
    "privileged",
    "seLinuxOptions",
    "windowsOptions",
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "readOnlyRootFilesystem",
    "allowPrivilegeEscalation",
    "procMount",
    "seccompProfile",
    "appArmorProfile",
];
const MOUNT: [&str; 7] = [
    "name",
    "readOnly",
    "recursiveReadOnly",
    "mountPath",
    "subPath",
    "mountPropagation",
    "subPathExpr",
];

/// The order of the fields of what stands below a field; empty where the alphabet rules.
fn order(below: &str) -> &'static [&'static str] {
    match below {
        "containers" | "initContainers" => &CONTAINER,
        "livenessProbe" | "readinessProbe" | "startupProbe" => &PROBE,
        "lifecycle" => &["postStart", "preStop", "stopSignal"],
        "securityContext" => &SECURITY,
        "volumeMounts" => &MOUNT,
        "ports" => &["name", "hostPort", "containerPort", "protocol", "hostIP"],
        "env" | "httpHeaders" => &["name", "value", "valueFrom"],
        "resources" => &["limits", "requests", "claims"],
        "httpGet" => &["path", "port", "host", "scheme", "httpHeaders"],
        "tcpSocket" | "grpc" => &["port", "host", "service"],
        "valueFrom" => &[
            "fieldRef",
            "resourceFieldRef",
            "configMapKeyRef",
            "secretKeyRef",
        ],
        "configMapKeyRef" | "secretKeyRef" => &["name", "key", "optional"],
        "fieldRef" => &["apiVersion", "fieldPath"],
        "resourceFieldRef" => &["containerName", "resource", "divisor"],
        "envFrom" => &["prefix", "configMapRef", "secretRef"],
        "configMapRef" | "secretRef" => &["name", "optional"],
        "seLinuxOptions" => &["user", "role", "type", "level"],
        "seccompProfile" | "appArmorProfile" => &["type", "localhostProfile"],
        "prober" => &["httpGet", "tcpSocket", "grpc", "timeoutSeconds"],
        "networks" => &["name", "namespace"],
        _ => &[],
    }
}

/// A value as it stands below a field of this name.
pub(crate) fn write(value: &Value, below: &str) -> String {
    let mut out = String::new();
    put(&mut out, value, below);
    out
}

/// What a field of a map is below: its own name, but for the elements of the map of probes.
fn put(out: &mut String, value: &Value, below: &str) {
    match value {
        Value::Object(fields) => {
            let order = order(below);
            let rank = |key: &str| order.iter().position(|known| *known == key);
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort_by_key(|key| rank(key).unwrap_or(usize::MAX));
            out.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                quote(out, key);
                out.push(':');
                let inner = match below {
                    "probers" => "prober",
                    _ => key.as_str(),
                };
                put(out, fields.get(key).unwrap_or(&Value::Null), inner);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                put(out, item, below);
            }
            out.push(']');
        }
        Value::String(text) => quote(out, text),
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
    }
}

/// Writes a text. Go escapes what HTML would take for markup.
fn quote(out: &mut String, text: &str) {
    let plain = |byte: u8| {
        matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&')
    };
    if text.bytes().all(plain) {
        out.extend(["\"", text, "\""]);
        return;
    }
    let json = Value::from(text).to_string();
    let escaped = json
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029");
    out.push_str(&escaped);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_come_in_the_order_of_their_type() {
        let container = json!({"args": ["<a>"], "command": ["b"], "name": "c", "resources": {},
            "ports": [{"protocol": "TCP", "containerPort": 80, "name": "http"}]});
        let expected = r#"{"name":"c","command":["b"],"args":["\u003ca\u003e"],"#.to_owned()
            + r#""ports":[{"name":"http","containerPort":80,"protocol":"TCP"}],"resources":{}}"#;
        assert_eq!(write(&container, "containers"), expected);
        let text = json!("a \"q\" \\ & \u{2028} é\n");
        assert_eq!(write(&text, ""), r#""a \"q\" \\ \u0026 \u2028 é\n""#);
        let probers = json!({"/p": {"timeoutSeconds": 1, "httpGet": {"port": 1, "path": "/"}}});
        let expected = r#"{"/p":{"httpGet":{"path":"/","port":1},"timeoutSeconds":1}}"#;
        assert_eq!(write(&probers, "probers"), expected);
    }
}
