//! What the API server last showed of each object that may get a status: who it is, and what its
//! status says. The source fills it while it reads, so nothing is asked for before a write.

use crate::wire;
use meltemi_types::ObjectRef;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whose an object is.
const REVISION: &str = "istio.io/rev";

/// One object as the API server showed it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Known {
    /// The API version that it was read in.
    pub(crate) version: &'static str,
    pub(crate) resource_version: String,
    pub(crate) uid: String,
    pub(crate) generation: i64,
    /// The revision that it is labelled with.
    pub(crate) revision: Option<String>,
    pub(crate) status: Stated,
}

/// What its status says, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Stated {
    pub(crate) conditions: Vec<Value>,
    pub(crate) observed_generation: Option<Value>,
    pub(crate) validation_messages: Vec<Value>,
    /// Of ServiceEntries.
    pub(crate) addresses: Vec<Value>,
}

#[derive(Deserialize)]
struct Read {
    metadata: ReadMeta,
    #[serde(default)]
    status: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReadMeta {
    resource_version: String,
    uid: String,
    generation: i64,
    labels: Option<BTreeMap<String, String>>,
}

impl Known {
    /// Reads an object's bytes; `None` when they are none.
    pub(crate) fn read(version: &'static str, json: &[u8]) -> Option<Self> {
        let Read { metadata, status } = serde_json::from_slice(json).ok()?;
        let labels = metadata.labels.unwrap_or_default();
        // A status that somebody filled with something odd is none.
        let status = status.and_then(|status| serde_json::from_value(status).ok());
        Some(Self {
            version,
            resource_version: metadata.resource_version,
            uid: metadata.uid,
            generation: metadata.generation,
            revision: labels.get(REVISION).cloned(),
            status: status.unwrap_or_default(),
        })
    }

    /// True when the object may be written to by a control plane of this revision.
    pub(crate) fn is_of(&self, revision: &str) -> bool {
        let name = |text: &str| match text {
            "" => "default".to_owned(),
            text => text.to_owned(),
        };
        let label = self.revision.as_deref();
        label.is_none_or(|label| name(label) == name(revision))
    }
}

/// What was last seen of all objects. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Seen(Arc<Mutex<BTreeMap<Arc<ObjectRef>, Known>>>);

impl Seen {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Arc<ObjectRef>, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The object looks like this. What is older than what is known says nothing, as when an event
    /// arrives after the answer to a write.
    pub(crate) fn put(&self, object: &Arc<ObjectRef>, known: Known) {
        let mut all = self.all();
        let number = |known: &Known| wire::number(&known.resource_version);
        let newer = all
            .get(object)
            .is_none_or(|before| before.uid != known.uid || number(before) <= number(&known));
        if newer {
            all.insert(object.clone(), known);
        }
    }

    /// The object is gone.
    pub(crate) fn remove(&self, object: &ObjectRef) {
        self.all().remove(object);
    }

    /// What is known of an object.
    pub(crate) fn get(&self, object: &ObjectRef) -> Option<Known> {
        self.all().get(object).cloned()
    }

    /// Forgets everything: the store went back in time.
    pub(crate) fn clear(&self) {
        self.all().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_is_of_one_revision_or_of_all() {
        let read = |labels: Value| {
            let object = json!({"metadata": {"resourceVersion": "7", "labels": labels}});
            Known::read("v1", object.to_string().as_bytes()).unwrap()
        };
        let canary = read(json!({"istio.io/rev": "canary"}));
        assert!(canary.is_of("canary") && !canary.is_of("default"));
        assert!(read(json!({})).is_of("canary") && read(json!(null)).is_of(""));
        assert!(read(json!({"istio.io/rev": "default"})).is_of(""));
    }

    #[test]
    fn an_odd_status_is_none_and_an_old_event_says_nothing() {
        let object = json!({
            "metadata": {"resourceVersion": "7", "uid": "u", "generation": 2},
            "status": {"conditions": 7},
        });
        let known = Known::read("v1", object.to_string().as_bytes()).unwrap();
        assert_eq!(known.status, Stated::default());
        let (seen, key) = (
            Seen::default(),
            super::super::decide::tests::object("Gateway"),
        );
        seen.put(&key, known.clone());
        let old = Known {
            resource_version: "6".into(),
            ..known.clone()
        };
        seen.put(&key, old);
        assert_eq!(seen.get(&key), Some(known));
    }
}
