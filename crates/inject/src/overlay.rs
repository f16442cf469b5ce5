//! Kubernetes' strategic merge: maps merge field by field, lists whose elements have a key merge
//! by it, all other lists replace. Elements that are new come last, in their order.

use serde_json::Value;

/// The field that elements of a list are known by.
fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "resourceClaims" => Some("name"),
        "ports" => Some("containerPort"),
        "volumeMounts" => Some("mountPath"),
        "volumeDevices" => Some("devicePath"),
        "hostAliases" => Some("ip"),
        "topologySpreadConstraints" => Some("topologyKey"),
        _ => None,
    }
}

/// Lays `over` over `base`. A null removes a field.
pub(crate) fn overlay(base: &mut Value, over: Value) {
    laid(base, over, "");
}

fn laid(base: &mut Value, over: Value, field: &str) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(_) if value.is_null() => drop(base.remove(&key)),
                    Some(known) => laid(known, value, &key),
                    None if value.is_null() => {}
                    None => drop(base.insert(key, without_nulls(value))),
                }
            }
        }
        (Value::Array(base), Value::Array(over)) if merge_key(field).is_some() => {
            by_key(base, over, merge_key(field).unwrap_or_default());
        }
        (base, over) => *base = without_nulls(over),
    }
}

fn by_key(base: &mut Vec<Value>, over: Vec<Value>, key: &str) {
    for item in over {
        let wanted = item.get(key);
        let found = base
            .iter_mut()
            .find(|known| wanted.is_some() && known.get(key) == wanted);
        match found {
            Some(known) => laid(known, item, ""),
            None => base.push(without_nulls(item)),
        }
    }
}

fn without_nulls(mut value: Value) -> Value {
    drop_nulls(&mut value);
    value
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.values().any(Value::is_null) {
                fields.retain(|_, value| !value.is_null());
            }
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_with_keys_merge_and_others_replace() {
        let mut base = json!({"containers": [
            {"name": "a", "args": ["1", "2"], "env": [{"name": "X", "value": "1"}]},
            {"name": "b"},
        ]});
        let over = json!({"containers": [
            {"name": "a", "args": ["3"], "env": [{"name": "Y"}, {"name": "X", "value": "2"}]},
            {"name": "c", "image": null},
        ]});
        overlay(&mut base, over.clone());
        let expected = json!({"containers": [
            {"name": "a", "args": ["3"], "env": [{"name": "X", "value": "2"}, {"name": "Y"}]},
            {"name": "b"},
            {"name": "c"},
        ]});
        assert_eq!(base, expected);
        let again = base.clone();
        overlay(&mut base, over);
        assert_eq!(base, again, "laid over twice is as once");
    }

    #[test]
    fn a_null_removes() {
        let mut base = json!({"a": {"b": 1, "c": 2}});
        overlay(
            &mut base,
            json!({"a": {"b": null, "d": null, "e": {"f": null}}}),
        );
        assert_eq!(base, json!({"a": {"c": 2, "e": {}}}));
    }
}
