//! What a pod becomes when it joins the mesh: pod, settings and mesh configuration in; the pod with
//! its proxy, and a JSON patch, out. Follows Istio's injection webhook.
//!
//! * [`decide`]: whether a pod gets a proxy.
//! * [`inject`]: the pod with it: templates laid over the pod (`template`, `overlay`), the user's
//!   own words over these, then probes, metrics and order (`finish`).
//! * [`patch`]: the difference.
//! * [`answer`]: all of it for an AdmissionReview.
//!
//! Pure: the webhook and `meltemi inject` call the same function.
#![deny(missing_docs)]

mod added;
mod annotations;
mod context;
mod decide;
mod finish;
mod overlay;
mod owner;
mod patch;
mod pod;
mod proxy_config;
mod quantity;
mod refusal;
mod review;
mod settings;
mod template;
mod values;
mod written;

pub use decide::{Decision, INJECT, Rule, decide};
pub use owner::Owner;
pub use patch::{Change, patch};
pub use refusal::Refusal;
pub use review::{Answer, Fate, Given, answer};
pub use settings::{Native, ProxyConfigs, Settings, TrustBundles};
pub use template::BUILT_IN;
pub use values::Values;

use added::Added;
use context::Context;
use finish::Work;
use pod::{LISTS, PROXY};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Where a pod is to live.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The workload that it belongs to.
    pub owner: &'a Owner,
    /// Its namespace, whether or not its metadata says so.
    pub namespace: &'a str,
    /// Variables of the proxy that the webhook's address says, over those of the values.
    pub variables: &'a BTreeMap<String, String>,
}

/// The pod (or the template of one) with its proxy.
///
/// Injecting what comes out again changes nothing.
///
/// # Errors
/// Why the pod is refused: an annotation, or the injector's settings, cannot be used.
pub fn inject(settings: &Settings, place: Place<'_>, pod: &Value) -> Result<Value, Refusal> {
    annotations::check(pod)?;
    let proxy = proxy_config::effective(settings, place.namespace, pod)?;
    let seen = stripped(pod, settings)?;
    let context = Context {
        settings,
        pod: &seen,
        owner: place.owner,
        proxy: &proxy,
    };
    let mut fragments = template::fragments(&context)?;
    let mut made = pod.clone();
    let mut added = Added::default();
    let has_native = |added: &Added| {
        added
            .names("initContainers")
            .iter()
            .any(|name| name == PROXY)
    };
    for fragment in &mut fragments {
        // What a further template says of a native proxy goes to where the proxy is.
        if has_native(&added) {
            to_init_containers(fragment);
        }
        added.take(fragment);
    }
    if has_native(&added) {
        to_init_containers(&mut made);
    }
    for fragment in fragments {
        overlay::overlay(&mut made, fragment);
    }
    finish::finish(Work {
        original: pod,
        added: &added,
        proxy: &proxy,
        settings,
        variables: place.variables,
        pod: made,
    })
}

/// The pod as templates see it: without what an earlier injection has put into it, and with what
/// the user had said of those containers.
fn stripped<'a>(pod: &'a Value, settings: &Settings) -> Result<Cow<'a, Value>, Refusal> {
    if pod::annotation(pod, annotations::STATUS).is_none() {
        return Ok(Cow::Borrowed(pod));
    }
    let mut seen = pod.clone();
    let saved = finish::overrides::saved(pod)?;
    for list in LISTS {
        let before = finish::status::before(pod, list);
        if pod::containers(pod, list).is_empty() {
            continue;
        }
        let containers = pod::list_mut(&mut seen, list);
        containers.retain(|container| !before.iter().any(|name| name == pod::name(container)));
        let users = saved.get(list).and_then(Value::as_array);
        containers.extend(users.into_iter().flatten().cloned());
    }
    let port = settings.proxy.status_port.unwrap_or(15020);
    let annotations = pod::annotations_mut(&mut seen);
    if annotations.get("prometheus.io/port") == Some(&Value::String(port.to_string())) {
        annotations.retain(|key, _| !key.starts_with("prometheus.io/"));
    }
    annotations.remove(annotations::STATUS);
    Ok(Cow::Owned(seen))
}

/// A proxy that the user declares among the containers goes where the template has it.
fn to_init_containers(pod: &mut Value) {
    if pod::container(pod, "containers", PROXY).is_none() {
        return;
    }
    let containers = pod::list_mut(pod, "containers");
    let at = containers.iter().position(|c| pod::name(c) == PROXY);
    if let Some(at) = at {
        let container = containers.remove(at);
        pod::list_mut(pod, "initContainers").push(container);
    }
}
