//! What the double holds, and what happened to it.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Deref;
use std::sync::Arc;

/// A kind by group and plural, as in `networking.istio.io` and `virtualservices`; the group of
/// core kinds is empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// The API group.
    pub group: String,
    /// The plural.
    pub plural: String,
}

impl Resource {
    /// A kind.
    #[must_use]
    pub fn new(group: &str, plural: &str) -> Self {
        Self {
            group: group.into(),
            plural: plural.into(),
        }
    }

    fn of(object: &Value) -> Self {
        let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
        let (group, _) = text("apiVersion").split_once('/').unwrap_or_default();
        Self::new(group, &plural(text("kind")))
    }
}

/// The plural of a kind.
fn plural(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    match kind.as_bytes() {
        b"endpoints" => kind,
        [.., b'a' | b'e' | b'o', b'y'] => format!("{kind}s"),
        [front @ .., b'y'] => format!("{}ies", String::from_utf8_lossy(front)),
        [.., b's' | b'x'] => format!("{kind}es"),
        _ => format!("{kind}s"),
    }
}

/// How the API server says that a version is too old or too new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// An event of the watch: 410, `Expired`.
    Event,
    /// The answer to the watch: 410, `Gone`.
    Answer,
    /// The answer to the watch: 504, "Too large resource version".
    TooLarge,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) struct Happened {
    pub(super) resource: Resource,
    pub(super) version: u64,
    pub(super) kind: &'static str,
    pub(super) object: Kept,
}

/// An object, and its text: thousands of objects are written often and made once.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    value: Arc<Value>,
    text: Arc<str>,
}

impl Kept {
    fn new(value: Value) -> Self {
        Self {
            text: value.to_string().into(),
            value: Arc::new(value),
        }
    }

    pub(super) fn text(&self) -> Arc<str> {
        self.text.clone()
    }
}

impl Deref for Kept {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

/// Namespace and name.
pub(super) type Name = (String, String);

/// The state that a restore brings back.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) version: u64,
    pub(super) objects: BTreeMap<Resource, BTreeMap<Name, Kept>>,
}

/// Everything.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) content: Content,
    pub(super) log: Vec<Happened>,
    /// Versions of before this one are forgotten, and how that is said.
    pub(super) compacted: Option<(u64, Expiry)>,
    pub(super) denied: BTreeSet<Resource>,
    /// Kinds that are not served yet.
    pub(super) unserved: BTreeSet<Resource>,
    pub(super) streams: bool,
    pub(super) hushed: bool,
    /// Changes when watches that were hushed must stay dead.
    pub(super) hush_epoch: u64,
    pub(super) away: bool,
    pub(super) stopped: bool,
    pub(super) queries: Vec<String>,
    /// Writes that arrived, in order.
    pub(super) writes: Vec<Written>,
    /// What the next writes are answered instead of being done.
    pub(super) refusals: VecDeque<Refusal>,
    /// The fields of a status that each manager has applied.
    pub(super) managed: BTreeMap<(Resource, Name, String), BTreeSet<String>>,
}

/// A write that arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// `PATCH` or `POST`.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The body.
    pub body: Value,
    /// How it was answered.
    pub code: u16,
}

/// An answer instead of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: u16,
    /// After so many seconds it should be tried again.
    pub retry_after: Option<u64>,
}

impl Default for Store {
    fn default() -> Self {
        let own = [
            ("", "services"),
            ("", "pods"),
            ("", "nodes"),
            ("", "namespaces"),
            ("", "configmaps"),
            ("discovery.k8s.io", "endpointslices"),
            ("networking.k8s.io", "ingresses"),
            ("networking.k8s.io", "ingressclasses"),
        ];
        let objects = own.map(|(group, plural)| (Resource::new(group, plural), BTreeMap::new()));
        Self {
            content: Content {
                version: 1000,
                objects: objects.into(),
            },
            log: Vec::new(),
            compacted: None,
            denied: BTreeSet::new(),
            unserved: BTreeSet::new(),
            streams: true,
            hushed: false,
            hush_epoch: 0,
            away: false,
            stopped: false,
            queries: Vec::new(),
            writes: Vec::new(),
            refusals: VecDeque::new(),
            managed: BTreeMap::new(),
        }
    }
}

impl Store {
    pub(super) fn put(&mut self, mut object: Value) {
        let resource = Resource::of(&object);
        self.content.version += 1;
        let version = self.content.version;
        let namespaced = !matches!(
            resource.plural.as_str(),
            "nodes" | "namespaces" | "ingressclasses"
        );
        let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
            return;
        };
        if namespaced {
            metadata
                .entry("namespace")
                .or_insert_with(|| json!("default"));
        }
        metadata.insert("resourceVersion".into(), json!(version.to_string()));
        let name = name(&object);
        let object = Kept::new(object);
        let objects = self.content.objects.entry(resource.clone()).or_default();
        let kind = match objects.insert(name, object.clone()) {
            None => "ADDED",
            Some(_) => "MODIFIED",
        };
        self.log.push(Happened {
            resource,
            version,
            kind,
            object,
        });
    }

    pub(super) fn remove(&mut self, resource: &Resource, namespace: &str, name: &str) {
        let objects = self.content.objects.get_mut(resource);
        let gone = objects.and_then(|all| all.remove(&(namespace.to_owned(), name.to_owned())));
        let Some(gone) = gone else { return };
        let mut object = Value::clone(&gone);
        self.content.version += 1;
        let version = self.content.version;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".into(), json!(version.to_string()));
        }
        self.log.push(Happened {
            resource: resource.clone(),
            version,
            kind: "DELETED",
            object: Kept::new(object),
        });
    }

    pub(super) fn forget_last(&mut self) {
        self.log.pop();
    }

    pub(super) fn install(&mut self, resource: &Resource) {
        self.content.objects.entry(resource.clone()).or_default();
    }

    pub(super) fn uninstall(&mut self, resource: &Resource) {
        self.content.objects.remove(resource);
    }

    pub(super) fn permit(&mut self, resource: &Resource, may: bool) {
        match may {
            true => self.denied.remove(resource),
            false => self.denied.insert(resource.clone()),
        };
    }

    pub(super) fn serve(&mut self, resource: &Resource, does: bool) {
        match does {
            true => self.unserved.remove(resource),
            false => self.unserved.insert(resource.clone()),
        };
    }

    pub(super) fn compact(&mut self, expiry: Expiry) {
        self.content.version += 1;
        self.log.clear();
        self.compacted = Some((self.content.version, expiry));
    }

    pub(super) fn copy(&self) -> Content {
        self.content.clone()
    }

    pub(super) fn restore(&mut self, content: &Content) {
        self.content = content.clone();
        self.log.clear();
        self.compacted = None;
    }
}

fn name(object: &Value) -> Name {
    let text = |key: &str| {
        let value = object.pointer(&format!("/metadata/{key}"));
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    (text("namespace"), text("name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plurals_are_those_of_kubernetes() {
        for (kind, expected) in [
            ("Ingress", "ingresses"),
            ("ServiceEntry", "serviceentries"),
            ("Gateway", "gateways"),
            ("EndpointSlice", "endpointslices"),
            ("Endpoints", "endpoints"),
            ("PeerAuthentication", "peerauthentications"),
        ] {
            assert_eq!(plural(kind), expected);
        }
    }
}
