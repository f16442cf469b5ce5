//! Users' YAML through the whole of the product's pure part: read, registry, one proxy's
//! resources, and once more with every object gone.

use meltemi_api::yaml::{self, Outcome, Source};
use meltemi_api::{Change, Object};
use meltemi_model::Proxy;
use meltemi_model::proxy::NodeFacts;
use meltemi_registry::{Registry, Settings};
use meltemi_translate::Translator;

/// Longer texts only cost time.
const LONGEST: usize = 16 << 10;

/// Nothing that can be written panics, hides its line, or stays behind when it is deleted.
pub(crate) fn objects(bytes: &[u8]) {
    if bytes.len() > LONGEST {
        return;
    }
    let documents = yaml::read(bytes, &Source::new("fuzz.yaml"));
    let mut objects = Vec::new();
    for document in documents {
        for diagnostic in &document.diagnostics {
            assert!(
                !diagnostic.message.is_empty(),
                "a diagnostic says something"
            );
        }
        if let Outcome::Object(object) = document.outcome {
            objects.push(object);
        }
    }
    if !objects.is_empty() {
        translate(objects);
    }
}

fn translate(objects: Vec<Object>) {
    let mut registry = Registry::new(Settings::default());
    let empty = registry.publish().snapshot;
    let keys: Vec<_> = objects.iter().map(|object| object.key().clone()).collect();
    for object in objects {
        registry.apply(Change::Upsert(object));
    }
    let snapshot = registry.publish().snapshot;
    let mut translator = Translator::new(snapshot);
    for kind in ["sidecar", "router"] {
        let facts = NodeFacts {
            id: format!("{kind}~10.0.0.1~a.default~default.svc.cluster.local"),
            ..NodeFacts::default()
        };
        let proxy = Proxy::understand(&facts).expect("this node is a good one");
        let assigned = translator.assign(&proxy, None);
        for said in assigned.diagnostics() {
            assert!(!said.message.is_empty(), "a diagnostic says something");
        }
    }
    for key in keys {
        registry.apply(Change::Delete(key));
    }
    let emptied = registry.publish().snapshot;
    assert_eq!(
        emptied.services.len(),
        empty.services.len(),
        "a deleted service stays behind"
    );
}
