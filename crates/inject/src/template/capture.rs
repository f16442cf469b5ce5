//! The init container that sets up the capture of traffic, or checks that the CNI plugin has; and
//! the annotations that tell that plugin what to do.

use super::fragment::{PROXY_USER, ROOT, User, confined, texts, unless_empty};
use super::resources;
use crate::annotations as key;
use crate::context::Context;
use crate::written;
use k8s_openapi::api::core::v1::{Container, EnvVar, SecurityContext};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Ports of the proxy that are never captured.
const PROXY_PORTS: &str = "15090,15021";

/// The init container of capture; none when nothing is captured.
pub(crate) fn container(context: &Context<'_>) -> Option<Container> {
    if context.mode() == "NONE" {
        return None;
    }
    let metadata = &context.proxy.proxy_metadata;
    let env = metadata.iter().map(|(name, value)| EnvVar {
        name: name.clone(),
        value: unless_empty(value.clone()),
        value_from: None,
    });
    let name = match context.has_cni() {
        true => "istio-validation",
        false => "istio-init",
    };
    Some(Container {
        name: name.to_owned(),
        image: Some(context.image("global.proxy_init.image")),
        image_pull_policy: unless_empty(context.values().text("global.imagePullPolicy")),
        args: Some(arguments(context)),
        env: (!metadata.is_empty()).then(|| env.collect()),
        resources: resources::of_proxy(context),
        security_context: Some(security(context)),
        ..Container::default()
    })
}

fn security(context: &Context<'_>) -> SecurityContext {
    let privileged = context.values().flag("global.proxy.privileged");
    let mut security = match context.has_cni() {
        true => confined(PROXY_USER, &[]),
        false => SecurityContext {
            read_only_root_filesystem: Some(false),
            ..confined(ROOT, &["NET_ADMIN", "NET_RAW"])
        },
    };
    security.privileged = Some(privileged);
    security.allow_privilege_escalation = Some(privileged);
    security
}

/// The arguments, each flag as Istio's own.
fn arguments(context: &Context<'_>) -> Vec<String> {
    let values = context.values();
    let mesh = &context.settings.mesh;
    let port = |found: Option<meltemi_types::Port>, or: u32| {
        found.map_or(or, |port| port.number()).to_string()
    };
    let said = |key: &str, path: &str| context.said(key, &format!("global.proxy.{path}"));
    let User(uid, _) = PROXY_USER;
    let excluded = excluded_inbound(context);
    let mut all = texts(&["istio-iptables"]);
    let mut flag = |name: &str, value: String| all.extend([name.to_owned(), value]);
    flag("-p", port(mesh.outbound_port(), 15001));
    flag("-z", port(mesh.inbound_port(), 15006));
    flag("-u", uid.to_string());
    flag("-m", context.mode().to_owned());
    flag("-i", said(key::INCLUDE_OUT_RANGES, "includeIPRanges"));
    flag("-x", said(key::EXCLUDE_OUT_RANGES, "excludeIPRanges"));
    flag("-b", said(key::INCLUDE_IN_PORTS, "includeInboundPorts"));
    flag(
        "-d",
        match excluded.is_empty() {
            true => PROXY_PORTS.to_owned(),
            false => format!("{PROXY_PORTS},{excluded}"),
        },
    );
    if let Some(ports) = optional(context, key::INCLUDE_OUT_PORTS, "includeOutboundPorts") {
        flag("-q", ports);
    }
    if let Some(ports) = optional(context, key::EXCLUDE_OUT_PORTS, "excludeOutboundPorts") {
        flag("-o", ports);
    }
    if let Some((_, interfaces)) = rerouted(context) {
        flag("-k", interfaces.to_owned());
    }
    if let Some(interfaces) = context.annotation(key::EXCLUDE_INTERFACES) {
        flag("-c", interfaces.to_owned());
    }
    let level = context.said(key::AGENT_LOG_LEVEL, "global.logging.level");
    all.push(format!("--log_output_level={level}"));
    for (path, switch) in [
        ("global.logAsJson", &["--log_as_json"] as &[&str]),
        (
            "pilot.cni.enabled",
            &["--run-validation", "--skip-rule-apply"],
        ),
        ("global.proxy_init.forceApplyIptables", &["--force-apply"]),
        ("global.nativeNftables", &["--native-nftables"]),
    ] {
        if values.flag(path) {
            all.extend(texts(switch));
        }
    }
    all
}

