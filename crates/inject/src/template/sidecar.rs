//! The template `sidecar`: a proxy beside the application, and the capture of its traffic.

use super::fragment::{
    Fragment, PROXY_USER, User, after_start, confined, http_probe, runs, tcp_port, texts,
    unless_empty,
};
use super::volumes::{self, Shape};
use super::{capture, env, resources};
use crate::annotations as key;
use crate::context::Context;
use crate::pod;
use crate::refusal::Refusal;
use k8s_openapi::api::core::v1::{
    Capabilities, Container, Lifecycle, LocalObjectReference, PodDNSConfig, Probe, SecurityContext,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// The longest value of a label.
const MAX_LABEL: usize = 63;

/// What the template adds.
pub(crate) fn fragment(context: &Context<'_>) -> Result<Fragment, Refusal> {
    let volumes = volumes::of_proxy(context, Shape::Sidecar)?;
    let proxy = Container {
        volume_mounts: Some(volumes.mounts),
        ..proxy(context)?
    };
    let mut init_containers: Vec<Container> = capture::container(context).into_iter().collect();
    let mut containers = Vec::new();
    init_containers.extend(core_dump(context));
    match context.is_native() {
        true => init_containers.push(proxy),
        false => containers.push(proxy),
    }
    let mut annotations = metadata(context);
    annotations.extend(capture::annotations(context));
    Ok(Fragment {
        labels: labels(context),
        annotations,
        containers,
        init_containers,
        volumes: volumes.volumes,
        image_pull_secrets: pull_secrets(context),
        security_context: None,
        dns: dns(context)?,
    })
}

fn labels(context: &Context<'_>) -> BTreeMap<String, String> {
    let kept = |key: &str, default: &str| {
        let said = pod::label(context.pod, key).filter(|value| !value.is_empty());
        (key.to_owned(), said.unwrap_or(default).to_owned())
    };
    let mut all = BTreeMap::from([kept("security.istio.io/tlsMode", "istio")]);
    if context.metadata("ISTIO_META_ENABLE_HBONE") == "true" {
        all.extend([kept("networking.istio.io/tunnel", "http")]);
    }
    let [(name_key, name), revision] = context.canonical();
    let short: String = name.chars().take(MAX_LABEL).collect();
    let short = short.trim_end_matches(['-', '_', '.']).to_owned();
    all.extend([(name_key, short), revision]);
    all
}

/// Annotations of every template: the revision, and which container is the application.
pub(crate) fn metadata(context: &Context<'_>) -> BTreeMap<String, String> {
    let revision = context.settings.revision();
    let revision = unless_empty(revision).unwrap_or_else(|| "default".to_owned());
    let mut all = BTreeMap::from([("istio.io/rev".to_owned(), revision)]);
    let first = context.apps().next().map(pod::name);
    for key in [
        "kubectl.kubernetes.io/default-container",
        "kubectl.kubernetes.io/default-logs-container",
    ] {
        if let (Some(first), None) = (first, context.annotation(key)) {
            all.insert(key.to_owned(), first.to_owned());
        }
    }
    all
}

pub(crate) fn pull_secrets(context: &Context<'_>) -> Vec<LocalObjectReference> {
    let all = context.values().at("global.imagePullSecrets");
    let all = all.and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str)
        .map(|name| LocalObjectReference {
            name: name.to_owned(),
        })
        .collect()
}

/// Further domains in which names are looked up. One word of Go's templates is understood in them:
/// the namespace of the workload.
fn dns(context: &Context<'_>) -> Result<Option<PodDNSConfig>, Refusal> {
    const PATH: &str = "global.podDNSSearchNamespaces";
    const NAMESPACE: &str = r#"{{ valueOrDefault .DeploymentMeta.Namespace "default" }}"#;
    let all = context.values().at(PATH).and_then(Value::as_array);
    let namespace = match context.owner.namespace.as_str() {
        "" => "default",
        namespace => namespace,
    };
    let mut searches = Vec::new();
    for domain in all.into_iter().flatten().filter_map(Value::as_str) {
        let domain = domain.replace(NAMESPACE, namespace);
        if domain.contains("{{") {
            let why = format!("values.{PATH}: of Go's actions only {NAMESPACE} is understood");
            return Err(Refusal::settings(why));
        }
        searches.push(domain);
    }
    Ok((!searches.is_empty()).then(|| PodDNSConfig {
        searches: Some(searches),
        ..PodDNSConfig::default()
    }))
}

/// The arguments of the agent, the first two apart.
pub(crate) fn arguments(context: &Context<'_>, role: &str) -> Vec<String> {
    let values = context.values();
    let mut all = texts(&["proxy", role, "--domain"]);
    let domain = values.text("global.proxy.clusterDomain");
    all.push(format!("$(POD_NAMESPACE).svc.{domain}"));
    for (flag, key, path) in [
        ("proxyLogLevel", key::LOG_LEVEL, "global.proxy.logLevel"),
        (
            "proxyComponentLogLevel",
            key::COMPONENT_LOG_LEVEL,
            "global.proxy.componentLogLevel",
        ),
        (
            "log_output_level",
            key::AGENT_LOG_LEVEL,
            "global.logging.level",
        ),
    ] {
        all.push(format!("--{flag}={}", context.said(key, path)));
    }
    let port = values.text("global.sts.servicePort");
    if !port.is_empty() && port != "0" {
        all.push(format!("--stsPort={port}"));
    }
    if values.flag("global.logAsJson") {
        all.push("--log_as_json".to_owned());
    }
    if let Some(path) = unless_empty(values.text("global.proxy.outlierLogPath")) {
        all.push(format!("--outlierLogPath={path}"));
    }
    all
}

