//! What one replica of the control plane says of itself, and which of them leads.

use crate::mesh::SYSTEM;
use anyhow::{Context, Result};
use meltemi_testkit::cluster::access::Kubectl;
use std::collections::BTreeMap;

/// The lock of who publishes the root certificate, and where it keeps its record.
const LOCK: &str = "istio-namespace-controller-election";
const RECORD: &str = "control-plane\\.alpha\\.kubernetes\\.io/leader";

/// The pods of the control plane that are not on their way out, by name.
///
/// # Errors
/// kubectl fails.
pub fn names(kubectl: &Kubectl) -> Result<Vec<String>> {
    let form = "--output=jsonpath={range .items[*]}{.metadata.name}{\" \"}\
                {.metadata.deletionTimestamp}{\"\\n\"}{end}";
    let pods = [
        "get",
        "pods",
        "--namespace",
        SYSTEM,
        "--selector=app=istiod",
    ];
    let listed = kubectl.run(&[&pods[..], &[form]].concat())?;
    let alive = listed.lines().filter(|line| line.ends_with(' '));
    Ok(alive.map(|line| line.trim().to_owned()).collect())
}

/// A page of a replica.
///
/// # Errors
/// It does not answer.
pub fn page(kubectl: &Kubectl, pod: &str, port_and_path: (u16, &str)) -> Result<String> {
    let (port, path) = port_and_path;
    let url = format!("/api/v1/namespaces/{SYSTEM}/pods/{pod}:{port}/proxy{path}");
    kubectl.run(&["get", "--raw", &url])
}

/// The samples of some families, as they are written.
///
/// # Errors
/// The replica does not answer.
pub fn metrics(kubectl: &Kubectl, pod: &str, families: &[&str]) -> Result<BTreeMap<String, f64>> {
    let text = page(kubectl, pod, (15014, "/metrics"))?;
    let mut samples = BTreeMap::new();
    for line in text.lines() {
        let family = line.split(['{', ' ']).next().unwrap_or_default();
        if families.contains(&family)
            && let Some((name, value)) = line.rsplit_once(' ')
        {
            samples.insert(name.to_owned(), value.parse().context("a sample")?);
        }
    }
    Ok(samples)
}

/// What a replica has sent to proxies since it started, by type, without what is zero.
///
/// # Errors
/// It does not answer.
pub fn sent(kubectl: &Kubectl, pod: &str) -> Result<BTreeMap<String, f64>> {
    let families = [
        "meltemi_resources_sent_total",
        "meltemi_resource_bytes_sent_total",
    ];
    let mut sent = metrics(kubectl, pod, &families)?;
    sent.retain(|_, value| *value > 0.0);
    Ok(sent)
}

/// How many streams a replica has.
///
/// # Errors
/// It does not answer.
pub fn streams(kubectl: &Kubectl, pod: &str) -> Result<f64> {
    Ok(metrics(kubectl, pod, &["pilot_xds"])?.values().sum())
}

/// Who leads, if anybody does.
///
/// # Errors
/// There is no lock, or kubectl fails.
pub fn leader(kubectl: &Kubectl) -> Result<String> {
    let form = format!("--output=jsonpath={{.metadata.annotations.{RECORD}}}");
    let record = kubectl.run(&["get", "configmap", LOCK, "--namespace", SYSTEM, &form])?;
    let record: serde_json::Value = serde_json::from_str(&record).context("the lock's record")?;
    let holder = record.get("holderIdentity").and_then(|name| name.as_str());
    Ok(holder.unwrap_or_default().to_owned())
}
