//! Services that exist without objects, as objects: a Kubernetes service by its host becomes a
//! Service with EndpointSlices, any other a ServiceEntry.

use super::schema::{Registry, RegistryInstance, RegistryService};
use serde_json::{Value, json};
use std::net::IpAddr;

/// YAML documents, or `None` when there are none.
pub(super) fn objects(registry: &Registry) -> Option<String> {
    let mut documents = Vec::new();
    for service in &registry.services {
        let all = registry.instances.iter();
        let own: Vec<&RegistryInstance> = all.filter(|i| i.service == service.hostname).collect();
        match kubernetes(service) {
            Some((name, namespace)) => {
                documents.push(kube_service(service, (name, namespace)));
                let slices = own.iter().enumerate();
                documents.extend(
                    slices.map(|(index, instance)| {
                        slice(service, instance, (name, namespace, index))
                    }),
                );
            }
            None => documents.push(entry(service, &own)),
        }
    }
    let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
    (!texts.is_empty()).then(|| texts.join("\n---\n"))
}

/// Name and namespace of a host `NAME.NAMESPACE.svc...` whose endpoints the cluster knows.
fn kubernetes(service: &RegistryService) -> Option<(&str, &str)> {
    let (name, rest) = service.hostname.split_once('.')?;
    let (namespace, rest) = rest.split_once('.')?;
    let by_endpoints = matches!(service.resolution.as_deref(), None | Some("STATIC"));
    (rest.starts_with("svc.") && by_endpoints).then_some((name, namespace))
}

fn address(service: &RegistryService) -> Option<IpAddr> {
    let address: IpAddr = service.address.as_deref()?.parse().ok()?;
    (!address.is_unspecified()).then_some(address)
}

fn protocol(port: &super::schema::RegistryPort) -> Option<&str> {
    port.protocol.as_deref().filter(|p| !p.is_empty())
}

fn kube_service(service: &RegistryService, (name, namespace): (&str, &str)) -> Value {
    let ports = service.ports.iter().map(|port| {
        let app = protocol(port).map(str::to_ascii_lowercase);
        let transport = match app.as_deref() {
            Some("udp") => "UDP",
            Some(_) | None => "TCP",
        };
        json!({
            "name": port.name, "port": port.number, "targetPort": port.number,
            "protocol": transport, "appProtocol": app,
        })
    });
    let ip = address(service).map_or("None".to_owned(), |address| address.to_string());
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"clusterIP": ip, "ports": ports.collect::<Vec<_>>()},
    })
}

fn slice(
    service: &RegistryService,
    instance: &RegistryInstance,
    (name, namespace, index): (&str, &str, usize),
) -> Value {
    let port = service
        .ports
        .iter()
        .find(|p| p.number == instance.service_port);
    let target = instance.target_port.unwrap_or(instance.service_port);
    let family = match instance.addresses.first() {
        Some(IpAddr::V6(_)) => "IPv6",
        Some(IpAddr::V4(_)) | None => "IPv4",
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-{index}"), "namespace": namespace,
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": family,
        "endpoints": [{"addresses": instance.addresses}],
        "ports": [{"name": port.map(|p| p.name.as_str()), "port": target, "protocol": "TCP"}],
    })
}

fn entry(service: &RegistryService, instances: &[&RegistryInstance]) -> Value {
    let ports = service
        .ports
        .iter()
        .map(|port| json!({"name": port.name, "number": port.number, "protocol": protocol(port)}));
    let endpoints = instances.iter().flat_map(|instance| {
        let port = service
            .ports
            .iter()
            .find(|p| p.number == instance.service_port);
        let target = instance.target_port.unwrap_or(instance.service_port);
        let ports: serde_json::Map<String, Value> = port
            .map(|port| (port.name.clone(), target.into()))
            .into_iter()
            .collect();
        let addresses = instance.addresses.iter();
        addresses.map(move |address| json!({"address": address, "ports": ports}))
    });
    let name: String = service.hostname.replace('*', "any").to_ascii_lowercase();
    let addresses: Vec<IpAddr> = address(service).into_iter().collect();
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "hosts": [service.hostname], "addresses": addresses,
            "resolution": service.resolution.as_deref().unwrap_or("STATIC"),
            "location": "MESH_INTERNAL",
            "ports": ports.collect::<Vec<_>>(), "endpoints": endpoints.collect::<Vec<_>>(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_api::yaml::{Outcome, Source, read};

    fn service(hostname: &str) -> RegistryService {
        serde_json::from_value(json!({
            "hostname": hostname, "address": "1.1.1.1", "resolution": "STATIC",
            "ports": [{"name": "web", "number": 80, "protocol": "HTTP"}],
        }))
        .unwrap()
    }

    #[test]
    fn kubernetes_hosts_are_services_with_slices() {
        let instance = json!({
            "service": "b.shop.svc.cluster.local", "servicePort": 80, "targetPort": 8080,
            "addresses": ["1.2.3.4"],
        });
        let registry = Registry {
            services: vec![service("b.shop.svc.cluster.local"), service("b.org")],
            instances: vec![serde_json::from_value(instance).unwrap()],
        };
        let text = objects(&registry).unwrap();
        let documents = read(text.as_bytes(), &Source::new("x"));
        let kinds: Vec<_> = documents
            .iter()
            .map(|d| d.header.kind.as_deref().unwrap())
            .collect();
        assert_eq!(kinds, ["Service", "EndpointSlice", "ServiceEntry"]);
        for document in &documents[..2] {
            assert!(
                matches!(document.outcome, Outcome::Object(_)),
                "{document:?}"
            );
        }
        assert!(objects(&Registry::default()).is_none());
    }
}
