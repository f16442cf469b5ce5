//! What a template adds, in Kubernetes' own types, and short ways to write these.

use crate::refusal::Refusal;
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, ExecAction, HTTPGetAction, Lifecycle, LifecycleHandler,
    LocalObjectReference, PodDNSConfig, PodSecurityContext, Probe, SecurityContext, Volume,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a template adds to a pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fragment {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) containers: Vec<Container>,
    pub(crate) init_containers: Vec<Container>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) image_pull_secrets: Vec<LocalObjectReference>,
    pub(crate) security_context: Option<PodSecurityContext>,
    pub(crate) dns: Option<PodDNSConfig>,
}

impl Fragment {
    /// The fragment as a tree that is laid over a pod.
    pub(crate) fn into_value(self) -> Result<Value, Refusal> {
        let mut spec = Map::new();
        let mut put = |key: &str, items: Vec<Value>| {
            if !items.is_empty() {
                spec.insert(key.to_owned(), Value::Array(items));
            }
        };
        put("containers", trees(&self.containers)?);
        put("initContainers", trees(&self.init_containers)?);
        put("volumes", trees(&self.volumes)?);
        put("imagePullSecrets", trees(&self.image_pull_secrets)?);
        if let Some(context) = &self.security_context {
            spec.insert("securityContext".to_owned(), tree(context)?);
        }
        if let Some(dns) = &self.dns {
            spec.insert("dnsConfig".to_owned(), tree(dns)?);
        }
        Ok(json!({
            "metadata": {"labels": self.labels, "annotations": self.annotations},
            "spec": spec,
        }))
    }
}

fn tree<T: Serialize>(value: &T) -> Result<Value, Refusal> {
    serde_json::to_value(value).map_err(|error| Refusal::settings(error.to_string()))
}

fn trees<T: Serialize>(all: &[T]) -> Result<Vec<Value>, Refusal> {
    all.iter().map(tree).collect()
}

/// Texts, owned.
pub(crate) fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

/// A text, unless it is empty.
pub(crate) fn unless_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// A handler that runs a command in the proxy's container.
pub(crate) fn runs(command: &[&str]) -> LifecycleHandler {
    LifecycleHandler {
        exec: Some(ExecAction {
            command: Some(texts(command)),
        }),
        ..LifecycleHandler::default()
    }
}

/// What happens after the start of a container.
pub(crate) fn after_start(command: &[&str]) -> Lifecycle {
    Lifecycle {
        post_start: Some(runs(command)),
        ..Lifecycle::default()
    }
}

/// A probe of a path on a port.
pub(crate) fn http_probe(path: &str, port: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(port),
            ..HTTPGetAction::default()
        }),
        timeout_seconds: Some(3),
        ..Probe::default()
    }
}

/// A named TCP port of a container.
pub(crate) fn tcp_port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

/// As whom a container runs: user and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User(pub(crate) i64, pub(crate) i64);

/// The proxy's own user and group.
pub(crate) const PROXY_USER: User = User(1337, 1337);
/// The one that may change the rules of capture.
pub(crate) const ROOT: User = User(0, 0);

/// A security context without capabilities but these, whose user is root only when it says so.
pub(crate) fn confined(user: User, capabilities: &[&str]) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        privileged: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_group: Some(user.1),
        run_as_user: Some(user.0),
        run_as_non_root: Some(user.0 != 0),
        capabilities: Some(Capabilities {
            add: (!capabilities.is_empty()).then(|| texts(capabilities)),
            drop: Some(texts(&["ALL"])),
        }),
        ..SecurityContext::default()
    }
}
