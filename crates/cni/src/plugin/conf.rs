//! The configuration that the runtime sends on stdin: what the installer wrote, and the result of
//! the plugins before us. Keys are those of Istio's plugin; keys that are not known are others'.

use super::failure::Failure;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// Versions of the specification that are spoken here. Before 0.3.0 there are no chains.
pub(crate) const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// The file in the run directory that leads to the API server.
pub(crate) const KUBECONFIG: &str = "istio-cni-kubeconfig";

const PATIENCE: Duration = Duration::from_secs(30);

/// What matters of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Conf {
    #[serde(rename = "cniVersion")]
    version: String,
    #[serde(rename = "prevResult")]
    previous: Option<Value>,
    plugin_log_level: String,
    /// Where the kubeconfig is.
    cni_agent_run_dir: PathBuf,
    /// Namespaces whose pods are not asked about.
    exclude_namespaces: Vec<String>,
    /// The namespace of the installer.
    pod_namespace: String,
    /// How the names of the installer's own pods begin: they come first on a node.
    own_pod_prefix: String,
    /// How long a pod may remain unknown, in milliseconds.
    pod_patience_ms: Option<u64>,
    /// Use nft in place of iptables.
    pub(super) native_nftables: bool,
}

/// The version of a configuration, of which nothing else may be right.
pub(super) fn version(text: &[u8]) -> String {
    let value: Value = serde_json::from_slice(text).unwrap_or_default();
    let said = value.get("cniVersion").and_then(Value::as_str);
    said.unwrap_or("1.0.0").to_owned()
}

impl Conf {
    /// Reads it.
    pub(super) fn read(text: &[u8]) -> Result<Self, Failure> {
        let value: Value =
            serde_json::from_slice(text).map_err(|e| Failure::decode(e.to_string()))?;
        let conf: Self =
            serde_json::from_value(value).map_err(|e| Failure::configuration(e.to_string()))?;
        if !VERSIONS.contains(&conf.version.as_str()) {
            return Err(Failure::incompatible(&conf.version, &VERSIONS.join(", ")));
        }
        Ok(conf)
    }

    /// Why pods of this name are left alone whatever they are.
    pub(super) fn passes_over(&self, namespace: &str, name: &str) -> Option<&'static str> {
        let is_own = namespace == self.pod_namespace
            && !self.own_pod_prefix.is_empty()
            && name.starts_with(&self.own_pod_prefix);
        if is_own {
            return Some("it is the installer itself");
        }
        let is_excluded = self.exclude_namespaces.iter().any(|one| one == namespace);
        is_excluded.then_some("its namespace is excluded")
    }

    /// How to get at the API server.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.cni_agent_run_dir.join(KUBECONFIG)
    }

    /// How long a pod may remain unknown; the kubelet waits longer, and tries again.
    pub(super) fn patience(&self) -> Duration {
        self.pod_patience_ms.map_or(PATIENCE, Duration::from_millis)
    }

    /// What is logged.
    pub(super) fn filter(&self) -> String {
        let level = match self.plugin_log_level.as_str() {
            level @ ("debug" | "warn" | "error") => level,
            "none" => "off",
            _ => "info",
        };
        format!("warn,meltemi={level}")
    }

    /// What the plugins before us have said; alone we have nothing to say.
    pub(super) fn result(&self) -> Value {
        let alone = || json!({"cniVersion": self.version});
        self.previous.clone().unwrap_or_else(alone)
    }
}
