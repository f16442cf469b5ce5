//! What an API server takes away before it looks: null where null is no value.

use serde_json::{Map, Value};

/// The object without null for fields that cannot be null.
pub(super) fn prune(schema: &Map<String, Value>, value: &Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(object(schema, fields)),
        Value::Array(items) => {
            let below = schema.get("items").and_then(Value::as_object);
            let item = |item: &Value| match below {
                Some(below) => prune(below, item),
                None => item.clone(),
            };
            Value::Array(items.iter().map(item).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn object(schema: &Map<String, Value>, fields: &Map<String, Value>) -> Map<String, Value> {
    let known = schema.get("properties").and_then(Value::as_object);
    let others = schema
        .get("additionalProperties")
        .and_then(Value::as_object);
    let mut out = Map::new();
    for (name, value) in fields {
        let field = known.and_then(|known| known.get(name)?.as_object());
        let nullable = field.is_none_or(nullable);
        if value.is_null() && !nullable {
            continue;
        }
        let value = match field.or(others) {
            Some(below) => prune(below, value),
            None => value.clone(),
        };
        out.insert(name.clone(), value);
    }
    out
}

fn nullable(schema: &Map<String, Value>) -> bool {
    schema.get("nullable") == Some(&Value::Bool(true))
}
