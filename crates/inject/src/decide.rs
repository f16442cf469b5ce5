//! Whether a pod gets a proxy: the rules that hold after the API server's selectors have let the
//! pod through. First match wins; labels of the namespace are not looked at here, because the
//! selectors of the webhook have done so.

use crate::pod;
use crate::values::Values;
use serde_json::Value;
use std::fmt;

/// The label, and the older annotation, by which a pod speaks for itself.
pub const INJECT: &str = "sidecar.istio.io/inject";

/// Namespaces of the cluster itself, which never take part.
const SYSTEM_NAMESPACES: [&str; 4] = [
    "kube-system",
    "kube-public",
    "kube-node-lease",
    "local-path-storage",
];

/// Which rule decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// `spec.hostNetwork`: the node's own traffic would be captured.
    HostNetwork,
    /// A namespace of the cluster itself.
    SystemNamespace,
    /// The pod says so.
    Pod,
    /// `neverInjectSelector` selects it.
    NeverSelector,
    /// `alwaysInjectSelector` selects it.
    AlwaysSelector,
    /// Nothing else said anything.
    Policy,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HostNetwork => "spec.hostNetwork is true",
            Self::SystemNamespace => "its namespace belongs to the cluster",
            Self::Pod => "sidecar.istio.io/inject says so",
            Self::NeverSelector => "neverInjectSelector selects it",
            Self::AlwaysSelector => "alwaysInjectSelector selects it",
            Self::Policy => "the policy of the injector says so",
        })
    }
}

/// What becomes of a pod, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It gets a proxy.
    Inject(Rule),
    /// It stays as it is.
    Skip(Rule),
}

/// Decides about a pod (its template, with `metadata` and `spec`) of a namespace.
#[must_use]
pub fn decide(pod: &Value, namespace: &str, values: &Values) -> Decision {
    if pod.pointer("/spec/hostNetwork") == Some(&Value::Bool(true)) {
        return Decision::Skip(Rule::HostNetwork);
    }
    if SYSTEM_NAMESPACES.contains(&namespace) {
        return Decision::Skip(Rule::SystemNamespace);
    }
    let said = pod::label(pod, INJECT).or_else(|| pod::annotation(pod, INJECT));
    match said {
        Some("true") => return Decision::Inject(Rule::Pod),
        Some("false") => return Decision::Skip(Rule::Pod),
        Some(_) | None => {}
    }
    let selected = |name: &str| {
        let selectors = values.at(&format!("sidecarInjectorWebhook.{name}"));
        let selectors = selectors.and_then(Value::as_array);
        selectors.is_some_and(|all| all.iter().any(|selector| selects(selector, pod)))
    };
    if selected("neverInjectSelector") {
        return Decision::Skip(Rule::NeverSelector);
    }
    if selected("alwaysInjectSelector") {
        return Decision::Inject(Rule::AlwaysSelector);
    }
    match values.text("global.proxy.autoInject").as_str() {
        "enabled" => Decision::Inject(Rule::Policy),
        _ => Decision::Skip(Rule::Policy),
    }
}

/// Whether a label selector selects a pod. An empty one selects nothing here, and neither does
/// one that cannot be understood.
fn selects(selector: &Value, pod: &Value) -> bool {
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    let expressions = selector.get("matchExpressions").and_then(Value::as_array);
    let count = labels.map_or(0, serde_json::Map::len) + expressions.map_or(0, Vec::len);
    let all_labels = labels.is_none_or(|labels| {
        let mut labels = labels.iter();
        labels.all(|(key, value)| pod::label(pod, key) == value.as_str())
    });
    let all_expressions = expressions.is_none_or(|all| all.iter().all(|one| holds(one, pod)));
    count > 0 && all_labels && all_expressions
}

fn holds(expression: &Value, pod: &Value) -> bool {
    let Some(key) = expression.get("key").and_then(Value::as_str) else {
        return false;
    };
    let found = pod::label(pod, key);
    let values = expression.get("values").and_then(Value::as_array);
    let among = found.is_some_and(|found| {
        values.is_some_and(|all| all.iter().any(|value| value.as_str() == Some(found)))
    });
    match expression.get("operator").and_then(Value::as_str) {
        Some("In") => among,
        Some("NotIn") => !among,
        Some("Exists") => found.is_some(),
        Some("DoesNotExist") => found.is_none(),
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn values(hook: Value, policy: &str) -> Values {
        let mut values = Values::defaults();
        values.overlay(json!({
            "sidecarInjectorWebhook": hook,
            "global": {"proxy": {"autoInject": policy}},
        }));
        values
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let selectors = json!({
            "neverInjectSelector": [{}, {"matchLabels": {"job": "yes"}}],
            "alwaysInjectSelector": [{"matchExpressions": [{"key": "job", "operator": "Exists"},
                {"key": "tier", "operator": "NotIn", "values": ["db"]}]}],
        });
        let label = |value: &str| json!({"metadata": {"labels": {INJECT: value}}});
        let note = |value: &str| json!({"metadata": {"annotations": {INJECT: value}}});
        let job = |value: &str| json!({"metadata": {"labels": {"job": value}}});
        let both =
            json!({"metadata": {"labels": {INJECT: "true"}, "annotations": {INJECT: "false"}}});
        let host = json!({"metadata": {"labels": {INJECT: "true"}}, "spec": {"hostNetwork": true}});
        let refused = json!({"metadata": {"labels": {INJECT: "false", "job": "no"}}});
        use Decision::{Inject, Skip};
        let table = [
            (host, "shop", "enabled", Skip(Rule::HostNetwork)),
            (
                label("true"),
                "kube-system",
                "enabled",
                Skip(Rule::SystemNamespace),
            ),
            (
                label("true"),
                "local-path-storage",
                "enabled",
                Skip(Rule::SystemNamespace),
            ),
            (label("true"), "shop", "disabled", Inject(Rule::Pod)),
            (label("false"), "shop", "enabled", Skip(Rule::Pod)),
            (note("true"), "shop", "disabled", Inject(Rule::Pod)),
            (note("false"), "shop", "enabled", Skip(Rule::Pod)),
            (both, "shop", "enabled", Inject(Rule::Pod)),
            (label(""), "shop", "enabled", Inject(Rule::Policy)),
            (label("yes"), "shop", "disabled", Skip(Rule::Policy)),
            (label("True"), "shop", "disabled", Skip(Rule::Policy)),
            (job("yes"), "shop", "enabled", Skip(Rule::NeverSelector)),
            (job("no"), "shop", "disabled", Inject(Rule::AlwaysSelector)),
            (refused, "shop", "enabled", Skip(Rule::Pod)),
            (json!({}), "shop", "enabled", Inject(Rule::Policy)),
            (json!({}), "shop", "disabled", Skip(Rule::Policy)),
            (json!({}), "shop", "nonsense", Skip(Rule::Policy)),
        ];
        for (pod, namespace, policy, expected) in table {
            let decided = decide(&pod, namespace, &values(selectors.clone(), policy));
            assert_eq!(decided, expected, "{pod} in {namespace}, policy {policy}");
        }
    }
}
