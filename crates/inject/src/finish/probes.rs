//! The kubelet's probes of the application go through the agent: its traffic is captured, and the
//! kubelet has no certificate. The agent is told what to ask in `ISTIO_KUBE_APP_PROBERS`.

use super::Work;
use crate::annotations::{REWRITE_PROBES, STATUS, STATUS_PORT, boolean};
use crate::pod::{self, LISTS, PROXY};
use crate::written;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const PROBERS: &str = "ISTIO_KUBE_APP_PROBERS";

/// What is asked of a container: where it stands, and what its path at the agent ends with.
const ASKED: [(&[&str], &str, &str); 5] = [
    (&["readinessProbe"], "app-health", "readyz"),
    (&["livenessProbe"], "app-health", "livez"),
    (&["startupProbe"], "app-health", "startupz"),
    (&["lifecycle", "preStop"], "app-lifecycle", "prestopz"),
    (&["lifecycle", "postStart"], "app-lifecycle", "poststartz"),
];

/// Sends the probes of all containers through the agent.
pub(super) fn rewrite(work: &mut Work<'_>) {
    let path = "sidecarInjectorWebhook.rewriteAppHTTPProbe";
    let said = pod::annotation(&work.pod, REWRITE_PROBES).and_then(boolean);
    let wanted = said.unwrap_or_else(|| work.settings.values.flag(path));
    if !wanted || pod::proxy(&work.pod).is_none() {
        return;
    }
    let mesh_port = work.status_port();
    let said = pod::annotation(&work.pod, STATUS_PORT).and_then(|port| port.parse().ok());
    let port = said.unwrap_or(mesh_port);
    let mut asked = Map::new();
    for list in LISTS {
        if pod::containers(&work.pod, list).is_empty() {
            continue;
        }
        for container in pod::list_mut(&mut work.pod, list) {
            if pod::name(container) != PROXY {
                of_container(container, [mesh_port, port], &mut asked);
            }
        }
    }
    let is_again = pod::annotation(work.original, STATUS).is_some();
    if let Some(proxy) = pod::proxy_mut(&mut work.pod) {
        if is_again {
            let before = pod::env(proxy, PROBERS).unwrap_or("{}");
            let before: Map<String, Value> = serde_json::from_str(before).unwrap_or_default();
            asked.extend(before);
        }
        if !asked.is_empty() {
            let text = written::write(&Value::Object(asked), "probers");
            pod::set_env(proxy, PROBERS, &text);
        }
    }
}

/// Rewrites the probes of one container and adds what they asked to `asked`. The first port is
/// the one that a probe through the agent already has, the second the one that it gets.
fn of_container(container: &mut Value, [known, port]: [i64; 2], asked: &mut Map<String, Value>) {
    let named = ports(container);
    let name = pod::name(container).to_owned();
    for (place, kind, word) in ASKED {
        let mut steps = place.iter();
        let Some(probe) = steps.try_fold(&mut *container, |here, step| here.get_mut(*step)) else {
            continue;
        };
        let path = format!("/{kind}/{name}/{word}");
        let handlers = match kind {
            "app-health" => ["httpGet", "tcpSocket", "grpc"].as_slice(),
            _ => ["httpGet", "tcpSocket"].as_slice(),
        };
        let handler = handlers
            .iter()
            .find(|key| probe.get(**key).is_some_and(Value::is_object));
        let Some(handler) = handler else {
            continue;
        };
        let Some(prober) = through_agent(probe, handler, (&path, [known, port])) else {
            continue;
        };
        if let Some(prober) = resolved(prober, handler, &named) {
            asked.insert(path, prober);
        }
    }
}

/// Points one probe at the agent and gives what it asked before; nothing when it was there.
fn through_agent(probe: &mut Value, handler: &str, to: (&str, [i64; 2])) -> Option<Value> {
    let (path, [known, port]) = to;
    let fields = pod::object(probe);
    let before = fields.get(handler)?.clone();
    let at = before.get("port").and_then(Value::as_i64);
    if handler == "httpGet" && (at == Some(known) || at == Some(port)) {
        return None;
    }
    let mut get = match handler {
        "httpGet" => before.clone(),
        _ => json!({}),
    };
    let target = pod::object(&mut get);
    target.insert("path".to_owned(), path.into());
    target.insert("port".to_owned(), port.into());
    if target.get("scheme").is_some_and(|scheme| scheme == "HTTPS") {
        target.insert("scheme".to_owned(), "HTTP".into());
    }
    fields.remove(handler);
    fields.insert("httpGet".to_owned(), get);
    let mut prober = Map::new();
    let mut before = before;
    if handler == "grpc" {
        pod::object(&mut before)
            .entry("service")
            .or_insert(Value::Null);
    }
    prober.insert(handler.to_owned(), before);
    if let Some(timeout) = fields.get("timeoutSeconds").filter(|timeout| *timeout != 0) {
        prober.insert("timeoutSeconds".to_owned(), timeout.clone());
    }
    Some(Value::Object(prober))
}

/// What was asked, with the number of its port; nothing when its name is none of the container's.
fn resolved(mut prober: Value, handler: &str, named: &BTreeMap<String, i64>) -> Option<Value> {
    let port = prober.get_mut(handler)?.get_mut("port")?;
    if let Some(name) = port.as_str() {
        *port = (*named.get(name)?).into();
    }
    Some(prober)
}

fn ports(container: &Value) -> BTreeMap<String, i64> {
    let all = container.get("ports").and_then(Value::as_array);
    let named = |port: &Value| {
        let name = port.get("name")?.as_str()?.to_owned();
        Some((name, port.get("containerPort")?.as_i64()?))
    };
    all.into_iter().flatten().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_go_to_the_agent_once() {
        let mut container = json!({
            "name": "web", "ports": [{"name": "http", "containerPort": 80}],
            "readinessProbe": {"httpGet": {"port": "http", "scheme": "HTTPS", "path": "/r"}, "timeoutSeconds": 2},
            "livenessProbe": {"tcpSocket": {"port": 81}},
            "startupProbe": {"grpc": {"port": 82}},
            "lifecycle": {"preStop": {"httpGet": {"port": "nameless"}}, "postStart": {"exec": {}}},
        });
        let mut asked = Map::new();
        of_container(&mut container, [15020, 15020], &mut asked);
        assert_eq!(
            container["readinessProbe"],
            json!({"timeoutSeconds": 2, "httpGet":
            {"port": 15020, "path": "/app-health/web/readyz", "scheme": "HTTP"}})
        );
        let tcp = json!({"httpGet": {"port": 15020, "path": "/app-health/web/livez"}});
        assert_eq!(container["livenessProbe"], tcp);
        let before = container["lifecycle"]["preStop"]["httpGet"]["path"].clone();
        assert_eq!(before, "/app-lifecycle/web/prestopz");
        assert_eq!(
            Value::Object(asked),
            json!({
                "/app-health/web/readyz": {"httpGet": {"port": 80, "scheme": "HTTPS", "path": "/r"}, "timeoutSeconds": 2},
                "/app-health/web/livez": {"tcpSocket": {"port": 81}},
                "/app-health/web/startupz": {"grpc": {"port": 82, "service": null}},
            })
        );
        let (mut again, mut nothing) = (container.clone(), Map::new());
        of_container(&mut again, [15020, 15020], &mut nothing);
        assert_eq!((again, nothing.len()), (container, 0));
    }
}
