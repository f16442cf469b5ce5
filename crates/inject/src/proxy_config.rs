//! The settings of the proxy of a pod, and what its agent is told of them: the annotation
//! `proxy.istio.io/config` over the mesh's `defaultConfig`, and only what differs from the built-in
//! defaults, in the order of Istio's message.

use crate::annotations;
use crate::pod;
use crate::refusal::Refusal;
use meltemi_api::mesh_config::{InboundInterceptionMode, MeshConfig, ProxyConfig};
use meltemi_api::yaml::{Source, read_as};
use meltemi_api::{Check, Findings};
use meltemi_types::{FieldPath, Severity};
use serde_json::Value;

/// The effective settings of the proxy of a pod.
pub(crate) fn effective(mesh: &MeshConfig, pod: &Value) -> Result<ProxyConfig, Refusal> {
    let base = mesh.proxy_config();
    let key = annotations::PROXY_CONFIG;
    let Some(text) = pod::annotation(pod, key).filter(|text| !text.trim().is_empty()) else {
        return Ok(base);
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
        None => Ok(base.merge(over)),
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
    let tree = |config: &ProxyConfig| serde_json::to_value(config).unwrap_or_default();
    let (mut all, defaults) = (tree(config), tree(&ProxyConfig::defaults()));
    let fields = pod::object(&mut all);
    fields.retain(|key, value| defaults.get(key) != Some(value));
    // Back through the type, whose fields are in the message's order.
    let lean: ProxyConfig = serde_json::from_value(all).unwrap_or_default();
    serde_json::to_string(&lean).unwrap_or_default()
}
