//! The difference between two JSON trees, as a JSON patch (RFC 6902).

use serde::Serialize;
use serde_json::{Map, Value};

/// One operation of a patch. It points into the tree that is made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change<'a> {
    op: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a Value>,
}

/// Operations that make `after` of `before`.
#[must_use]
pub fn patch<'a>(before: &'a Value, after: &'a Value) -> Vec<Change<'a>> {
    let mut out = Differ {
        steps: Vec::new(),
        changes: Vec::new(),
    };
    out.values(before, after);
    out.changes
}

/// One step down a tree.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
    /// Behind the last element of a list.
    End,
}

/// Walks two trees at once. Where it is becomes a text only where they differ.
struct Differ<'a> {
    steps: Vec<Step<'a>>,
    changes: Vec<Change<'a>>,
}

impl<'a> Differ<'a> {
    fn values(&mut self, before: &'a Value, after: &'a Value) {
        match (before, after) {
            (Value::Object(old), Value::Object(new)) => self.maps(old, new),
            (Value::Array(old), Value::Array(new)) => self.lists(old, new),
            (before, after) if before == after => {}
            (_, after) => self.say("replace", Some(after)),
        }
    }

    fn maps(&mut self, old: &'a Map<String, Value>, new: &'a Map<String, Value>) {
        let mut kept = 0;
        for (key, value) in old {
            let after = new.get(key);
            kept += usize::from(after.is_some());
            self.at(Step::Key(key), |here| match after {
                Some(after) => here.values(value, after),
                None => here.say("remove", None),
            });
        }
        if kept == new.len() {
            return;
        }
        for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
            self.at(Step::Key(key), |here| here.say("add", Some(value)));
        }
    }

    fn lists(&mut self, old: &'a [Value], new: &'a [Value]) {
        for (index, (value, after)) in old.iter().zip(new).enumerate() {
            self.at(Step::Index(index), |here| here.values(value, after));
        }
        for index in (new.len()..old.len()).rev() {
            self.at(Step::Index(index), |here| here.say("remove", None));
        }
        for value in new.iter().skip(old.len()) {
            self.at(Step::End, |here| here.say("add", Some(value)));
        }
    }

    fn at(&mut self, step: Step<'a>, then: impl FnOnce(&mut Self)) {
        self.steps.push(step);
        then(self);
        self.steps.pop();
    }

    fn say(&mut self, op: &'static str, value: Option<&'a Value>) {
        let mut path = String::new();
        for step in &self.steps {
            path.push('/');
            match step {
                Step::Key(key) if key.contains(['~', '/']) => {
                    path.push_str(&key.replace('~', "~0").replace('/', "~1"));
                }
                Step::Key(key) => path.push_str(key),
                Step::Index(index) => path.push_str(&index.to_string()),
                Step::End => path.push('-'),
            }
        }
        self.changes.push(Change { op, path, value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_named() {
        let before = json!({"a": {"x/~y": 1, "gone": 2}, "list": [1, {"b": 1}, 3], "same": [1]});
        let after =
            json!({"a": {"x/~y": 2}, "list": [1, {"b": 2, "c": 3}], "same": [1, 2], "new": {}});
        assert_eq!(
            json!(patch(&before, &after)),
            json!([
                {"op": "remove", "path": "/a/gone"},
                {"op": "replace", "path": "/a/x~1~0y", "value": 2},
                {"op": "replace", "path": "/list/1/b", "value": 2},
                {"op": "add", "path": "/list/1/c", "value": 3},
                {"op": "remove", "path": "/list/2"},
                {"op": "add", "path": "/same/-", "value": 2},
                {"op": "add", "path": "/new", "value": {}},
            ])
        );
        assert_eq!(patch(&before, &before), Vec::new());
    }
}
