//! Pages about what can be called: services, endpoints, networks, and what one proxy sees of them.

use super::Desk;
use crate::plane::Held;
use meltemi_model::Snapshot;
use meltemi_model::endpoint::{Endpoint, EndpointAddress, Health, TlsMode};
use meltemi_model::service::{Resolution, Service, ServicePort};
use serde_json::{Map, Value, json};

/// Services.
pub(super) fn registryz(snapshot: &Snapshot) -> Value {
    snapshot.services.iter().map(|s| service(s)).collect()
}

/// A service in the words of istiod's `model.Service`.
pub(super) fn service(service: &Service) -> Value {
    let addresses = service.addresses.values().flat_map(|a| a.iter());
    let first = addresses.clone().next().map(ToString::to_string);
    let registry = match service.kubernetes {
        true => "Kubernetes",
        false => "External",
    };
    json!({
        "Attributes": {
            "ServiceRegistry": registry,
            "Name": service.name,
            "Namespace": service.key.namespace,
            "Labels": service.labels,
            "LabelSelectors": service.selector.as_ref().map(|s| format!("{s:?}")),
        },
        "hostname": service.key.host,
        "ports": service.ports.iter().map(port).collect::<Vec<_>>(),
        "serviceAccounts": service.accounts,
        "creationTime": service.age.created,
        "clusterVIPs": { "Addresses": service.addresses },
        "defaultAddress": first.unwrap_or_else(|| "0.0.0.0".to_owned()),
        "autoAllocatedAddresses": service.allocated,
        "Resolution": resolution(&service.resolution),
        "MeshExternal": service.external,
        "origin": service.origin,
    })
}

pub(super) fn port(port: &ServicePort) -> Value {
    json!({ "name": port.name, "port": port.number, "protocol": port.protocol.name() })
}

/// Istio's numbers.
fn resolution(resolution: &Resolution) -> u8 {
    match resolution {
        Resolution::Endpoints => 0,
        Resolution::Dns => 1,
        Resolution::Passthrough => 2,
        Resolution::DnsRoundRobin => 3,
        Resolution::Alias(_) => 4,
        Resolution::DynamicDns => 5,
    }
}

/// Endpoints by host, namespace and cluster.
pub(super) fn endpoint_shardz(snapshot: &Snapshot) -> Value {
    let mut hosts = Map::new();
    for (key, endpoints) in snapshot.endpoints.iter() {
        let mut shards = Map::new();
        for (name, endpoints) in &endpoints.ports {
            for one in endpoints.iter() {
                let shard = format!("Kubernetes/{}", one.cluster);
                let shard = shards.entry(shard).or_insert_with(|| json!([]));
                if let Some(list) = shard.as_array_mut() {
                    list.push(endpoint(name.as_str(), one));
                }
            }
        }
        let accounts = endpoints.accounts().into_iter();
        let accounts = accounts.map(|(namespace, name)| format!("{namespace}/{name}"));
        let shown = json!({
            "Shards": shards,
            "ServiceAccounts": accounts.collect::<Vec<_>>(),
        });
        let namespaces = hosts
            .entry(key.host.to_string())
            .or_insert_with(|| json!({}));
        if let Some(namespaces) = namespaces.as_object_mut() {
            namespaces.insert(key.namespace.to_string(), shown);
        }
    }
    Value::Object(hosts)
}

/// An endpoint in the words of istiod's `model.IstioEndpoint`.
fn endpoint(port: &str, endpoint: &Endpoint) -> Value {
    let address = match &endpoint.address {
        EndpointAddress::Ip(ip) => vec![ip.to_string()],
        EndpointAddress::Name(name) | EndpointAddress::Pipe(name) => vec![name.to_string()],
        EndpointAddress::Remote => Vec::new(),
    };
    let health = match endpoint.health {
        Health::Healthy => 1,
        Health::Unhealthy => 2,
        Health::Draining => 3,
    };
    let tls = match endpoint.tls {
        TlsMode::Disabled => "disabled",
        TlsMode::Istio => "istio",
    };
    json!({
        "Labels": endpoint.workload.labels,
        "Addresses": address,
        "ServicePortName": port,
        "ServiceAccount": endpoint.workload.account,
        "Network": endpoint.network,
        "Locality": { "Label": endpoint.locality.to_string(), "ClusterID": endpoint.cluster },
        "EndpointPort": endpoint.port,
        "LbWeight": endpoint.weight,
        "TLSMode": tls,
        "Namespace": endpoint.workload.namespace,
        "WorkloadName": endpoint.workload.name,
        "HealthStatus": health,
        "NodeName": endpoint.workload.node,
    })
}

/// Gateways into networks.
pub(super) fn networkz(snapshot: &Snapshot) -> Value {
    let gateways = snapshot.networks.iter().map(|(network, gateway)| {
        json!({
            "Network": network,
            "Cluster": gateway.cluster,
            "Addr": gateway.address,
            "Port": gateway.port,
        })
    });
    gateways.collect()
}

/// Clusters whose API servers are read: the own one. It has been read whole, or nobody would be
/// answered.
pub(super) fn clusterz(desk: &Desk) -> Value {
    json!([{ "id": desk.about.cluster, "secretName": "", "syncStatus": "synced" }])
}

/// What a proxy may reach.
pub(super) fn sidecarz(snapshot: &Snapshot, held: &Held) -> Value {
    let proxy = &held.proxy;
    let rule = snapshot.sidecars.of_workload(
        &proxy.namespace,
        &proxy.labels,
        &snapshot.mesh.root_namespace,
    );
    let scope = snapshot.scope(&proxy.namespace, rule);
    let listeners = scope.egress.iter().map(|egress| {
        let services = egress.services.iter().map(|s| service(s));
        services.collect::<Vec<Value>>()
    });
    let name = scope
        .sidecar
        .as_ref()
        .map(|s| s.origin.object.name.to_string());
    json!({
        "name": name.unwrap_or_else(|| "default-sidecar".to_owned()),
        "namespace": scope.namespace,
        "sidecar": scope.sidecar.as_ref().map(|s| &*s.spec),
        "services": scope.services().iter().map(|s| service(s)).collect::<Vec<_>>(),
        "egressListenerServices": listeners.collect::<Vec<_>>(),
    })
}
