//! Writes: the server-side apply of a status, and events. The lists in a status are atomic, as they
//! are in Istio's definitions: who applies one has all of it; what a manager no longer applies goes.

use super::Shared;
use super::answer::failure;
use super::store::{Refusal, Resource, Store, Written};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::TcpStream;

/// An answer: code, seconds to wait, body.
type Answer = (u16, Option<u64>, Value);

/// Does what is asked, or what the test wants instead.
pub(super) fn answer(shared: &Shared, (method, target): (&str, &str), body: &[u8]) -> Answer {
    let mut store = shared.store();
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let (code, wait, said) = match store.refusals.pop_front() {
        Some(Refusal { code, retry_after }) => {
            let said = failure(code, "Refused", "the test wants it so");
            (code, retry_after, said)
        }
        None => {
            let (code, said) = perform(&mut store, (method, target), &body);
            (code, None, said)
        }
    };
    store.writes.push(Written {
        method: method.to_owned(),
        path: target.to_owned(),
        body,
        code,
    });
    drop(store);
    shared.changed.notify_all();
    (code, wait, said)
}

/// Writes an answer.
pub(super) fn send(out: &mut TcpStream, (code, wait, body): &Answer) -> io::Result<()> {
    let body = body.to_string();
    let wait = wait.map(|seconds| format!("retry-after: {seconds}\r\n"));
    write!(
        out,
        "HTTP/1.1 {code} Answer\r\ncontent-type: application/json\r\n{}content-length: {}\r\n\r\n{body}",
        wait.unwrap_or_default(),
        body.len()
    )
}

fn perform(store: &mut Store, (method, target): (&str, &str), body: &Value) -> (u16, Value) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    match (method, parts.as_slice()) {
        ("POST", ["apis", "events.k8s.io", "v1", "namespaces", _, "events"]) => {
            store.put(body.clone());
            (201, body.clone())
        }
        (
            "PATCH",
            [
                "apis",
                "events.k8s.io",
                "v1",
                "namespaces",
                namespace,
                "events",
                name,
            ],
        ) => {
            let resource = Resource::new("events.k8s.io", "events");
            count(store, &resource, (namespace, name), body)
        }
        (
            "PATCH",
            [
                "apis",
                group,
                _,
                "namespaces",
                namespace,
                plural,
                name,
                "status",
            ],
        ) => {
            let resource = Resource::new(group, plural);
            let manager = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("fieldManager="));
            let manager = manager.unwrap_or_default().to_owned();
            apply(store, (resource, manager), (namespace, name), body)
        }
        _ => (404, failure(404, "NotFound", "no such path")),
    }
}

fn find(store: &Store, resource: &Resource, (namespace, name): (&str, &str)) -> Option<Value> {
    let objects = store.content.objects.get(resource)?;
    let kept = objects.get(&(namespace.to_owned(), name.to_owned()));
    kept.map(|kept| Value::clone(kept))
}

fn count(store: &mut Store, resource: &Resource, name: (&str, &str), body: &Value) -> (u16, Value) {
    let Some(mut event) = find(store, resource, name) else {
        return (404, failure(404, "NotFound", "no such event"));
    };
    if let (Some(event), Some(series)) = (event.as_object_mut(), body.get("series")) {
        event.insert("series".into(), series.clone());
    }
    store.put(event.clone());
    (200, event)
}

/// The status as this manager applies it, over the version that it names.
fn apply(
    store: &mut Store,
    (resource, manager): (Resource, String),
    (namespace, name): (&str, &str),
    body: &Value,
) -> (u16, Value) {
    let Some(mut object) = find(store, &resource, (namespace, name)) else {
        return (404, failure(404, "NotFound", "there is no such object"));
    };
    for field in ["uid", "resourceVersion"] {
        let path = format!("/metadata/{field}");
        let (wanted, is) = (body.pointer(&path), object.pointer(&path));
        if wanted.is_some() && wanted != is {
            let message = format!("{field} is {is:?}, not {wanted:?}");
            return (409, failure(409, "Conflict", &message));
        }
    }
    let empty = Map::new();
    let applied = body
        .get("status")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    let key = (resource, (namespace.to_owned(), name.to_owned()), manager);
    let fields: BTreeSet<String> = applied.keys().cloned().collect();
    let before = store
        .managed
        .insert(key, fields.clone())
        .unwrap_or_default();
    if let Some(object) = object.as_object_mut() {
        let status = object.entry("status").or_insert_with(|| json!({}));
        if let Some(status) = status.as_object_mut() {
            before
                .difference(&fields)
                .for_each(|gone| drop(status.remove(gone)));
            status.extend(applied.clone());
        }
    }
    store.put(object);
    let now = store
        .log
        .last()
        .map(|happened| Value::clone(&happened.object));
    (200, now.unwrap_or_default())
}
