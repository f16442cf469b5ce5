//! The annotations that change injection, and what is wrong with their values. A bad value
//! refuses the pod: to leave an exclusion out silently would capture traffic that must not be.

use crate::pod;
use crate::quantity;
use crate::refusal::Refusal;
use ipnet::IpNet;
use meltemi_api::duration::Duration;
use serde_json::Value;

pub(crate) const TEMPLATES: &str = "inject.istio.io/templates";
pub(crate) const PROXY_CONFIG: &str = "proxy.istio.io/config";
pub(crate) const OVERRIDES: &str = "proxy.istio.io/overrides";
pub(crate) const STATUS: &str = "sidecar.istio.io/status";
pub(crate) const PROXY_CPU: &str = "sidecar.istio.io/proxyCPU";
pub(crate) const PROXY_MEMORY: &str = "sidecar.istio.io/proxyMemory";
pub(crate) const PROXY_CPU_LIMIT: &str = "sidecar.istio.io/proxyCPULimit";
pub(crate) const PROXY_MEMORY_LIMIT: &str = "sidecar.istio.io/proxyMemoryLimit";
pub(crate) const PROXY_IMAGE: &str = "sidecar.istio.io/proxyImage";
pub(crate) const PROXY_IMAGE_TYPE: &str = "sidecar.istio.io/proxyImageType";
pub(crate) const INTERCEPTION_MODE: &str = "sidecar.istio.io/interceptionMode";
pub(crate) const REWRITE_PROBES: &str = "sidecar.istio.io/rewriteAppHTTPProbers";
pub(crate) const LOG_LEVEL: &str = "sidecar.istio.io/logLevel";
pub(crate) const COMPONENT_LOG_LEVEL: &str = "sidecar.istio.io/componentLogLevel";
pub(crate) const AGENT_LOG_LEVEL: &str = "sidecar.istio.io/agentLogLevel";
pub(crate) const NATIVE_SIDECAR: &str = "sidecar.istio.io/nativeSidecar";
pub(crate) const BOOTSTRAP_OVERRIDE: &str = "sidecar.istio.io/bootstrapOverride";
pub(crate) const USER_VOLUME: &str = "sidecar.istio.io/userVolume";
pub(crate) const USER_VOLUME_MOUNT: &str = "sidecar.istio.io/userVolumeMount";
pub(crate) const CAP_NET_BIND: &str = "sidecar.istio.io/capNetBindService";
pub(crate) const CORE_DUMP: &str = "sidecar.istio.io/enableCoreDump";
pub(crate) const INCLUDE_OUT_RANGES: &str = "traffic.sidecar.istio.io/includeOutboundIPRanges";
pub(crate) const EXCLUDE_OUT_RANGES: &str = "traffic.sidecar.istio.io/excludeOutboundIPRanges";
pub(crate) const INCLUDE_IN_PORTS: &str = "traffic.sidecar.istio.io/includeInboundPorts";
pub(crate) const EXCLUDE_IN_PORTS: &str = "traffic.sidecar.istio.io/excludeInboundPorts";
pub(crate) const INCLUDE_OUT_PORTS: &str = "traffic.sidecar.istio.io/includeOutboundPorts";
pub(crate) const EXCLUDE_OUT_PORTS: &str = "traffic.sidecar.istio.io/excludeOutboundPorts";
pub(crate) const EXCLUDE_INTERFACES: &str = "traffic.sidecar.istio.io/excludeInterfaces";
pub(crate) const REROUTE_INTERFACES: &str = "istio.io/reroute-virtual-interfaces";
pub(crate) const KUBEVIRT_INTERFACES: &str = "traffic.sidecar.istio.io/kubevirtInterfaces";
pub(crate) const STATUS_PORT: &str = "status.sidecar.istio.io/port";
pub(crate) const READY_DELAY: &str = "readiness.status.sidecar.istio.io/initialDelaySeconds";
pub(crate) const READY_PERIOD: &str = "readiness.status.sidecar.istio.io/periodSeconds";
pub(crate) const READY_FAILURES: &str = "readiness.status.sidecar.istio.io/failureThreshold";
pub(crate) const MERGE_METRICS: &str = "prometheus.istio.io/merge-metrics";
pub(crate) const SCRAPE_TARGETS: &str = "prometheus.istio.io/scrape-targets";
pub(crate) const SECURE_PORT: &str = "prometheus.istio.io/secure-port";
pub(crate) const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
pub(crate) const DATADOG_ENV: &str = "apm.datadoghq.com/env";
const DISCOVERY_ADDRESS: &str = "sidecar.istio.io/discoveryAddress";
const FLUSH: &str = "sidecar.istio.io/statsFlushInterval";
const EVICTION: &str = "sidecar.istio.io/statsEvictionInterval";

