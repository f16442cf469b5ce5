//! Reviews that are nearly right: what an API server would send, with a few places changed.
#![allow(clippy::expect_used, reason = "a test panics when it fails")]

use proptest::prelude::*;
use serde_json::{Value, json};

/// A value that somebody might put there.
fn strange() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        proptest::sample::select(vec![
            "istio-proxy",
            "auto",
            "true",
            "{}",
            "[]",
            "[1]",
            "{\"containers\":1}",
            "0",
            "-1",
            "99999",
            "sidecar,gateway",
            "{\"a\":{}}",
            "\u{0}",
            "NONE",
            "TPROXY",
            "1e3",
            "a: b",
            "- a",
            "99999999999999999999999999999999999999Ei",
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..3)
                .prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    })
}

/// What is done to one place.
#[derive(Clone, Debug)]
enum Change {
    Put(Value),
    Remove,
    Twice,
    /// The key becomes one that injection looks at.
    Rename(&'static str),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        strange().prop_map(Change::Put),
        Just(Change::Remove),
        Just(Change::Twice),
        proptest::sample::select(vec![
            "proxy.istio.io/config",
            "proxy.istio.io/overrides",
            "sidecar.istio.io/status",
            "sidecar.istio.io/userVolume",
            "sidecar.istio.io/interceptionMode",
            "prometheus.io/port",
            "inject.istio.io/templates",
            "securityContext",
            "initContainers",
            "args",
            "env",
        ])
        .prop_map(Change::Rename),
    ]
}

/// The places of a value, as pointers.
fn places(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                let key = key.replace('~', "~0").replace('/', "~1");
                places(inner, &format!("{at}/{key}"), out);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                places(inner, &format!("{at}/{index}"), out);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn changed(review: &mut Value, place: usize, change: Change) {
    let mut all = Vec::new();
    places(review, "", &mut all);
    let Some(place) = all.get(place % all.len()) else {
        return;
    };
    if let Change::Put(value) = change {
        if let Some(there) = review.pointer_mut(place) {
            *there = value;
        }
        return;
    }
    let Some((above, key)) = place.rsplit_once('/') else {
        return;
    };
    let key = key.replace("~1", "/").replace("~0", "~");
    match review.pointer_mut(above) {
        Some(Value::Object(fields)) => match (change, fields.remove(&key)) {
            (Change::Rename(new), Some(value)) => drop(fields.insert(new.to_owned(), value)),
            (Change::Twice, Some(value)) => {
                fields.insert(key, json!([value.clone(), value]));
            }
            (Change::Put(_) | Change::Remove | Change::Rename(_) | Change::Twice, _) => {}
        },
        Some(Value::Array(items)) => {
            let index = key.parse().unwrap_or(0).min(items.len().saturating_sub(1));
            match (change, items.get(index).cloned()) {
                (Change::Twice, Some(value)) => items.push(value),
                (Change::Remove, Some(_)) => drop(items.remove(index)),
                (Change::Put(_) | Change::Remove | Change::Rename(_) | Change::Twice, _) => {}
            }
        }
        _ => {}
    }
}

/// Reviews of the corpus that are JSON.
fn reviews() -> Vec<Value> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/review");
    let entries = std::fs::read_dir(folder).expect("the corpus is there");
    let texts = entries.filter_map(|entry| std::fs::read(entry.ok()?.path()).ok());
    let mut all: Vec<Value> = texts
        .filter_map(|text| serde_json::from_slice(&text).ok())
        .filter(|review: &Value| review.pointer("/request/object/spec").is_some())
        .collect();
    all.sort_by_key(ToString::to_string);
    assert!(all.len() > 10, "the corpus has lost its reviews");
    all
}

proptest! {
    #[test]
    fn whatever_is_changed_in_a_review_it_is_answered_well(
        review in proptest::sample::select(reviews()),
        changes in prop::collection::vec((any::<usize>(), change()), 1..4),
        cut in prop::option::weighted(0.1, any::<usize>()),
    ) {
        let mut review = review;
        for (place, change) in changes {
            changed(&mut review, place, change);
        }
        let mut bytes = review.to_string().into_bytes();
        if let Some(cut) = cut {
            bytes.truncate(cut % (bytes.len() + 1));
        }
        let target = meltemi_fuzz::target("review").expect("the target is there");
        target(&bytes);
    }
}
