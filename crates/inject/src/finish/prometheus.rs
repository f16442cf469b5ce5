//! Metrics of the application and of the proxy on one port: Prometheus asks the agent, which asks
//! both. Where the application's are is told in `ISTIO_PROMETHEUS_ANNOTATIONS`.

use super::Work;
use crate::annotations::{MERGE_METRICS, SCRAPE_TARGETS, SECURE_PORT, boolean};
use crate::pod;
use crate::refusal::Refusal;
use serde_json::{Value, json};

const SCRAPE: &str = "prometheus.io/scrape";
const PATH: &str = "prometheus.io/path";
const PORT: &str = "prometheus.io/port";

/// Ports of the proxy, which cannot be the application's.
const RESERVED: [i64; 9] = [
    15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090,
];

/// The targets of a list `PORT:PATH,...`; `None` when it is none.
pub(crate) fn targets(text: &str) -> Option<Vec<(u16, String)>> {
    let target = |text: &str| {
        let (port, path) = text.trim().split_once(':').unwrap_or((text.trim(), ""));
        let port = port.parse().ok().filter(|port| *port > 0)?;
        Some((port, path.to_owned()))
    };
    text.split(',').map(target).collect()
}

/// Sends Prometheus to the agent.
pub(super) fn merge(work: &mut Work<'_>) -> Result<(), Refusal> {
    if pod::proxy(&work.pod).is_none() {
        return Ok(());
    }
    secure_port_of(work, merged)
}

fn secure_port_of(
    work: &mut Work<'_>,
    merged: fn(&mut Work<'_>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    merged(work)?;
    let port = pod::proxy(&work.pod)
        .and_then(|proxy| pod::env(proxy, "ENVOY_SECURE_MERGED_METRICS_PORT"))
        .filter(|port| !port.is_empty() && *port != "0")
        .map(ToOwned::to_owned);
    if let Some(port) = port {
        pod::annotations_mut(&mut work.pod)
            .entry(SECURE_PORT)
            .or_insert(port.into());
    }
    Ok(())
}

fn merged(work: &mut Work<'_>) -> Result<(), Refusal> {
    let mesh = work.settings.mesh.enable_prometheus_merge.unwrap_or(true);
    let wanted = pod::annotation(&work.pod, MERGE_METRICS)
        .and_then(boolean)
        .unwrap_or(mesh);
    if !wanted || said(&work.pod, SCRAPE).is_some_and(|(_, value)| value == "false") {
        return Ok(());
    }
    let agent = work.status_port();
    if said(&work.pod, PORT).is_some_and(|(_, port)| port == agent.to_string()) {
        return Ok(());
    }
    if let Some((key, port)) = said(&work.pod, PORT) {
        check_port(key, port, agent)?;
    }
    let get = |key| said(&work.pod, key).map_or("", |(_, value)| value);
    let (scrape, path, port) = (get(SCRAPE), get(PATH), get(PORT));
    let further = pod::annotation(&work.pod, SCRAPE_TARGETS).and_then(targets);
    let further = further.unwrap_or_default();
    if let Some((number, _)) = further
        .iter()
        .find(|(port, _)| is_taken(i64::from(*port), agent))
    {
        let why = format!("port {number} belongs to the proxy; name the application's");
        return Err(Refusal::annotation(SCRAPE_TARGETS, why));
    }
    let is_empty = [scrape, path, port].iter().all(|text| text.is_empty()) && further.is_empty();
    let quoted = |text: &str| Value::from(text).to_string();
    let (scrape, path, port) = (quoted(scrape), quoted(path), quoted(port));
    let further = further
        .iter()
        .map(|(port, path)| format!("{{\"port\":\"{port}\",\"path\":{}}}", quoted(path)));
    let further: Vec<String> = further.collect();
    let further = match further.is_empty() {
        true => String::new(),
        false => format!(",\"targets\":[{}]", further.join(",")),
    };
    let told = format!("{{\"scrape\":{scrape},\"path\":{path},\"port\":{port}{further}}}");
    if let (false, Some(proxy)) = (is_empty, pod::proxy_mut(&mut work.pod)) {
        pod::set_env(proxy, "ISTIO_PROMETHEUS_ANNOTATIONS", &told);
    }
    let annotations = pod::annotations_mut(&mut work.pod);
    annotations.retain(|key, _| ![SCRAPE, PATH, PORT].iter().any(|known| is_same(key, known)));
    for (key, value) in [
        (PORT, json!(agent.to_string())),
        (PATH, json!("/stats/prometheus")),
        (SCRAPE, json!("true")),
    ] {
        annotations.insert(key.to_owned(), value);
    }
    Ok(())
}

fn is_taken(port: i64, agent: i64) -> bool {
    port == agent || RESERVED.contains(&port)
}

fn check_port(key: &str, port: &str, agent: i64) -> Result<(), Refusal> {
    let why = match port.parse::<u16>() {
        Ok(0) | Err(_) => format!("{port:?} is not a port between 1 and 65535"),
        Ok(number) if is_taken(i64::from(number), agent) => {
            format!("port {number} belongs to the proxy; name the application's")
        }
        Ok(_) => return Ok(()),
    };
    Err(Refusal::annotation(key, why))
}

/// Prometheus turns everything but letters and digits into `_`, so users write either.
fn is_same(key: &str, known: &str) -> bool {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    key.chars().map(plain).eq(known.chars().map(plain))
}

/// The annotation of a key in any spelling: its own spelling, and its value.
fn said<'a>(pod: &'a Value, known: &str) -> Option<(&'a str, &'a str)> {
    pod::annotations(pod).find(|(key, _)| is_same(key, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_one() {
        assert!(is_same("prometheus_io_port", PORT) && is_same("prometheus.io-port", PORT));
        assert!(!is_same("prometheus.io/ports", PORT));
    }

    #[test]
    fn ports_of_the_proxy_are_refused() {
        for port in ["15090", "15020", "0", "70000", "http"] {
            assert!(check_port(PORT, port, 15020).is_err(), "{port}");
        }
        assert_eq!(check_port(PORT, "9090", 15020), Ok(()));
    }
}
