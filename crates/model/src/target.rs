//! What a proxy serves: the service ports behind which its own workload stands.
//!
//! Follows Istio: services whose selector matches the pod; then services without selector whose
//! endpoints hold one of its addresses. The oldest service comes first.

use crate::Snapshot;
use crate::endpoint::EndpointAddress;
use crate::proxy::Proxy;
use crate::security::Certificates;
use crate::service::{Service, ServicePort, TargetPort};
use crate::workload::{Workload, WorkloadKey, WorkloadKind};
use meltemi_types::{Labels, Port};
use std::sync::Arc;

/// The label that the injector gives to workloads whose proxy has a certificate, value `istio`.
const TLS_MODE: &str = "security.istio.io/tlsMode";

/// A service port that the proxy's workload answers for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceTarget {
    /// The service.
    pub service: Arc<Service>,
    /// Its port.
    pub port: ServicePort,
    /// The port at the workload.
    pub target: Port,
}

impl Snapshot {
    /// The workload a proxy belongs to: by cluster, namespace and name, else by address.
    #[must_use]
    pub fn workload_of(&self, proxy: &Proxy) -> Option<&Arc<Workload>> {
        let (pod, namespace) = proxy.node.pod();
        let by_name = || {
            let key = WorkloadKey {
                cluster: proxy.cluster.clone(),
                namespace: namespace.parse().ok()?,
                name: pod.parse().ok()?,
            };
            self.workloads
                .by_key(&key)
                .or_else(|| self.workloads.entry(&key))
        };
        let by_ip = || {
            let found = proxy.ips.iter().find_map(|ip| self.workloads.by_ip(ip))?;
            (found.key.namespace == proxy.namespace).then_some(found)
        };
        by_name().or_else(by_ip)
    }

    /// The labels of a proxy: its pod's when the registry knows it, else what it says.
    #[must_use]
    pub fn labels_of(&self, proxy: &Proxy) -> Labels {
        match self.workload_of(proxy) {
            Some(workload) => workload.labels.clone(),
            None => proxy.labels.clone(),
        }
    }

    /// Where a proxy's certificate comes from: as it says, else from the secret discovery service
    /// when its workload carries the label by which clients know that it speaks mesh mTLS.
    #[must_use]
    pub fn certificates_of(&self, proxy: &Proxy) -> Certificates {
        proxy
            .certificates
            .unwrap_or_else(|| match self.labels_of(proxy).value(TLS_MODE) {
                Some("istio") => Certificates::Sds,
                Some(_) | None => Certificates::None,
            })
    }

    /// The service ports a proxy answers for, oldest service first.
    #[must_use]
    pub fn targets_of(&self, proxy: &Proxy) -> Vec<ServiceTarget> {
        let workload = self.workload_of(proxy);
        let labels = self.labels_of(proxy);
        let named = |name| match workload {
            Some(workload) => workload.ports.get(name).copied(),
            None => proxy.pod_ports.get(name).copied(),
        };
        let entry = workload.filter(|w| w.kind != WorkloadKind::Pod);
        let mut targets = Vec::new();
        for service in self.services.iter() {
            let own = service.key.namespace == proxy.namespace;
            let selected = match &service.selector {
                Some(selector) => {
                    own && service.kubernetes && !selector.is_empty() && selector.matches(&labels)
                }
                None => false,
            };
            let ports = service.ports.iter();
            if selected {
                targets.extend(ports.filter_map(|port| {
                    let target = match (&port.target, entry) {
                        (TargetPort::Same | TargetPort::Number(_), entry) => {
                            let own = entry.and_then(|e| e.ports.get(&port.name).copied());
                            own.or_else(|| port.target.number(port.number))?
                        }
                        (TargetPort::Named(name), Some(entry)) => {
                            named(name).or_else(|| entry.ports.get(&port.name).copied())?
                        }
                        (TargetPort::Named(name), None) => named(name)?,
                    };
                    Some(ServiceTarget {
                        service: service.clone(),
                        port: port.clone(),
                        target,
                    })
                }));
            } else if (service.kubernetes && service.selector.is_none())
                || (!service.kubernetes && own)
            {
                targets.extend(ports.filter_map(|port| self.endpoint_target(proxy, service, port)));
            }
        }
        targets.sort_by(|a, b| {
            let key =
                |t: &ServiceTarget| (t.service.age.clone(), t.service.key.clone(), t.port.number);
            key(a).cmp(&key(b))
        });
        targets
    }

    fn endpoint_target(
        &self,
        proxy: &Proxy,
        service: &Arc<Service>,
        port: &ServicePort,
    ) -> Option<ServiceTarget> {
        let endpoints = self.endpoints.of(&service.key, &port.name);
        let own = endpoints.iter().find(|endpoint| match &endpoint.address {
            EndpointAddress::Ip(ip) => proxy.ips.contains(ip) && endpoint.cluster == proxy.cluster,
            EndpointAddress::Name(_) | EndpointAddress::Pipe(_) | EndpointAddress::Remote => false,
        })?;
        Some(ServiceTarget {
            service: service.clone(),
            port: port.clone(),
            target: own.port?,
        })
    }
}
