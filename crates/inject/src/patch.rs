//! The difference between two JSON trees, as a JSON patch (RFC 6902).

use serde_json::{Value, json};

/// Operations that make `after` of `before`.
#[must_use]
pub fn patch(before: &Value, after: &Value) -> Vec<Value> {
    let mut out = Vec::new();
    differ(before, after, &mut String::new(), &mut out);
    out
}

fn differ(before: &Value, after: &Value, path: &mut String, out: &mut Vec<Value>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                at(path, key, |path| match new.get(key) {
                    Some(after) => differ(value, after, path, out),
                    None => out.push(json!({"op": "remove", "path": path})),
                });
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                at(path, key, |path| out.push(add(path, value)));
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for (index, (value, after)) in old.iter().zip(new).enumerate() {
                at(path, &index.to_string(), |path| {
                    differ(value, after, path, out)
                });
            }
            for index in (new.len()..old.len()).rev() {
                let remove = |path: &mut String| out.push(json!({"op": "remove", "path": path}));
                at(path, &index.to_string(), remove);
            }
            for value in new.iter().skip(old.len()) {
                at(path, "-", |path| out.push(add(path, value)));
            }
        }
        (before, after) if before == after => {}
        (_, after) => out.push(json!({"op": "replace", "path": path, "value": after})),
    }
}

fn add(path: &str, value: &Value) -> Value {
    json!({"op": "add", "path": path, "value": value})
}

/// Goes one step down and back.
fn at(path: &mut String, key: &str, then: impl FnOnce(&mut String)) {
    let length = path.len();
    path.push('/');
    match key.contains(['~', '/']) {
        true => path.push_str(&key.replace('~', "~0").replace('/', "~1")),
        false => path.push_str(key),
    }
    then(path);
    path.truncate(length);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_named() {
        let before = json!({"a": {"x/y": 1, "gone": 2}, "list": [1, {"b": 1}, 3], "same": [1]});
        let after =
            json!({"a": {"x/y": 2}, "list": [1, {"b": 2, "c": 3}], "same": [1, 2], "new": {}});
        assert_eq!(
            Value::Array(patch(&before, &after)),
            json!([
                {"op": "remove", "path": "/a/gone"},
                {"op": "replace", "path": "/a/x~1y", "value": 2},
                {"op": "replace", "path": "/list/1/b", "value": 2},
                {"op": "add", "path": "/list/1/c", "value": 3},
                {"op": "remove", "path": "/list/2"},
                {"op": "add", "path": "/same/-", "value": 2},
                {"op": "add", "path": "/new", "value": {}},
            ])
        );
        assert_eq!(patch(&before, &before), Vec::<Value>::new());
    }
}
