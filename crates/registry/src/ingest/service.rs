//! Kubernetes Services as services of the mesh. A host that lives in several clusters is one
//! service: the own cluster's ports and settings, every cluster's addresses.
//!
//! Protocol selection follows
//! <https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/>.

use super::{age, namespace};
use crate::settings::Settings;
use crate::world::World;
use k8s_openapi::api::core::v1::{ServicePort as K8sPort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use meltemi_api::Resource;
use meltemi_model::{ExportTo, Mesh, Resolution, Service, ServiceKey, ServicePort, TargetPort};
use meltemi_types::{HostPattern, Namespace, ObjectRef, Port, PortName, Protocol, Selector};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

const EXPORT_TO: &str = "networking.istio.io/exportTo";
const ACCOUNTS: &str = "alpha.istio.io/kubernetes-serviceaccounts";
pub(super) const DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";
/// Ports whose protocols let the server speak first: sniffing would wait for ever.
const SERVER_FIRST: [u32; 4] = [25, 53, 3306, 27017];

/// The key of a Service object.
pub(crate) fn key(object: &ObjectRef, settings: &Settings) -> Option<ServiceKey> {
    let namespace = object.namespace.clone()?;
    let host = format!("{}.{namespace}.svc.{}", object.name, settings.domain)
        .parse()
        .ok()?;
    Some(ServiceKey { host, namespace })
}

/// The service of a key, from all clusters' objects; `None` when there is none.
pub(crate) fn kubernetes(
    key: &ServiceKey,
    world: &World,
    settings: &Settings,
    mesh: &Mesh,
) -> Option<Service> {
    let objects = objects(key, world, settings);
    let first = objects.first()?;
    let mut addresses = BTreeMap::new();
    for object in &objects {
        let ips = virtual_addresses(&object.spec);
        if !ips.is_empty() {
            addresses.insert(object.meta.object.cluster.clone(), Arc::from(ips));
        }
    }
    Some(Service {
        addresses,
        ..from_object(key, first, mesh)
    })
}

/// The Service objects of all clusters for a key, the own cluster's first.
pub(crate) fn objects<'a>(
    key: &ServiceKey,
    world: &'a World,
    settings: &Settings,
) -> Vec<&'a Arc<Resource<ServiceSpec>>> {
    let suffix = format!(".{}.svc.{}", key.namespace, settings.domain);
    let name = key.host.as_str().strip_suffix(&suffix);
    let Some(name) = name.and_then(|n| n.parse().ok()) else {
        return Vec::new();
    };
    let probe = ObjectRef {
        cluster: settings.cluster.clone(),
        kind: "Service".into(),
        namespace: Some(key.namespace.clone()),
        name,
    };
    let own = world.services.get(&probe);
    let others = clusters(world)
        .filter(|cluster| **cluster != settings.cluster)
        .filter_map(|cluster| {
            world.services.get(&ObjectRef {
                cluster: cluster.clone(),
                ..probe.clone()
            })
        });
    own.into_iter().chain(others).collect()
}

/// The clusters that have services, sorted. Keys sort by cluster, so each is one jump away.
fn clusters(world: &World) -> impl Iterator<Item = &meltemi_types::ClusterId> {
    let mut last: Option<&meltemi_types::ClusterId> = None;
    world
        .services
        .keys()
        .map(|k| &k.cluster)
        .filter(move |cluster| {
            let fresh = last != Some(cluster);
            last = Some(cluster);
            fresh
        })
}

fn from_object(key: &ServiceKey, object: &Resource<ServiceSpec>, mesh: &Mesh) -> Service {
    let spec = &object.spec;
    let annotation = |name: &str| object.meta.annotations.get(name).map(|v| &**v);
    let default = default_export_to(&key.namespace, mesh);
    let exported = annotation(EXPORT_TO).map(|v| v.split(',').collect::<Vec<_>>());
    let selector = spec.selector.as_ref().filter(|s| !s.is_empty());
    Service {
        key: key.clone(),
        name: object.meta.object.name.shared(),
        origin: object.origin(),
        age: age(&object.meta),
        addresses: BTreeMap::new(),
        cidrs: Arc::from([]),
        allocated: Arc::from([]),
        subject_alt_names: BTreeSet::new(),
        ports: ports(spec).into(),
        resolution: resolution(spec),
        external: false,
        kubernetes: true,
        export_to: ExportTo::read(
            exported.unwrap_or_default(),
            &namespace(&object.meta),
            &default,
        ),
        selector: selector.map(|labels| {
            Selector::new(
                labels
                    .iter()
                    .map(|(k, v)| (k.as_str(), v.as_str()))
                    .collect(),
            )
        }),
        labels: object.meta.labels.clone(),
        accounts: annotation(ACCOUNTS)
            .into_iter()
            .flat_map(|list| list.split(','))
            .filter_map(|account| account.trim().parse().ok())
            .collect(),
        publish_not_ready: spec.publish_not_ready_addresses.unwrap_or_default(),
        node_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
        traffic_distribution: annotation(DISTRIBUTION)
            .or(spec.traffic_distribution.as_deref())
            .map(Arc::from),
    }
}

