//! Whether what was got is what was expected.

use crate::scenario::{ByCluster, Domains, Expect};
use meltemi_simulate::{CallError, Outcome};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Texts by name; `None` is none.
pub(super) type Lists = BTreeMap<String, Vec<String>>;

/// The fields of a call that differ from what is expected.
pub(super) fn call(expect: Option<&Expect>, got: &Outcome) -> Vec<&'static str> {
    let unknown = got.error == Some(CallError::Unsupported);
    let Some(expect) = expect else {
        return if unknown { vec!["error"] } else { Vec::new() };
    };
    let error = got.error.map(CallError::name).unwrap_or_default();
    let fields = [
        ("error", &expect.error, error),
        ("listener", &expect.listener, &got.listener),
        ("filterChain", &expect.filter_chain, &got.filter_chain),
        ("routeConfig", &expect.route_config, &got.route_config),
        ("virtualHost", &expect.virtual_host, &got.virtual_host),
        ("route", &expect.route, &got.route),
        ("cluster", &expect.cluster, &got.cluster),
    ];
    let differs = |wanted: &Option<String>, got: &str| match wanted.as_deref() {
        Some(wanted) => wanted != got,
        None => expect.strict && !got.is_empty(),
    };
    let differing = fields
        .iter()
        .filter(|(_, wanted, got)| differs(wanted, got));
    let mut differing: Vec<&'static str> = differing.map(|(name, _, _)| *name).collect();
    if unknown && !differing.contains(&"error") {
        differing.insert(0, "error");
    }
    differing
}

/// The domains of a route configuration that differ.
pub(super) fn domains(wanted: &Domains, got: Option<&Lists>) -> Vec<String> {
    let differs = |domain: &str, wanted: &Option<Vec<String>>| {
        let got = got.and_then(|got| got.get(domain));
        match (wanted, got) {
            (None, got) => got.is_some(),
            (Some(_), None) => true,
            (Some(wanted), Some(got)) => sorted(wanted) != sorted(got),
        }
    };
    let all = wanted
        .iter()
        .filter(|(domain, wanted)| differs(domain, wanted));
    all.map(|(domain, _)| domain.clone()).collect()
}

/// The names whose lists differ; with `exact`, also those that nobody expects to have something.
pub(super) fn lists(wanted: &ByCluster, got: &Lists, exact: Exact) -> Vec<String> {
    let mut differing = Vec::new();
    for (name, wanted) in wanted {
        let there = got.get(name);
        let got = there.map(|got| sorted(got)).unwrap_or_default();
        let wanted = wanted
            .as_ref()
            .map(|wanted| sorted(wanted))
            .unwrap_or_default();
        if got != wanted || (exact == Exact::Names && there.is_none()) {
            differing.push(name.clone());
        }
    }
    let more = got.iter().filter(|(name, list)| match exact {
        Exact::No => false,
        Exact::Content => !list.is_empty() && !wanted.contains_key(*name),
        Exact::Names => !wanted.contains_key(*name),
    });
    differing.extend(more.map(|(name, _)| name.clone()));
    differing
}

/// How much of what is not named may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exact {
    /// Anything.
    No,
    /// Names with nothing below them.
    Content,
    /// Nothing.
    Names,
}

/// The names whose values differ, lists in any order.
pub(super) fn values(wanted: &BTreeMap<String, Value>, got: &Map<String, Value>) -> Vec<String> {
    let none = Value::Null;
    let differs =
        |name: &str, wanted: &Value| canonical(wanted) != canonical(got.get(name).unwrap_or(&none));
    let all = wanted.iter().filter(|(name, wanted)| differs(name, wanted));
    all.map(|(name, _)| name.clone()).collect()
}

fn sorted(list: &[String]) -> Vec<&str> {
    let mut list: Vec<&str> = list.iter().map(String::as_str).collect();
    list.sort_unstable();
    list
}

/// The value with every list in the order of its texts.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(canonical).collect();
            items.sort_by_key(Value::to_string);
            Value::Array(items)
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(k, v)| (k.clone(), canonical(v)));
            Value::Object(fields.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outcome() -> Outcome {
        Outcome {
            listener: "l".into(),
            cluster: "c".into(),
            ..Outcome::default()
        }
    }

    fn differing(expect: Value, got: &Outcome) -> Vec<&'static str> {
        let expect: Expect = serde_json::from_value(expect).unwrap();
        call(Some(&expect), got)
    }

    #[test]
    fn only_what_is_given_is_asked_unless_strict() {
        assert!(differing(json!({"cluster": "c"}), &outcome()).is_empty());
        assert_eq!(
            differing(json!({"cluster": "d", "route": "x"}), &outcome()),
            ["route", "cluster"]
        );
        assert_eq!(
            differing(json!({"cluster": "c", "strict": true}), &outcome()),
            ["listener"]
        );
    }

    #[test]
    fn what_is_not_known_is_never_right() {
        let unknown = Outcome {
            error: Some(CallError::Unsupported),
            ..outcome()
        };
        assert_eq!(differing(json!({"cluster": "c"}), &unknown), ["error"]);
        assert_eq!(
            differing(json!({"error": "unsupported"}), &unknown),
            ["error"]
        );
        assert_eq!(call(None, &unknown), ["error"]);
        assert!(call(None, &outcome()).is_empty());
    }

    #[test]
    fn lists_are_compared_in_any_order() {
        let got: Lists = serde_json::from_value(json!({"a": ["2", "1"], "b": []})).unwrap();
        let compare = |wanted: Value, exact| {
            let wanted: ByCluster = serde_json::from_value(wanted).unwrap();
            lists(&wanted, &got, exact)
        };
        assert!(compare(json!({"a": ["1", "2"]}), Exact::Content).is_empty());
        assert_eq!(compare(json!({"a": ["1", "2"]}), Exact::Names), ["b"]);
        assert!(compare(json!({"a": ["1", "2"], "b": null}), Exact::Names).is_empty());
        assert_eq!(compare(json!({"b": ["1"]}), Exact::No), ["b"]);
        assert_eq!(
            compare(json!({"b": null, "c": null}), Exact::Names),
            ["c", "a"]
        );
    }

    #[test]
    fn a_domain_can_be_expected_to_be_absent() {
        let got: Lists = serde_json::from_value(json!({"a": ["x"]})).unwrap();
        let compare = |wanted: Value| {
            let wanted: Domains = serde_json::from_value(wanted).unwrap();
            domains(&wanted, Some(&got))
        };
        assert!(compare(json!({"a": ["x"], "b": null})).is_empty());
        assert_eq!(compare(json!({"a": null})), ["a"]);
        assert_eq!(compare(json!({"b": []})), ["b"]);
    }
}
