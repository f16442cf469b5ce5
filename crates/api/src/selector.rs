//! Which workloads an object applies to: by labels, or by naming a Gateway or Service.

use crate::message::message;
use std::collections::BTreeMap;

message! {
    /// Selects workloads of the object's namespace by their labels.
    pub struct WorkloadSelector {
        /// Labels that a workload must carry, all of them. Empty selects every workload.
        pub match_labels: BTreeMap<String, String>,
    }
}

message! {
    /// Names the object that a policy is attached to.
    pub struct PolicyTargetReference {
        /// The API group of the target; empty for core kinds such as Service.
        pub group: Option<String>,
        /// The kind of the target, for example `Gateway`. Required.
        pub kind: String,
        /// The name of the target. Required.
        pub name: String,
        /// The namespace of the target. Must be empty: targets live in the policy's namespace.
        pub namespace: Option<String>,
    }
}

message! {
    /// A Kubernetes label selector: labels and expressions that must all hold.
    pub struct LabelSelector {
        /// Labels that an object must carry, all of them.
        pub match_labels: BTreeMap<String, String>,
        /// Further conditions, all of them.
        pub match_expressions: Vec<LabelSelectorRequirement>,
    }
}

message! {
    /// A condition on a label.
    pub struct LabelSelectorRequirement {
        /// The label's key. Required.
        pub key: String,
        /// `In`, `NotIn`, `Exists` or `DoesNotExist`. Required.
        pub operator: String,
        /// The values, for `In` and `NotIn`.
        pub values: Vec<String>,
    }
}

impl LabelSelector {
    /// True when an object with these labels is selected. Unknown operators select nothing.
    #[must_use]
    pub fn matches(&self, labels: &meltemi_types::Labels) -> bool {
        let Self {
            match_labels,
            match_expressions,
        } = self;
        match_labels
            .iter()
            .all(|(key, value)| labels.value(key) == Some(value))
            && match_expressions.iter().all(|requirement| {
                let value = labels.value(&requirement.key);
                let listed = value.is_some_and(|v| requirement.values.iter().any(|w| w == v));
                match requirement.operator.as_str() {
                    "In" => listed,
                    "NotIn" => !listed,
                    "Exists" => value.is_some(),
                    "DoesNotExist" => value.is_none(),
                    _ => false,
                }
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_types::Labels;

    #[test]
    fn expressions_follow_kubernetes() {
        let labels: Labels = [("app", "web"), ("tier", "front")].into_iter().collect();
        for (yaml, matches) in [
            ("{}", true),
            ("matchLabels: {app: web}", true),
            ("matchLabels: {app: api}", false),
            (
                "matchExpressions: [{key: app, operator: In, values: [web, api]}]",
                true,
            ),
            (
                "matchExpressions: [{key: app, operator: NotIn, values: [web]}]",
                false,
            ),
            (
                "matchExpressions: [{key: none, operator: NotIn, values: [web]}]",
                true,
            ),
            ("matchExpressions: [{key: tier, operator: Exists}]", true),
            (
                "matchExpressions: [{key: tier, operator: DoesNotExist}]",
                false,
            ),
            ("matchExpressions: [{key: tier, operator: Like}]", false),
        ] {
            let selector: LabelSelector = serde_yaml::from_str(yaml).unwrap();
            assert_eq!(selector.matches(&labels), matches, "{yaml}");
        }
    }
}