fn proxy(context: &Context<'_>) -> Result<Container, Refusal> {
    let values = context.values();
    let probes = context.status_port() != "0";
    let starts = probes && values.flag("global.proxy.startupProbe.enabled");
    Ok(Container {
        name: pod::PROXY.to_owned(),
        image: Some(context.image("global.proxy.image")),
        image_pull_policy: unless_empty(values.text("global.imagePullPolicy")),
        restart_policy: context.is_native().then(|| "Always".to_owned()),
        ports: Some(vec![tcp_port("http-envoy-prom", 15090)]),
        args: Some(arguments(context, "sidecar")),
        lifecycle: lifecycle(context)?,
        env: Some(env::of_proxy(context)),
        startup_probe: starts.then(|| Probe {
            period_seconds: Some(1),
            failure_threshold: number(&values.text("global.proxy.startupProbe.failureThreshold")),
            ..http_probe("/healthz/ready", 15021)
        }),
        readiness_probe: probes
            .then(|| ready_probe(|key, name| context.said(key, &format!("global.proxy.{name}")))),
        security_context: Some(security(context)),
        resources: resources::of_proxy(context),
        ..Container::default()
    })
}

/// A number that is worth writing: 0 is what is assumed.
fn number(text: &str) -> Option<i32> {
    text.parse().ok().filter(|number| *number != 0)
}

/// The readiness probe, whose numbers come from annotations or values by `said`.
pub(crate) fn ready_probe(said: impl Fn(&str, &str) -> String) -> Probe {
    Probe {
        initial_delay_seconds: number(&said(key::READY_DELAY, "readinessInitialDelaySeconds")),
        period_seconds: number(&said(key::READY_PERIOD, "readinessPeriodSeconds")),
        failure_threshold: number(&said(key::READY_FAILURES, "readinessFailureThreshold")),
        ..http_probe("/healthz/ready", 15021)
    }
}

/// A value of the charts as a type of Kubernetes.
pub(crate) fn configured<T: DeserializeOwned>(
    context: &Context<'_>,
    path: &str,
) -> Result<Option<T>, Refusal> {
    let found = context.values().at(path);
    let Some(found) = found.filter(|value| value.as_object().is_some_and(|map| !map.is_empty()))
    else {
        return Ok(None);
    };
    let typed = serde_json::from_value(found.clone());
    typed
        .map(Some)
        .map_err(|error| Refusal::settings(format!("values.{path}: {error}")))
}

fn lifecycle(context: &Context<'_>) -> Result<Option<Lifecycle>, Refusal> {
    if let Some(lifecycle) = configured(context, "global.proxy.lifecycle")? {
        return Ok(Some(lifecycle));
    }
    if context.is_native() {
        let port = format!("--debug-port={}", context.status_port());
        return Ok(Some(Lifecycle {
            pre_stop: Some(runs(&["pilot-agent", "request", &port, "POST", "drain"])),
            ..Lifecycle::default()
        }));
    }
    let holds = context
        .values()
        .flag("global.proxy.holdApplicationUntilProxyStarts")
        || context.proxy.hold_application_until_proxy_starts == Some(true);
    Ok(holds.then(|| after_start(&["pilot-agent", "wait"])))
}

fn security(context: &Context<'_>) -> SecurityContext {
    let User(_, group) = PROXY_USER;
    if context.metadata("IPTABLES_TRACE_LOGGING") == "true" {
        return SecurityContext {
            allow_privilege_escalation: Some(true),
            privileged: Some(true),
            ..confined(User(0, group), &["NET_ADMIN"])
        };
    }
    let mut capabilities = Vec::new();
    if context.is_tproxy() {
        capabilities.push("NET_ADMIN");
    }
    if context.binds_low_ports() {
        capabilities.push("NET_BIND_SERVICE");
    }
    let user = match capabilities.is_empty() {
        true => PROXY_USER,
        false => User(0, group),
    };
    let privileged = context.values().flag("global.proxy.privileged");
    SecurityContext {
        allow_privilege_escalation: Some(privileged),
        privileged: Some(privileged),
        ..confined(user, &capabilities)
    }
}

/// The privileged init container that lets a crashing proxy leave its core behind.
fn core_dump(context: &Context<'_>) -> Option<Container> {
    let said = context.said(key::CORE_DUMP, "global.proxy.enableCoreDump");
    if key::boolean(&said) != Some(true) {
        return None;
    }
    let script =
        "sysctl -w kernel.core_pattern=/var/lib/istio/data/core.proxy && ulimit -c unlimited";
    Some(Container {
        name: "enable-core-dump".to_owned(),
        image: Some(context.image("global.proxy_init.image")),
        image_pull_policy: unless_empty(context.values().text("global.imagePullPolicy")),
        command: Some(texts(&["/bin/sh"])),
        args: Some(texts(&["-c", script])),
        resources: resources::of_proxy(context),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(true),
            privileged: Some(true),
            read_only_root_filesystem: Some(false),
            run_as_user: Some(0),
            run_as_group: Some(0),
            run_as_non_root: Some(false),
            capabilities: Some(Capabilities {
                add: Some(texts(&["SYS_ADMIN"])),
                drop: Some(texts(&["ALL"])),
            }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    })
}
