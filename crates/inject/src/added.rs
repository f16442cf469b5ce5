//! What templates have added to a pod, by name.

use crate::pod;
use serde_json::Value;

/// The lists of a pod that templates add to, in the order of Istio's annotation.
const LISTS: [&str; 4] = [
    "initContainers",
    "containers",
    "volumes",
    "imagePullSecrets",
];

/// Names of what the templates say, list by list, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Added([Vec<String>; LISTS.len()]);

impl Added {
    /// Takes note of one more template, which is laid over those before: of one name there is one,
    /// and what is no list replaces all.
    pub(crate) fn take(&mut self, fragment: &Value) {
        let Some(spec) = fragment.get("spec") else {
            return;
        };
        let Some(spec) = spec.as_object() else {
            *self = Self::default();
            return;
        };
        for (list, names) in LISTS.iter().zip(&mut self.0) {
            match spec.get(*list) {
                Some(Value::Array(items)) => {
                    for item in items {
                        let name = pod::name(item);
                        if name.is_empty() || names.iter().all(|known| known != name) {
                            names.push(name.to_owned());
                        }
                    }
                }
                Some(_) => names.clear(),
                None => {}
            }
        }
    }

    /// The names of a list.
    pub(crate) fn names(&self, list: &str) -> &[String] {
        let mut all = self.lists();
        all.find(|(known, _)| *known == list)
            .map_or(&[], |(_, names)| names)
    }

    /// All lists with their names.
    pub(crate) fn lists(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        LISTS.into_iter().zip(self.0.iter().map(Vec::as_slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_counts_once_and_what_is_no_list_replaces() {
        let mut added = Added::default();
        added.take(&json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "volumes": [{"name": "v"}]}}));
        added.take(&json!({"metadata": {}}));
        added.take(
            &json!({"spec": {"containers": [{"name": "b"}, {"name": "c"}], "volumes": null}}),
        );
        assert_eq!(added.names("containers"), ["a", "b", "c"]);
        assert_eq!(added.names("volumes"), [""; 0]);
        added.take(&json!({"spec": null}));
        assert_eq!(added, Added::default());
    }
}
