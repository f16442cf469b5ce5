//! Field rules that need metadata, which the checks of the types do not see: annotations that
//! change what an object means.

use meltemi_api::{Finding, Kind};
use meltemi_types::{Code, FieldPath};
use serde_json::Value;

/// By this annotation Istio's tests ask for a refusal; tools use it to see that somebody
/// validates at all.
const ALWAYS_REJECT: &str = "internal.istio.io/webhook-always-reject";
/// By this annotation an AuthorizationPolicy is tried without being enforced.
const DRY_RUN: &str = "istio.io/dry-run";

/// What is wrong with the annotations of an object of this kind.
pub(crate) fn check(kind: Kind, object: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    let annotations = object.pointer("/metadata/annotations");
    let value = |name: &str| annotations?.get(name)?.as_str();
    let at = |name: &str| FieldPath::new("metadata").field("annotations").field(name);
    if value(ALWAYS_REJECT) == Some("true") {
        found.push(Finding::error(
            Code::InvalidValue,
            &at(ALWAYS_REJECT),
            "annotation found, rejecting",
            "remove the annotation",
        ));
    }
    let Some(dry_run) = value(DRY_RUN).filter(|_| kind == Kind::AuthorizationPolicy) else {
        return found;
    };
    let action = object.pointer("/spec/action").and_then(Value::as_str);
    let custom = action == Some("CUSTOM");
    let tried = matches!(dry_run, "1" | "t" | "T" | "TRUE" | "true" | "True");
    let enforced = matches!(dry_run, "0" | "f" | "F" | "FALSE" | "false" | "False");
    if !tried && !enforced {
        found.push(Finding::error(
            Code::InvalidValue,
            &at(DRY_RUN),
            format!("{dry_run:?} is neither true nor false"),
            "use \"true\" or \"false\"",
        ));
    } else if tried && custom {
        found.push(Finding::error(
            Code::Conflict,
            &at(DRY_RUN),
            "the action CUSTOM cannot be tried without being enforced",
            "remove the annotation, or use ALLOW or DENY",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn dry_runs_are_for_allow_and_deny() {
        let count = |value: &str, action: &str| {
            let object = json!({
                "metadata": { "annotations": { DRY_RUN: value } },
                "spec": { "action": action },
            });
            check(Kind::AuthorizationPolicy, &object).len()
        };
        assert_eq!(count("true", "DENY"), 0);
        assert_eq!(count("maybe", "DENY"), 1);
        assert_eq!(count("true", "CUSTOM"), 1);
        assert_eq!(count("false", "CUSTOM"), 0);
    }
}
