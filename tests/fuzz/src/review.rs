//! Questions of an API server, or of somebody who only says to be one, to the injection webhook.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meltemi_api::mesh_config::MeshConfig;
use meltemi_inject::{Answer, Fate, Given, Settings, Values, answer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// Longer questions only cost time.
const LONGEST: usize = 64 << 10;

/// What holds where somebody has asked for this and that.
static SETTINGS: LazyLock<[Given; 2]> = LazyLock::new(|| {
    let given = |values: Value| {
        let mut all = Values::defaults();
        all.overlay(values);
        let settings = Settings::new(all, MeshConfig::default(), &BTreeMap::new());
        Ok(Arc::new(settings))
    };
    let other = json!({
        "pilot": {"cni": {"enabled": true, "provider": "multus"}},
        "global": {"network": "one", "imagePullSecrets": ["a"], "proxy": {"enableCoreDump": true}},
        "sidecarInjectorWebhook": {
            "neverInjectSelector": [{"matchExpressions": [{"key": "job", "operator": "Exists"}]}],
            "injectedAnnotations": {"a": "b"},
        },
    });
    [given(json!({})), given(other)]
});

/// There is always a review as answer, it says what it means, and a patch fits the pod that was sent.
pub(crate) fn admission(bytes: &[u8]) {
    if bytes.len() > LONGEST {
        return;
    }
    for given in SETTINGS.iter() {
        let variables = BTreeMap::from([("ISTIO_META_NETWORK".to_owned(), "two".to_owned())]);
        let answer = answer(bytes, given, &variables);
        let fits = holds(bytes, &answer);
        assert!(fits.is_ok(), "{fits:?}");
    }
}

fn holds(question: &[u8], answer: &Answer) -> Result<(), String> {
    let said: Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
    let text = |path: &str| said.pointer(path).and_then(Value::as_str);
    let version = text("/apiVersion").unwrap_or_default();
    let is_review = version.starts_with("admission.k8s.io/v1");
    if !is_review || text("/kind") != Some("AdmissionReview") || text("/response/uid").is_none() {
        return Err(format!("no review: {said}"));
    }
    let allowed = said.pointer("/response/allowed") == Some(&Value::Bool(true));
    let why = text("/response/status/message").unwrap_or_default();
    match answer.fate {
        Fate::Refused if allowed || why.is_empty() => Err(format!("a refusal says why: {said}")),
        Fate::Injected | Fate::Skipped(_) if !allowed => Err(format!("not let in: {said}")),
        Fate::Refused | Fate::Skipped(_) => match text("/response/patch") {
            Some(_) => Err(format!("a patch for nothing: {said}")),
            None => Ok(()),
        },
        Fate::Injected => match text("/response/patch") {
            Some(patch) => applied(question, patch),
            None => Ok(()),
        },
    }
}

/// The patch, put on the pod as an API server does.
fn applied(question: &[u8], patch: &str) -> Result<(), String> {
    let asked: Value = serde_json::from_slice(question).map_err(|e| e.to_string())?;
    let mut pod = asked
        .pointer("/request/object")
        .cloned()
        .unwrap_or_default();
    let patch = STANDARD.decode(patch).map_err(|e| e.to_string())?;
    let patch: json_patch::Patch = serde_json::from_slice(&patch).map_err(|e| e.to_string())?;
    json_patch::patch(&mut pod, &patch).map_err(|e| e.to_string())?;
    let lists = ["containers", "initContainers"].map(|list| format!("/spec/{list}"));
    let containers = lists
        .iter()
        .filter_map(|list| pod.pointer(list)?.as_array());
    let mut names = containers
        .flatten()
        .filter_map(|one| one.get("name")?.as_str());
    match names.any(|name| name == "istio-proxy") {
        true => Ok(()),
        false => Err(format!("no proxy: {pod}")),
    }
}
