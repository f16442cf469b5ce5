//! The ProxyConfig that counts for this pod: defaults, the mesh's, `PROXY_CONFIG`, the pod's
//! annotations, each laid over the one before.

use super::Given;
use meltemi_api::mesh_config::{MeshConfig, ProxyConfig};
use std::net::SocketAddr;
use std::path::Path;

/// What counts, and what of it has no effect.
pub(super) fn effective(given: &Given<'_>) -> Result<(ProxyConfig, Vec<String>), String> {
    let mut config = ProxyConfig::defaults();
    let file = &given.args.mesh_config;
    if let Some(text) = (given.read)(Path::new(file)) {
        let mesh: MeshConfig = parse(&format!("--meshConfig {file}"), &text)?;
        config = mesh
            .default_config
            .map_or(config.clone(), |own| config.merge(own));
    }
    if let Some(text) = given.env.text("PROXY_CONFIG") {
        config = config.merge(parse("PROXY_CONFIG", text)?);
    }
    let annotation = |name: &str| given.pod.annotations.get(name).filter(|t| !t.is_empty());
    if let Some(text) = annotation("proxy.istio.io/config") {
        config = config.merge(parse("annotation proxy.istio.io/config", text)?);
    }
    if let Some(text) = annotation("sidecar.istio.io/discoveryAddress") {
        config.discovery_address = Some(text.clone());
    }
    if let Some(text) = annotation("status.sidecar.istio.io/port") {
        let port = text.parse();
        config.status_port = Some(port.map_err(|_| {
            format!("annotation status.sidecar.istio.io/port={text:?}: use a port")
        })?);
    }
    let warnings = unused(&config);
    Ok((config, warnings))
}

fn parse<T: serde::de::DeserializeOwned>(place: &str, text: &str) -> Result<T, String> {
    serde_yaml::from_str(text).map_err(|e| format!("{place} cannot be read: {e}; correct it"))
}

/// What is set and does nothing yet.
fn unused(config: &ProxyConfig) -> Vec<String> {
    let fields = [
        (
            "tracing",
            config.tracing.is_some() && config.tracing != ProxyConfig::defaults().tracing,
        ),
        (
            "envoyMetricsService",
            config.envoy_metrics_service.is_some(),
        ),
        (
            "envoyAccessLogService",
            config.envoy_access_log_service.is_some(),
        ),
        ("privateKeyProvider", config.private_key_provider.is_some()),
        ("readinessProbe", config.readiness_probe.is_some()),
    ];
    let set = fields.into_iter().filter(|(_, is_set)| *is_set);
    set.map(|(field, _)| format!("ProxyConfig.{field} has no effect yet"))
        .collect()
}

/// Where statistics also go. Envoy resolves no names for this; a name costs the statistics, not the
/// pod.
pub(super) fn statsd(config: &ProxyConfig, warnings: &mut Vec<String>) -> Option<SocketAddr> {
    let text = config.statsd_udp_address.as_deref();
    let text = text.filter(|text| !text.is_empty())?;
    let address = text.parse().ok();
    if address.is_none() {
        warnings.push(format!(
            "ProxyConfig.statsdUdpAddress={text:?} has no effect: use IP:PORT, no name"
        ));
    }
    address
}

/// Envoy's worker threads; `None` is one for each core. The flag counts most, then ProxyConfig,
/// then the CPU limit, which the kubelet has rounded up.
pub(super) fn concurrency(given: &Given<'_>, config: &ProxyConfig) -> Result<Option<u32>, String> {
    if given.args.concurrency > 0 {
        return Ok(Some(given.args.concurrency));
    }
    if let Some(number) = config.concurrency {
        let number = u32::try_from(number);
        let number = number.map_err(|_| "ProxyConfig.concurrency: use 0 or more".to_owned())?;
        return Ok((number > 0).then_some(number));
    }
    let Some(text) = given.env.text("ISTIO_CPU_LIMIT") else {
        return Ok(None);
    };
    let number: Result<u32, _> = text.parse();
    let number = number.map_err(|_| format!("ISTIO_CPU_LIMIT={text:?}: use a number of cores"))?;
    Ok((number > 0).then_some(number))
}