/// What the CNI plugin reads: it sees annotations only, so the values are written into them.
pub(crate) fn annotations(context: &Context<'_>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if !context.has_cni() {
        return all;
    }
    let mut put = |key: &str, value: String| all.insert(key.to_owned(), value);
    if context.values().text("pilot.cni.provider") == "multus" {
        let existing = context.annotation(key::NETWORKS).unwrap_or_default();
        put(key::NETWORKS, with_network(existing));
    }
    put(key::INTERCEPTION_MODE, context.mode().to_owned());
    for (key, path) in [
        (key::INCLUDE_OUT_RANGES, "global.proxy.includeIPRanges"),
        (key::EXCLUDE_OUT_RANGES, "global.proxy.excludeIPRanges"),
        (key::INCLUDE_IN_PORTS, "global.proxy.includeInboundPorts"),
    ] {
        if let Some(value) = unless_empty(context.said(key, path)) {
            put(key, value);
        }
    }
    put(key::EXCLUDE_IN_PORTS, excluded_inbound(context));
    for (key, name) in [
        (key::INCLUDE_OUT_PORTS, "includeOutboundPorts"),
        (key::EXCLUDE_OUT_PORTS, "excludeOutboundPorts"),
    ] {
        if let Some(value) = optional(context, key, name) {
            put(key, value);
        }
    }
    if let Some((key, interfaces)) = rerouted(context).filter(|(_, value)| !value.is_empty()) {
        put(key, interfaces.to_owned());
    }
    all
}

/// A list that is left out when neither the pod nor the values say anything.
fn optional(context: &Context<'_>, key: &str, name: &str) -> Option<String> {
    let value = context.values().text(&format!("global.proxy.{name}"));
    let said = context.annotation(key).map(ToOwned::to_owned);
    said.or_else(|| unless_empty(value))
}

fn rerouted<'a>(context: &Context<'a>) -> Option<(&'static str, &'a str)> {
    let keys = [key::REROUTE_INTERFACES, key::KUBEVIRT_INTERFACES];
    let mut said = keys.into_iter();
    said.find_map(|key| Some((key, context.annotation(key)?)))
}

/// Inbound ports that are not captured: the user's, and the agent's.
fn excluded_inbound(context: &Context<'_>) -> String {
    let excluded = context.said(key::EXCLUDE_IN_PORTS, "global.proxy.excludeInboundPorts");
    let agent = context.status_port();
    let agent = agent.trim();
    let mut ports: Vec<&str> = excluded.split(',').map(str::trim).collect();
    if agent.is_empty() || agent == "0" || ports.contains(&agent) {
        return excluded;
    }
    ports.retain(|port| !port.is_empty());
    ports.push(agent);
    ports.join(",")
}

/// The networks of a pod with Istio's among them, in the form that they are written in.
fn with_network(existing: &str) -> String {
    const OURS: &str = "default/istio-cni";
    if existing.is_empty() {
        return OURS.to_owned();
    }
    let ours = json!({"name": "istio-cni", "namespace": "default"});
    if let Some((before, after)) = existing.rsplit_once(']') {
        let known: Vec<Value> = serde_json::from_str(existing).unwrap_or_default();
        if known.iter().any(|network| network == &ours) {
            return existing.to_owned();
        }
        let ours = written::write(&ours, "networks")
            .replace(':', ": ")
            .replace(',', ", ");
        let comma = if known.is_empty() { "" } else { ", " };
        return format!("{before}{comma}{ours}]{after}");
    }
    match existing.split(',').any(|network| network.trim() == OURS) {
        true => existing.to_owned(),
        false => format!("{existing}, {OURS}"),
    }
}

#[cfg(test)]
mod tests {
    use super::with_network;

    #[test]
    fn the_network_is_added_once() {
        let listed = r#"[{"name": "a"}]"#;
        let with = r#"[{"name": "a"}, {"name": "istio-cni", "namespace": "default"}]"#;
        assert_eq!(with_network(listed), with);
        for (before, after) in [
            ("", "default/istio-cni"),
            ("a", "a, default/istio-cni"),
            ("a, default/istio-cni", "a, default/istio-cni"),
            (with, with),
        ] {
            assert_eq!(with_network(before), after);
        }
    }
}
