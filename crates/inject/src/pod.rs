//! Looking into a pod, or the template of one, as a JSON tree. It stays a tree so that fields
//! which are newer than our types survive.

use serde_json::{Map, Value};

/// The name of the proxy's container.
pub(crate) const PROXY: &str = "istio-proxy";

/// The lists of a pod that hold containers.
pub(crate) const LISTS: [&str; 2] = ["containers", "initContainers"];

/// The value of an annotation.
pub(crate) fn annotation<'a>(pod: &'a Value, key: &str) -> Option<&'a str> {
    entry(pod, "annotations", key)
}

/// The value of a label.
pub(crate) fn label<'a>(pod: &'a Value, key: &str) -> Option<&'a str> {
    entry(pod, "labels", key)
}

fn entry<'a>(pod: &'a Value, of: &str, key: &str) -> Option<&'a str> {
    pod.get("metadata")?.get(of)?.get(key)?.as_str()
}

/// All annotations, by key.
pub(crate) fn annotations(pod: &Value) -> impl Iterator<Item = (&str, &str)> {
    let all = pod.get("metadata").and_then(|all| all.get("annotations"));
    all.and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// The containers of one of the [`LISTS`].
pub(crate) fn containers<'a>(pod: &'a Value, list: &str) -> &'a [Value] {
    let found = pod.get("spec").and_then(|spec| spec.get(list));
    found.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The name of a container, volume or variable.
pub(crate) fn name(value: &Value) -> &str {
    value
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The container of a name.
pub(crate) fn container<'a>(pod: &'a Value, list: &str, wanted: &str) -> Option<&'a Value> {
    containers(pod, list).iter().find(|c| name(c) == wanted)
}

/// The proxy's container, wherever it is.
pub(crate) fn proxy(pod: &Value) -> Option<&Value> {
    let mut lists = LISTS.iter();
    lists.find_map(|list| container(pod, list, PROXY))
}

/// The proxy's container, to change it.
pub(crate) fn proxy_mut(pod: &mut Value) -> Option<&mut Value> {
    let list = LISTS
        .into_iter()
        .find(|list| container(pod, list, PROXY).is_some())?;
    list_mut(pod, list).iter_mut().find(|c| name(c) == PROXY)
}

/// One of the lists of the spec, made when it is not there.
pub(crate) fn list_mut<'a>(pod: &'a mut Value, list: &str) -> &'a mut Vec<Value> {
    let found = map_mut(pod, "spec").entry(list).or_insert(Value::Null);
    array(found)
}

/// The value as a list; anything else becomes an empty one.
pub(crate) fn array(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = Value::Array(Vec::new());
    }
    match value {
        Value::Array(items) => items,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            unreachable!("it was made a list above")
        }
    }
}

/// The value as a map; anything else becomes an empty one.
pub(crate) fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            unreachable!("it was made a map above")
        }
    }
}

/// The map below a key, made when it is not there.
pub(crate) fn map_mut<'a>(value: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    object(object(value).entry(key).or_insert(Value::Null))
}

/// The annotations, made when there are none.
pub(crate) fn annotations_mut(pod: &mut Value) -> &mut Map<String, Value> {
    let metadata = map_mut(pod, "metadata");
    object(metadata.entry("annotations").or_insert(Value::Null))
}

/// The labels, made when there are none.
pub(crate) fn labels_mut(pod: &mut Value) -> &mut Map<String, Value> {
    let metadata = map_mut(pod, "metadata");
    object(metadata.entry("labels").or_insert(Value::Null))
}

/// The value of a variable of a container.
pub(crate) fn env<'a>(container: &'a Value, wanted: &str) -> Option<&'a str> {
    let all = container.get("env")?.as_array()?;
    all.iter()
        .find(|v| name(v) == wanted)?
        .get("value")?
        .as_str()
}

/// Sets a variable of a container: in its place when it is there, else at the end.
pub(crate) fn set_env(container: &mut Value, wanted: &str, value: &str) {
    let set = serde_json::json!({"name": wanted, "value": value});
    let all = array(object(container).entry("env").or_insert(Value::Null));
    match all.iter_mut().find(|v| name(v) == wanted) {
        Some(found) => *found = set,
        None => all.push(set),
    }
}
