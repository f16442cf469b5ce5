//! A review in, its answer out: pure, so any bytes may come. Reviews of `admission.k8s.io` v1 and
//! v1beta1 are answered in their own version (platform.md 1.3).
//!
//! A pod that cannot be injected is refused with what is wrong, because it would run outside of the
//! mesh. What is far beyond a pod that an API server keeps is refused before it is worked on.

use crate::{Decision, Owner, Place, Refusal, Rule, Settings, decide, inject, patch};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Settings, or why there are none.
pub type Given = Result<Arc<Settings>, Arc<str>>;

/// What becomes of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It gets a proxy, or had it already.
    Injected,
    /// It stays as it is, by this rule; by none where the object is no pod.
    Skipped(Option<Rule>),
    /// It is not created.
    Refused,
}

/// An answer to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// An AdmissionReview as JSON.
    pub body: Vec<u8>,
    /// What it says.
    pub fate: Fate,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    request: Option<Asked>,
}

/// The parts of a request that matter.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    object: Value,
}

#[derive(Default, Deserialize)]
struct Kind {
    #[serde(default)]
    kind: String,
}

/// What an API server takes of annotations, in bytes.
const ANNOTATIONS: usize = 256 << 10;
/// No pod of anybody has more containers, volumes or owners.
const MOST: usize = 1000;

/// Answers a review of any bytes. `variables` are those that the webhook's address says.
///
/// There is always an answer; one to what is no review refuses, and says why.
#[must_use]
pub fn answer(question: &[u8], settings: &Given, variables: &BTreeMap<String, String>) -> Answer {
    let review: Review = match serde_json::from_slice(question) {
        Ok(review) => review,
        Err(error) => {
            let why = format!("the body is no AdmissionReview: {error}");
            return refusal("", "", &why);
        }
    };
    let version = review.api_version;
    let Some(asked) = review.request else {
        return refusal(&version, "", "the AdmissionReview has no request");
    };
    let uid = asked.uid.clone();
    if !asked.kind.kind.is_empty() && asked.kind.kind != "Pod" {
        return written(&version, allowed(&uid), &[], Fate::Skipped(None));
    }
    match fate(asked, settings, variables) {
        Ok((fate, changes)) => written(&version, allowed(&uid), &changes, fate),
        Err(why) => refusal(&version, &uid, &why),
    }
}

/// What becomes of the pod, and the changes that make it so as JSON; empty for none.
fn fate(
    asked: Asked,
    settings: &Given,
    variables: &BTreeMap<String, String>,
) -> Result<(Fate, Vec<u8>), String> {
    let Asked {
        namespace,
        object: mut pod,
        uid: _,
        kind: _,
    } = asked;
    if !pod.is_object() {
        return Err("the request has no object; injection is for the creation of pods".to_owned());
    }
    sane(&pod)?;
    let settings = settings.as_ref().map_err(ToString::to_string)?;
    complete(&mut pod, &namespace);
    if let Decision::Skip(rule) = decide(&pod, &namespace, &settings.values) {
        return Ok((Fate::Skipped(Some(rule)), Vec::new()));
    }
    let owner = Owner::of_pod(&pod);
    let place = Place {
        owner: &owner,
        namespace: &owner.namespace,
        variables,
    };
    let made = inject(settings, place, &pod);
    let made = made.map_err(|refusal| said(&refusal, &namespace, &pod))?;
    let changes = patch(&pod, &made);
    if changes.is_empty() {
        return Ok((Fate::Injected, Vec::new()));
    }
    let changes = serde_json::to_vec(&changes).map_err(|error| error.to_string())?;
    Ok((Fate::Injected, changes))
}

/// Fills in what an API server leaves out of pods that others make, and leaves out what is not the
/// user's. Both sides of the patch have it, so it is no part of that.
fn complete(pod: &mut Value, namespace: &str) {
    let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    metadata.remove("managedFields");
    let own = metadata.get("namespace").and_then(Value::as_str);
    if own.unwrap_or_default().is_empty() && !namespace.is_empty() {
        metadata.insert("namespace".to_owned(), namespace.into());
    }
}

/// Whether it is a pod such as there are.
fn sane(pod: &Value) -> Result<(), String> {
    for path in ["/metadata", "/spec"] {
        if !pod.pointer(path).is_some_and(Value::is_object) {
            return Err(format!("the object is no pod: {path} is missing"));
        }
    }
    let annotations = pod.pointer("/metadata/annotations");
    let annotations = annotations.and_then(Value::as_object);
    let bytes = |(key, value): (&String, &Value)| key.len() + value.as_str().map_or(0, str::len);
    if annotations.is_some_and(|all| all.iter().map(bytes).sum::<usize>() > ANNOTATIONS) {
        return Err(format!(
            "the annotations have more than {ANNOTATIONS} bytes"
        ));
    }
    for path in [
        "/metadata/ownerReferences",
        "/spec/containers",
        "/spec/initContainers",
        "/spec/volumes",
        "/spec/imagePullSecrets",
    ] {
        let list = pod.pointer(path).and_then(Value::as_array);
        if list.is_some_and(|list| list.len() > MOST) {
            return Err(format!("{path} has more than {MOST} elements"));
        }
    }
    Ok(())
}

fn name(pod: &Value) -> &str {
    let text = |key: &str| pod.pointer(key).and_then(Value::as_str);
    let name = text("/metadata/name").or_else(|| text("/metadata/generateName"));
    name.unwrap_or_default()
}

/// A refusal, for the person who looks why there is no pod.
fn said(refusal: &Refusal, namespace: &str, pod: &Value) -> String {
    let (code, name) = (refusal.code, name(pod));
    format!("pod {namespace}/{name} cannot join the mesh: {refusal} [{code}]")
}

fn allowed(uid: &str) -> Response<'_> {
    Response {
        allowed: true,
        status: None,
        uid,
    }
}

fn refusal(version: &str, uid: &str, why: &str) -> Answer {
    let answer = Response {
        allowed: false,
        status: Some(Status { message: why }),
        uid,
    };
    written(version, answer, &[], Fate::Refused)
}

/// What is answered, but for the patch.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reply<'a> {
    api_version: &'a str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
struct Response<'a> {
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    uid: &'a str,
}

#[derive(Serialize)]
struct Status<'a> {
    message: &'a str,
}

/// The answer in the version of the review, with the changes as JSON if there are any.
fn written(version: &str, response: Response<'_>, changes: &[u8], fate: Fate) -> Answer {
    let reply = Reply {
        api_version: match version {
            "admission.k8s.io/v1beta1" => version,
            _ => "admission.k8s.io/v1",
        },
        kind: "AdmissionReview",
        response,
    };
    // Texts and a flag: there is nothing in it that JSON cannot say.
    let mut body = serde_json::to_string(&reply).unwrap_or_default();
    if !changes.is_empty() {
        // Base64 has no letter that JSON escapes, so it goes between the two braces at the end as it is.
        let end = body.split_off(body.len().saturating_sub("}}".len()));
        body.reserve(changes.len().div_ceil(3) * 4 + 64);
        body.push_str(r#","patchType":"JSONPatch","patch":""#);
        STANDARD.encode_string(changes, &mut body);
        body.push('"');
        body.push_str(&end);
    }
    Answer {
        body: body.into_bytes(),
        fate,
    }
}
