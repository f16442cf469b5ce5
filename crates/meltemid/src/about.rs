//! What this control plane says of itself: version, build, instance.
//!
//! Tools written for Istio look for Istio's number first: Kiali reads the first `N.N.N` of a
//! version and knows no others; istioctl shows all that comes before the last two parts.

use meltemi_types::{ClusterId, Namespace};
use serde_json::{Value, json};
use std::sync::Arc;

/// The version of Istio whose API is served.
const ISTIO: &str = "1.31.0";
/// Our own version.
const OWN: &str = env!("CARGO_PKG_VERSION");

/// Facts about this instance that pages and answers need.
#[derive(Debug)]
pub(crate) struct About {
    /// The name of its pod.
    pub(crate) pod: String,
    /// The root namespace: accounts of it see everything.
    pub(crate) namespace: Namespace,
    /// Its cluster.
    pub(crate) cluster: ClusterId,
    pub(crate) revision: String,
    /// True when callers on loopback, too, have to prove who they are.
    pub(crate) strict: bool,
}

/// What it was built from: `unknown` outside of a release.
fn commit() -> &'static str {
    option_env!("MELTEMI_COMMIT").unwrap_or("unknown")
}

/// Both versions in one word: Istio's, then ours.
pub(crate) fn version() -> String {
    format!("{ISTIO}-{OWN}")
}

/// Istio's `BuildInfo`.
fn build() -> Value {
    json!({
        "version": version(),
        "revision": commit(),
        "golang_version": "",
        "status": "Clean",
        "tag": version(),
    })
}

impl About {
    /// One line, as istiod writes it: `<version>-<revision>-<status>`.
    pub(crate) fn line() -> String {
        format!("{}-{}-Clean", version(), commit())
    }

    /// The same for programs: Istio's words, and ours beside.
    pub(crate) fn document(&self) -> Value {
        json!({
            "clientVersion": build(),
            "apiVersion": "cli.meltemi.io/v1",
            "kind": "Version",
            "version": OWN,
            "revision": self.revision,
            "identity": self.identity(),
        })
    }

    /// `POD.NAMESPACE`.
    fn identity(&self) -> String {
        format!("{}.{}", self.pod, self.namespace)
    }

    /// The identifier of the control plane in answers over xDS, read by istioctl.
    pub(crate) fn control_plane(&self) -> Arc<str> {
        let text = json!({ "Component": "istiod", "ID": self.pod, "Info": build() });
        text.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gateways of the chart say the version that they came with.
    #[test]
    fn the_chart_of_gateways_has_this_version() {
        let chart = include_str!("../../../charts/gateway/Chart.yaml");
        let line = format!("meltemi.io/version: {}\n", version());
        assert!(chart.contains(&line), "{chart} lacks {line}");
    }

    #[test]
    fn istioctl_and_kiali_read_the_version() {
        let line = About::line();
        let parts: Vec<&str> = line.split('-').collect();
        assert!(parts.len() >= 4, "{line}");
        let first: Vec<&str> = parts[0].split('.').collect();
        assert!(
            first.len() == 3 && first.iter().all(|n| n.parse::<u8>().is_ok()),
            "{line}"
        );
        assert_eq!(parts.last(), Some(&"Clean"));
    }
}