/// Who sees the services of a namespace that say nothing about it.
pub(crate) fn default_export_to(namespace: &Namespace, mesh: &Mesh) -> ExportTo {
    let values = mesh.config.default_service_export_to.iter();
    ExportTo::read(values.map(String::as_str), namespace, &ExportTo::Public)
}

fn resolution(spec: &ServiceSpec) -> Resolution {
    let alias = || spec.external_name.as_deref()?.parse::<HostPattern>().ok();
    match (spec.type_.as_deref(), spec.cluster_ip.as_deref()) {
        (Some("ExternalName"), _) => alias().map_or(Resolution::Passthrough, Resolution::Alias),
        (_, Some("None")) => Resolution::Passthrough,
        (_, _) => Resolution::Endpoints,
    }
}

fn virtual_addresses(spec: &ServiceSpec) -> Vec<IpAddr> {
    let list = spec.cluster_ips.iter().flatten().map(String::as_str);
    let mut ips: Vec<IpAddr> = spec
        .cluster_ip
        .as_deref()
        .into_iter()
        .chain(list)
        .filter_map(|a| a.parse().ok())
        .collect();
    ips.dedup();
    let mut seen = BTreeSet::new();
    ips.retain(|ip| seen.insert(*ip));
    ips
}

fn ports(spec: &ServiceSpec) -> Vec<ServicePort> {
    let mut ports: Vec<ServicePort> = spec.ports.iter().flatten().filter_map(port).collect();
    ports.sort_by_key(|p| (p.number, p.protocol == Protocol::Udp));
    ports.dedup_by_key(|p| p.number);
    ports
}

fn port(port: &K8sPort) -> Option<ServicePort> {
    let number = u32::try_from(port.port).ok().and_then(Port::new)?;
    let name: PortName = port.name.as_deref().unwrap_or_default().parse().ok()?;
    let target = match &port.target_port {
        Some(IntOrString::Int(n)) => {
            TargetPort::Number(u32::try_from(*n).ok().and_then(Port::new).unwrap_or(number))
        }
        Some(IntOrString::String(name)) => match name.parse::<Port>() {
            Ok(number) => TargetPort::Number(number),
            Err(_) => TargetPort::Named(name.parse().ok()?),
        },
        None => TargetPort::Number(number),
    };
    let protocol = protocol(
        port.protocol.as_deref(),
        port.app_protocol.as_deref(),
        &name,
        number,
    );
    Some(ServicePort {
        number,
        name,
        protocol,
        target,
    })
}

/// What is spoken at a port: `appProtocol`, else the name up to the first `-`, else well-known
/// server-first ports are TCP, else it is told apart by looking.
fn protocol(transport: Option<&str>, app: Option<&str>, name: &PortName, number: Port) -> Protocol {
    match transport {
        Some("UDP") => return Protocol::Udp,
        Some("SCTP") => return Protocol::Tcp,
        Some(_) | None => {}
    }
    let text = app.unwrap_or(name.as_str());
    let named = match text {
        "kubernetes.io/h2c" => Some(Protocol::Http2),
        "kubernetes.io/ws" => Some(Protocol::Http),
        "kubernetes.io/wss" => Some(Protocol::Https),
        _ if text.len() >= 8 && text.is_char_boundary(8) && {
            text.split_at(8).0.eq_ignore_ascii_case("grpc-web")
        } =>
        {
            Some(Protocol::GrpcWeb)
        }
        _ => Protocol::by_name(text.split('-').next().unwrap_or_default()),
    };
    named.unwrap_or(match SERVER_FIRST.contains(&number.number()) {
        true => Protocol::Tcp,
        false => Protocol::Auto,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(transport: &str, app: Option<&str>, name: &str, number: u32) -> Protocol {
        protocol(
            Some(transport),
            app,
            &name.parse().unwrap(),
            Port::new(number).unwrap(),
        )
    }

    #[test]
    fn the_protocol_comes_from_app_protocol_then_name_then_number() {
        assert_eq!(of("TCP", None, "http-web", 80), Protocol::Http);
        assert_eq!(of("TCP", None, "grpc-web-x", 80), Protocol::GrpcWeb);
        assert_eq!(of("TCP", None, "GRPC", 80), Protocol::Grpc);
        assert_eq!(of("TCP", Some("http2"), "tcp", 80), Protocol::Http2);
        assert_eq!(
            of("TCP", Some("kubernetes.io/wss"), "", 80),
            Protocol::Https
        );
        assert_eq!(of("TCP", None, "mysql-db", 1), Protocol::Mysql);
        assert_eq!(of("TCP", None, "db", 3306), Protocol::Tcp);
        assert_eq!(of("TCP", None, "web", 80), Protocol::Auto);
        assert_eq!(of("TCP", Some("unknown"), "http", 80), Protocol::Auto);
        assert_eq!(of("UDP", None, "http", 80), Protocol::Udp);
        assert_eq!(of("TCP", None, "grpc-wéb", 80), Protocol::Grpc);
    }
}
