//! The template `gateway`: a pod that is nothing but a proxy at the edge. No traffic is captured,
//! and low ports may be bound without being root.

use super::env;
use super::fragment::{Fragment, PROXY_USER, User, tcp_port, unless_empty};
use super::sidecar::{arguments, configured, metadata, pull_secrets, ready_probe};
use super::volumes::{self, Shape};
use crate::context::Context;
use crate::pod;
use crate::refusal::Refusal;
use k8s_openapi::api::core::v1::{Container, PodSecurityContext, SecurityContext, Sysctl};

/// What the template adds.
pub(crate) fn fragment(context: &Context<'_>) -> Result<Fragment, Refusal> {
    let values = context.values();
    let volumes = volumes::of_proxy(context, Shape::Gateway)?;
    let User(user, group) = PROXY_USER;
    let number = |_: &str, name: &str| values.text(&format!("global.proxy.{name}"));
    let proxy = Container {
        name: pod::PROXY.to_owned(),
        image: Some(context.image("global.proxy.image")),
        image_pull_policy: unless_empty(values.text("global.imagePullPolicy")),
        ports: Some(vec![tcp_port("http-envoy-prom", 15090)]),
        args: Some(arguments(context, "router")),
        lifecycle: configured(context, "global.proxy.lifecycle")?,
        env: Some(env::of_proxy(context)),
        readiness_probe: Some(ready_probe(number)),
        security_context: Some(SecurityContext {
            run_as_user: Some(user),
            run_as_group: Some(group),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(volumes.mounts),
        ..Container::default()
    };
    let security = configured(context, "gateways.securityContext")?;
    Ok(Fragment {
        labels: context.canonical().into_iter().collect(),
        annotations: metadata(context),
        containers: vec![proxy],
        init_containers: Vec::new(),
        volumes: volumes.volumes,
        image_pull_secrets: pull_secrets(context),
        security_context: Some(security.unwrap_or_else(low_ports)),
        dns: None,
    })
}

fn low_ports() -> PodSecurityContext {
    PodSecurityContext {
        sysctls: Some(vec![Sysctl {
            name: "net.ipv4.ip_unprivileged_port_start".to_owned(),
            value: "0".to_owned(),
        }]),
        ..PodSecurityContext::default()
    }
}
