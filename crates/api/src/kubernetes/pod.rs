//! A Pod, as far as the mesh reads it. There are more of them than of anything else, and a whole
//! one takes kilobytes: of 10,000 pods that would be most of a control plane's memory.

use k8s_openapi::api::core::v1 as core;
use meltemi_types::{Port, PortName, ServiceAccount};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What the mesh keeps of a Pod beside its metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pod {
    /// `spec.nodeName`.
    pub node: Option<Arc<str>>,
    /// `spec.serviceAccountName`.
    pub account: Option<ServiceAccount>,
    /// `spec.hostNetwork`. Default false.
    pub host_network: bool,
    /// `spec.hostname`; not empty.
    pub hostname: Option<Arc<str>>,
    /// `spec.subdomain`; not empty.
    pub subdomain: Option<Arc<str>>,
    /// The container ports that have a name.
    pub ports: Arc<BTreeMap<PortName, Port>>,
    /// `status.podIP` and `status.podIPs`, each once, in this order; empty before it has one.
    pub ips: Arc<[IpAddr]>,
    /// True when its phase is Succeeded or Failed.
    pub finished: bool,
    /// Its condition Ready; true when it says nothing about that, as directories do.
    pub ready: bool,
}

/// The texts that a Pod is made from.
#[derive(Debug, Default)]
pub(crate) struct Parts<'a> {
    pub(crate) node: Option<&'a str>,
    pub(crate) account: Option<&'a str>,
    pub(crate) host_network: Option<bool>,
    pub(crate) hostname: Option<&'a str>,
    pub(crate) subdomain: Option<&'a str>,
    /// Names and numbers.
    pub(crate) ports: Vec<(&'a str, i32)>,
    pub(crate) ips: Vec<&'a str>,
    pub(crate) phase: Option<&'a str>,
    /// The status of the condition Ready.
    pub(crate) ready: Option<&'a str>,
}

impl Parts<'_> {
    pub(crate) fn pod(&self) -> Pod {
        let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(Arc::from);
        let ports = self.ports.iter().filter_map(|(name, number)| {
            let number = u32::try_from(*number).ok().and_then(Port::new)?;
            Some((name.parse().ok()?, number))
        });
        let mut ips: Vec<IpAddr> = Vec::new();
        for ip in self.ips.iter().filter_map(|ip| ip.parse().ok()) {
            if !ips.contains(&ip) {
                ips.push(ip);
            }
        }
        Pod {
            node: text(self.node),
            account: self.account.and_then(|account| account.parse().ok()),
            host_network: self.host_network.unwrap_or(false),
            hostname: text(self.hostname),
            subdomain: text(self.subdomain),
            ports: Arc::new(ports.collect()),
            ips: ips.into(),
            finished: matches!(self.phase, Some("Succeeded" | "Failed")),
            ready: self.ready.is_none_or(|status| status == "True"),
        }
    }
}

impl From<&core::Pod> for Pod {
    fn from(pod: &core::Pod) -> Self {
        let mut parts = Parts::default();
        if let Some(spec) = &pod.spec {
            let ports = spec
                .containers
                .iter()
                .flat_map(|c| c.ports.iter().flatten());
            parts.node = spec.node_name.as_deref();
            parts.account = spec.service_account_name.as_deref();
            parts.host_network = spec.host_network;
            parts.hostname = spec.hostname.as_deref();
            parts.subdomain = spec.subdomain.as_deref();
            parts.ports = ports
                .filter_map(|port| Some((port.name.as_deref()?, port.container_port)))
                .collect();
        }
        if let Some(status) = &pod.status {
            let more = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
            let mut conditions = status.conditions.iter().flatten();
            parts.phase = status.phase.as_deref();
            parts.ips = status.pod_ip.as_deref().into_iter().chain(more).collect();
            parts.ready = conditions
                .find(|condition| condition.type_ == "Ready")
                .map(|condition| condition.status.as_str());
        }
        parts.pod()
    }
}
