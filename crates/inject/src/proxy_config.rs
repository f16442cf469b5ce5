//! The settings of the proxy of a pod, and what its agent is told of them: only what differs from the
//! built-in defaults, in the order of Istio's message.
//!
//! From low to high (platform.md 1.4): the mesh's `defaultConfig`, the ProxyConfig of the root
//! namespace, that of the pod's own namespace, the annotation `proxy.istio.io/config`, the
//! ProxyConfig that selects the pod. Of several the oldest counts. The surprise: the agent lays the
//! annotation over all once more, so of `concurrency` that is what holds.

use crate::annotations;
use crate::pod;
use crate::refusal::Refusal;
use crate::settings::Settings;
use meltemi_api::mesh_config::{self as mesh, InboundInterceptionMode, ProxyConfig};
use meltemi_api::networking::proxy_config as object;
use meltemi_api::yaml::{Source, read_as};
use meltemi_api::{Check, Findings, Resource};
use meltemi_types::{FieldPath, Severity};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// The effective settings of the proxy of a pod of a namespace.
pub(crate) fn effective(
    settings: &Settings,
    namespace: &str,
    pod: &Value,
) -> Result<ProxyConfig, Refusal> {
    let mut config = settings.proxy.clone();
    let root = settings.mesh.root_namespace();
    let mut lay = |object: Option<&Resource<object::ProxyConfig>>| {
        if let Some(object) = object {
            config = std::mem::take(&mut config).merge(over(&object.spec));
        }
    };
    lay(oldest(settings, root.as_str(), |labels| labels.is_empty()));
    if namespace != root.as_str() {
        lay(oldest(settings, namespace, |labels| labels.is_empty()));
    }
    let annotated = annotated(pod)?;
    let selected = oldest(settings, namespace, |labels| {
        let mut labels = labels.iter();
        let is_first = labels.len() > 0;
        is_first && labels.all(|(key, value)| pod::label(pod, key) == Some(value))
    });
    if let Some(annotated) = annotated {
        config = config.merge(annotated);
    }
    Ok(match selected {
        Some(selected) => config.merge(over(&selected.spec)),
        None => config,
    })
}

/// The oldest ProxyConfig of a namespace whose selector is of such labels.
fn oldest<'a>(
    settings: &'a Settings,
    namespace: &str,
    is_meant: impl Fn(&BTreeMap<String, String>) -> bool,
) -> Option<&'a Resource<object::ProxyConfig>> {
    let nobody = BTreeMap::new();
    let meant = settings.proxy_configs.iter().filter(|one| {
        let selector = one.spec.selector.as_ref();
        let of = one.meta.namespace().map_or("default", |name| name.as_str());
        of == namespace && is_meant(selector.map_or(&nobody, |selector| &selector.match_labels))
    });
    meant
        .map(Arc::as_ref)
        .min_by_key(|one| (one.meta.created, one.meta.name()))
}

/// What a ProxyConfig says, as the mesh's message of that name.
fn over(object: &object::ProxyConfig) -> ProxyConfig {
    let object::ProxyConfig {
        selector: _,
        concurrency,
        environment_variables,
        image,
    } = object;
    ProxyConfig {
        concurrency: concurrency.map(i64::from),
        proxy_metadata: environment_variables.clone(),
        image: image.as_ref().map(|image| mesh::ProxyImage {
            image_type: image.image_type.clone(),
        }),
        ..ProxyConfig::default()
    }
}

/// What the annotation says.
fn annotated(pod: &Value) -> Result<Option<ProxyConfig>, Refusal> {
    let key = annotations::PROXY_CONFIG;
    let Some(text) = pod::annotation(pod, key).filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    let mut over = ProxyConfig::default();
    for document in read_as::<ProxyConfig>(text.as_bytes(), &Source::new(key)) {
        let found = document.diagnostics.iter();
        let wrong: Vec<&str> = found.map(|found| &*found.message).collect();
        match document.value {
            Some(value) if wrong.is_empty() => over = over.merge(value),
            Some(_) | None => return Err(Refusal::annotation(key, wrong.join("; "))),
        }
    }
    let mut findings = Findings::default();
    over.check(&FieldPath::root(), &mut findings);
    match findings.iter().find(|f| f.severity == Severity::Error) {
        Some(wrong) => Err(Refusal::annotation(
            key,
            format!("{}: {}; {}", wrong.path, wrong.message, wrong.remedy),
        )),
        None => Ok(Some(over)),
    }
}

/// The mode of capture as a word.
pub(crate) fn mode(config: &ProxyConfig) -> &'static str {
    match config.interception_mode.unwrap_or_default() {
        InboundInterceptionMode::Redirect => "REDIRECT",
        InboundInterceptionMode::Tproxy => "TPROXY",
        InboundInterceptionMode::None => "NONE",
    }
}

/// The settings as the agent reads them, without what it assumes anyway.
pub(crate) fn told(config: &ProxyConfig) -> String {
    static ASSUMED: LazyLock<ProxyConfig> = LazyLock::new(ProxyConfig::defaults);
    serde_json::to_string(&config.clone().without(&ASSUMED)).unwrap_or_default()
}
