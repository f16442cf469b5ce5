//! What the user says of a container that a template makes wins over the template: it is laid over
//! the result once more, and kept in an annotation, so that a second injection knows what was the
//! user's. (Istio lets its template win then; here the annotation is applied again.)

use super::Work;
use crate::annotations::{INTERCEPTION_MODE, OVERRIDES, STATUS};
use crate::overlay::overlay;
use crate::pod::{self, LISTS, PROXY};
use crate::refusal::Refusal;
use crate::written;
use serde_json::{Map, Value, json};

/// The image that says: the one of the template.
const AUTO: &str = "auto";

/// Lays the user's containers over the templates' ones.
pub(super) fn apply(work: &mut Work<'_>) -> Result<(), Refusal> {
    let saved = saved(work.original)?;
    let is_first = pod::annotation(work.original, STATUS).is_none();
    let mut found = Map::new();
    for list in LISTS {
        for name in work.added.names(list) {
            let before = saved.get(list).and_then(Value::as_array).into_iter();
            let before = before.flatten().find(|known| pod::name(known) == name);
            let user = match before {
                Some(before) => Some(before),
                None if is_first => declared(work.original, list, name),
                None => None,
            };
            let Some(user) = user else {
                continue;
            };
            let mut user = user.clone();
            let fields = pod::object(&mut user);
            if fields.get("image").and_then(Value::as_str) == Some(AUTO) {
                fields.remove("image");
            }
            fields.entry("resources").or_insert_with(|| json!({}));
            overlay(&mut work.pod, json!({"spec": {list: [&user]}}));
            let kept = found.entry(list).or_insert_with(|| json!([]));
            pod::array(kept).push(user);
        }
    }
    if is_first && !found.is_empty() {
        let lists = LISTS.iter().filter_map(|list| {
            Some(format!(
                "\"{list}\":{}",
                written::write(found.get(*list)?, list)
            ))
        });
        let text = format!("{{{}}}", lists.collect::<Vec<_>>().join(","));
        pod::annotations_mut(&mut work.pod).insert(OVERRIDES.to_owned(), text.into());
    }
    users_identity(work, &saved);
    Ok(())
}

/// The overrides of an earlier injection.
pub(crate) fn saved(pod: &Value) -> Result<Value, Refusal> {
    let Some(text) = pod::annotation(pod, OVERRIDES) else {
        return Ok(Value::Null);
    };
    let read = serde_json::from_str(text);
    read.map_err(|error| Refusal::annotation(OVERRIDES, format!("it is not JSON: {error}")))
}

/// The user's container of a name. A proxy is found in either list: where it goes is the
/// template's matter.
fn declared<'a>(original: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    let other = if name == PROXY { LISTS.as_slice() } else { &[] };
    let lists = std::iter::once(&list).chain(other);
    lists
        .into_iter()
        .find_map(|list| pod::container(original, list, name))
}

/// A user who runs the proxy as somebody else has that one's traffic left alone, never root's. The
/// container that checks the CNI plugin's work runs as that one, too. With TPROXY a proxy is root.
fn users_identity(work: &mut Work<'_>, saved: &Value) {
    let is_first = pod::annotation(work.original, STATUS).is_none();
    let mut kept = LISTS.iter().filter_map(|list| saved.get(*list)?.as_array());
    let kept = kept.find_map(|all| all.iter().find(|c| pod::name(c) == PROXY));
    let proxy = match is_first {
        true => pod::proxy(work.original),
        false => kept,
    };
    let security = proxy.and_then(|proxy| proxy.get("securityContext"));
    let said = |key: &str| security?.get(key)?.as_i64();
    let (user, group) = (said("runAsUser"), said("runAsGroup"));
    if user.is_none() && group.is_none() {
        return;
    }
    let mode = pod::annotation(work.original, INTERCEPTION_MODE);
    let is_tproxy = mode.unwrap_or(crate::proxy_config::mode(work.proxy)) == "TPROXY";
    // A proxy that is root is known by its group.
    let owner = if is_tproxy { group } else { user };
    for container in pod::list_mut(&mut work.pod, "initContainers") {
        let is_validation = pod::name(container) == "istio-validation";
        if !is_validation && pod::name(container) != "istio-init" {
            continue;
        }
        if let Some(owner) = owner.filter(|owner| *owner != 0) {
            let args = pod::array(pod::object(container).entry("args").or_insert(Value::Null));
            let at = args.iter().position(|arg| arg == "-u");
            if let Some(place) = at.and_then(|at| args.get_mut(at + 1)) {
                *place = owner.to_string().into();
            }
        }
        if is_validation && !is_tproxy {
            let context = pod::map_mut(container, "securityContext");
            for (key, id) in [("runAsUser", user), ("runAsGroup", group)] {
                if let Some(id) = id {
                    context.insert(key.to_owned(), id.into());
                }
            }
        }
    }
    if is_tproxy && let Some(proxy) = pod::proxy_mut(&mut work.pod) {
        pod::map_mut(proxy, "securityContext").insert("runAsUser".to_owned(), 0.into());
    }
}