type Check = fn(&str) -> Result<(), String>;

/// Which annotation must look how. What is not here may be any text.
const CHECKS: [(&str, Check); 38] = [
    (PROXY_CPU, is_quantity),
    (PROXY_MEMORY, is_quantity),
    (PROXY_CPU_LIMIT, is_quantity),
    (PROXY_MEMORY_LIMIT, is_quantity),
    (PROXY_IMAGE, is_word),
    (PROXY_IMAGE_TYPE, is_word),
    (INTERCEPTION_MODE, is_mode),
    (REWRITE_PROBES, is_bool),
    (LOG_LEVEL, is_word),
    (COMPONENT_LOG_LEVEL, is_word),
    (AGENT_LOG_LEVEL, is_word),
    (NATIVE_SIDECAR, is_word),
    (BOOTSTRAP_OVERRIDE, is_object_name),
    (USER_VOLUME, is_map),
    (USER_VOLUME_MOUNT, is_map),
    (CAP_NET_BIND, is_bool),
    (CORE_DUMP, is_bool),
    (INCLUDE_OUT_RANGES, is_ranges_or_all),
    (EXCLUDE_OUT_RANGES, is_ranges),
    (INCLUDE_IN_PORTS, is_ports_or_all),
    (EXCLUDE_IN_PORTS, is_ports),
    (INCLUDE_OUT_PORTS, is_ports),
    (EXCLUDE_OUT_PORTS, is_ports),
    (EXCLUDE_INTERFACES, is_interfaces),
    (REROUTE_INTERFACES, is_interfaces),
    (KUBEVIRT_INTERFACES, is_interfaces),
    (STATUS_PORT, is_status_port),
    (READY_DELAY, is_count),
    (READY_PERIOD, is_count),
    (READY_FAILURES, is_count),
    (MERGE_METRICS, is_bool),
    (OVERRIDES, is_map),
    (DISCOVERY_ADDRESS, is_address),
    ("sidecar.istio.io/statsHistogramBuckets", is_map),
    ("sidecar.istio.io/statsCompression", is_bool),
    (FLUSH, is_duration),
    (EVICTION, is_duration),
    (SCRAPE_TARGETS, is_targets),
];

/// What is wrong with the annotations of a pod, the first in the order of their keys.
pub(crate) fn check(pod: &Value) -> Result<(), Refusal> {
    for (key, value) in pod::annotations(pod) {
        if let Some((_, check)) = CHECKS.iter().find(|(known, _)| *known == key) {
            check(value).map_err(|why| Refusal::annotation(key, why))?;
        }
    }
    let seconds = |key| {
        let value = pod::annotation(pod, key)?.parse::<Duration>().ok()?;
        Some(value.to_std()?.as_nanos()).filter(|nanos| *nanos > 0)
    };
    match (seconds(FLUSH), seconds(EVICTION)) {
        (Some(flush), Some(eviction)) if eviction % flush != 0 => Err(Refusal::annotation(
            EVICTION,
            format!("it must be a multiple of {FLUSH}"),
        )),
        (_, _) => Ok(()),
    }
}

/// A boolean in one of Go's spellings.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn is_bool(text: &str) -> Result<(), String> {
    match boolean(text) {
        Some(_) => Ok(()),
        None => Err(format!("{text:?} is neither \"true\" nor \"false\"")),
    }
}

fn is_word(text: &str) -> Result<(), String> {
    match text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        true => Err(format!("{text:?} contains blanks or control characters")),
        false => Ok(()),
    }
}

fn is_object_name(text: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    match !text.is_empty() && text.len() <= 253 && text.chars().all(fine) {
        true => Ok(()),
        false => Err(format!("{text:?} is not the name of a ConfigMap")),
    }
}

fn is_quantity(text: &str) -> Result<(), String> {
    match quantity::canonical(text) {
        Some(_) => Ok(()),
        None => Err(format!(
            "{text:?} is not a quantity such as 100m, 0.5 or 128Mi"
        )),
    }
}

fn is_mode(text: &str) -> Result<(), String> {
    match text {
        "REDIRECT" | "TPROXY" | "NONE" => Ok(()),
        _ => Err(format!("{text:?} is none of REDIRECT, TPROXY, NONE")),
    }
}

/// The elements of a list with commas; an empty text has none.
fn elements(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(move |_| !text.is_empty())
}

