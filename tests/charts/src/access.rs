//! What roles allow, and what they should not.

use crate::{Object, texts};
use serde_json::Value;

const WRITES: [&str; 5] = ["update", "patch", "delete", "deletecollection", "create"];
const ESCALATIONS: [&str; 3] = ["escalate", "bind", "impersonate"];

/// A rule of a role.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The role, as `KIND NAMESPACE/NAME`.
    pub role: String,
    /// It holds in every namespace.
    pub everywhere: bool,
    groups: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    verbs: Vec<String>,
}

impl Rule {
    fn new(role: &Object, rule: &Value) -> Self {
        let list = |key: &str| {
            let found = texts(rule.get(key).unwrap_or(&Value::Null));
            found.into_iter().map(str::to_owned).collect()
        };
        Self {
            role: role.id(),
            everywhere: role.kind() == "ClusterRole",
            groups: list("apiGroups"),
            resources: list("resources"),
            names: list("resourceNames"),
            verbs: list("verbs"),
        }
    }

    /// Whether it allows a verb on a resource, of any name.
    #[must_use]
    pub fn allows(&self, verb: &str, group: &str, resource: &str) -> bool {
        let has =
            |list: &[String], wanted: &str| list.iter().any(|one| one == wanted || one == "*");
        self.names.is_empty()
            && has(&self.verbs, verb)
            && has(&self.groups, group)
            && has(&self.resources, resource)
    }

    fn has_verb(&self, verbs: &[&str]) -> bool {
        self.verbs.iter().any(|verb| verbs.contains(&verb.as_str()))
    }

    fn names_resource(&self, resource: &str) -> bool {
        self.resources.iter().any(|one| one == resource)
    }
}

/// All rules of all roles.
#[must_use]
pub fn rules(objects: &[Object]) -> Vec<Rule> {
    let roles = objects
        .iter()
        .filter(|object| matches!(object.kind(), "Role" | "ClusterRole"));
    roles
        .flat_map(|role| {
            let rules = role.at("/rules").as_array().into_iter().flatten();
            rules.map(|rule| Rule::new(role, rule)).collect::<Vec<_>>()
        })
        .collect()
}

/// What no role of ours may allow: wildcards, escalation, Secrets of all namespaces, writing to
/// ConfigMaps and Leases of any name.
#[must_use]
pub fn too_much(rules: &[Rule]) -> Vec<String> {
    let mut found = Vec::new();
    for rule in rules {
        let mut add = |what: &str| found.push(format!("{}: {what}: {rule:?}", rule.role));
        let wild = [&rule.groups, &rule.resources, &rule.verbs];
        if wild
            .iter()
            .any(|list| list.is_empty() || list.iter().any(|one| one.contains('*')))
        {
            add("a wildcard, or nothing");
        }
        if rule.has_verb(&ESCALATIONS) {
            add("escalation");
        }
        if rule.everywhere && rule.names_resource("secrets") {
            add("Secrets of all namespaces");
        }
        let shared = rule.names_resource("configmaps") || rule.names_resource("leases");
        let changes = WRITES
            .iter()
            .any(|verb| *verb != "create" && rule.has_verb(&[verb]));
        if shared && changes && rule.names.is_empty() {
            add("changes ConfigMaps or Leases of any name");
        }
        if rule.names_resource("secrets") && rule.names.is_empty() && changes {
            add("changes Secrets of any name");
        }
    }
    found
}

/// Bindings whose role or ServiceAccount the same objects do not have. Accounts of other
/// namespaces and releases are named in `others`.
#[must_use]
pub fn dangling(objects: &[Object], others: &[&str]) -> Vec<String> {
    let has = |kind: &str, namespace: &str, name: &str| {
        objects.iter().any(|object| {
            object.kind() == kind && object.name() == name && object.namespace() == namespace
        })
    };
    let mut found = Vec::new();
    for binding in objects {
        let namespace = match binding.kind() {
            "RoleBinding" if binding.text("/roleRef/kind") == "Role" => binding.namespace(),
            "RoleBinding" | "ClusterRoleBinding" => "",
            _ => continue,
        };
        if !has(
            binding.text("/roleRef/kind"),
            namespace,
            binding.text("/roleRef/name"),
        ) {
            found.push(format!("{} has no role", binding.id()));
        }
        for subject in binding.at("/subjects").as_array().into_iter().flatten() {
            let part = |key: &str| subject.get(key).and_then(Value::as_str).unwrap_or_default();
            let account = format!("{}/{}", part("namespace"), part("name"));
            let known = has(part("kind"), part("namespace"), part("name"));
            if !known && !others.contains(&account.as_str()) {
                found.push(format!(
                    "{} binds {account}, which there is not",
                    binding.id()
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn role(kind: &str, rule: Value) -> Vec<Rule> {
        let role = json!({"kind": kind, "metadata": {"name": "r"}, "rules": [rule]});
        rules(&[Object(role)])
    }

    #[test]
    fn what_is_too_much_is_found() {
        let rule = |groups: &str, resource: &str, verbs: &[&str]| json!({"apiGroups": [groups], "resources": [resource], "verbs": verbs});
        let cases = [
            ("ClusterRole", rule("", "pods", &["*"])),
            ("ClusterRole", rule("*", "pods", &["get"])),
            ("ClusterRole", rule("", "*", &["get"])),
            ("ClusterRole", rule("", "*/status", &["patch"])),
            ("ClusterRole", rule("", "pods", &[])),
            (
                "ClusterRole",
                rule("rbac.authorization.k8s.io", "roles", &["bind"]),
            ),
            ("ClusterRole", rule("", "secrets", &["get"])),
            ("ClusterRole", rule("", "configmaps", &["patch"])),
            ("Role", rule("coordination.k8s.io", "leases", &["delete"])),
            ("Role", rule("", "secrets", &["update"])),
        ];
        for (kind, rule) in cases {
            let found = too_much(&role(kind, rule.clone()));
            assert!(!found.is_empty(), "{kind} {rule}");
        }
    }

    #[test]
    fn what_is_needed_is_not_too_much() {
        let mut named = json!({
            "apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "update"],
        });
        named["resourceNames"] = json!(["istio-ca-secret"]);
        let create = json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]});
        assert_eq!(too_much(&role("Role", named)), [""; 0]);
        assert_eq!(too_much(&role("ClusterRole", create)), [""; 0]);
    }

    #[test]
    fn a_name_is_not_any_name() {
        let mut rule = json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]});
        assert!(
            role("Role", rule.clone())
                .iter()
                .all(|r| r.allows("get", "", "pods"))
        );
        rule["resourceNames"] = json!(["a"]);
        assert!(
            !role("Role", rule)
                .iter()
                .any(|r| r.allows("get", "", "pods"))
        );
    }

    #[test]
    fn bindings_without_an_end_are_found() {
        let binding = json!({
            "kind": "RoleBinding", "metadata": {"name": "b", "namespace": "n"},
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": "n"}],
        });
        assert_eq!(dangling(&[Object(binding.clone())], &[]).len(), 2);
        assert_eq!(dangling(&[Object(binding)], &["n/s"]).len(), 1);
    }
}