fn is_ranges_or_all(text: &str) -> Result<(), String> {
    match text {
        "*" => Ok(()),
        _ => is_ranges(text),
    }
}

fn is_ranges(text: &str) -> Result<(), String> {
    match elements(text).find(|range| range.parse::<IpNet>().is_err()) {
        Some(wrong) => Err(format!(
            "{wrong:?} is not an IP range such as 10.0.0.0/8; write ranges with commas between them"
        )),
        None => Ok(()),
    }
}

fn is_ports_or_all(text: &str) -> Result<(), String> {
    match text {
        "*" => Ok(()),
        _ => is_ports(text),
    }
}

fn is_ports(text: &str) -> Result<(), String> {
    match elements(text).find(|port| port.trim().parse::<u16>().is_err()) {
        Some(wrong) => Err(format!(
            "{wrong:?} is not a port; write numbers up to 65535 with commas between them"
        )),
        None => Ok(()),
    }
}

fn is_interfaces(text: &str) -> Result<(), String> {
    let fine = |name: &str| {
        let name = name.trim();
        let strange = |c: char| c == '/' || c.is_whitespace() || c.is_control();
        !name.is_empty() && name.len() <= 15 && !name.contains(strange)
    };
    match elements(text).find(|name| !fine(name)) {
        Some(wrong) => Err(format!("{wrong:?} is not the name of a network interface")),
        None => Ok(()),
    }
}

fn is_status_port(text: &str) -> Result<(), String> {
    match text.parse::<u16>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{text:?} is not a port, nor 0 for no probes")),
    }
}

fn is_count(text: &str) -> Result<(), String> {
    match text.parse::<u32>() {
        Ok(count) if i32::try_from(count).is_ok() => Ok(()),
        Ok(_) | Err(_) => Err(format!("{text:?} is not a whole number of at least 0")),
    }
}

fn is_map(text: &str) -> Result<(), String> {
    match serde_json::from_str::<serde_json::Map<String, Value>>(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("it is not a JSON object: {error}")),
    }
}

fn is_address(text: &str) -> Result<(), String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.map(|(_, port)| port.parse::<u16>()) {
        Some(Ok(1..)) => Ok(()),
        Some(Ok(0) | Err(_)) | None => Err(format!("{text:?} is not HOST:PORT")),
    }
}

fn is_duration(text: &str) -> Result<(), String> {
    match text.parse::<Duration>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{text:?} is not a duration such as 5s")),
    }
}

fn is_targets(text: &str) -> Result<(), String> {
    match crate::finish::prometheus::targets(text) {
        Some(_) => Ok(()),
        None => Err(format!(
            "{text:?} is not a list of PORT:PATH with commas between them"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bad_values_name_their_annotation() {
        for (key, good, bad) in [
            (INCLUDE_OUT_RANGES, "*", "*,10.0.0.0/8"),
            (EXCLUDE_OUT_RANGES, "10.96.0.2/24,fd00::/8", "10.0.0.1"),
            (INCLUDE_IN_PORTS, "", "*,80"),
            (EXCLUDE_IN_PORTS, "1, 2", "-1"),
            (INCLUDE_OUT_PORTS, "8000", "http"),
            (EXCLUDE_OUT_PORTS, "65535", "65536"),
            (EXCLUDE_INTERFACES, "eth0,net1", "eth0,"),
            (STATUS_PORT, "0", "99999"),
            (READY_PERIOD, "10", "1.5"),
            (INTERCEPTION_MODE, "NONE", "tproxy"),
            (REWRITE_PROBES, "False", "no"),
            (PROXY_CPU, "0.5", "much"),
            (PROXY_MEMORY_LIMIT, "1Gi", "1 Gi"),
            (USER_VOLUME, "{}", "[]"),
            (FLUSH, "5s", "5"),
            (DISCOVERY_ADDRESS, "istiod:15012", "istiod"),
            (SCRAPE_TARGETS, "80:/metrics,81", "x:/y"),
            (PROXY_IMAGE, "a/b:c", "a b"),
        ] {
            let pod = |value: &str| json!({"metadata": {"annotations": {key: value}}});
            assert_eq!(check(&pod(good)), Ok(()), "{key} {good}");
            let refusal = check(&pod(bad)).unwrap_err();
            assert_eq!(refusal.annotation.as_deref(), Some(key), "{bad}");
        }
        let pod = json!({"metadata": {"annotations": {FLUSH: "4s", EVICTION: "10s"}}});
        assert_eq!(
            check(&pod).unwrap_err().annotation.as_deref(),
            Some(EVICTION)
        );
    }
}
