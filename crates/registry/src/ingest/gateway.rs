//! Gateways as users write them, as rules of the model, oldest first.

use super::{age, namespace};
use crate::link::ingress;
use crate::settings::Settings;
use crate::world::World;
use meltemi_api::Resource;
use meltemi_api::networking::gateway::{Gateway, Server};
use meltemi_model::Mesh;
use meltemi_model::gateway::{Choice, GatewayIndex, GatewayRule, GatewayServer, ServerHost};
use meltemi_types::{FieldPath, Namespace, Port, Protocol, Selector};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The annotation by which the Gateway API's implementation names the Services in front.
const SERVICES: &str = "internal.istio.io/gateway-service";

/// All gateways, those of Ingresses among them.
pub(crate) fn index(world: &World, mesh: &Mesh, settings: &Settings) -> GatewayIndex {
    let own = world.gateways.values().map(|object| rule(object));
    let mut rules: Vec<GatewayRule> = own.chain(ingress::gateways(world, mesh)).collect();
    rules.sort_by(|a, b| a.age.cmp(&b.age));
    GatewayIndex {
        rules: rules.into_iter().map(Arc::new).collect(),
        scoped: settings.scoped_gateways,
    }
}

fn rule(object: &Resource<Gateway>) -> GatewayRule {
    let Gateway { servers, selector } = &object.spec;
    let own = namespace(&object.meta);
    let choice = match object.meta.annotation(SERVICES) {
        Some(names) => Choice::Services(
            names
                .split(',')
                .filter_map(|name| name.trim().parse().ok())
                .collect(),
        ),
        None => Choice::Labels(labels(selector)),
    };
    let at = FieldPath::spec().field("servers");
    let servers = servers.iter().enumerate();
    GatewayRule {
        origin: object.origin(),
        age: age(&object.meta),
        namespace: own.clone(),
        name: object.meta.object.name.clone(),
        choice,
        servers: servers
            .filter_map(|(i, server)| of_server(object, server, &at.index(i), &own))
            .collect(),
    }
}

/// A selector of these labels.
pub(crate) fn labels(selector: &BTreeMap<String, String>) -> Selector {
    let labels = selector.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    Selector::new(labels.collect())
}

/// `None` for a Unix socket without a port number; the checks have said so.
fn of_server(
    object: &Resource<Gateway>,
    server: &Server,
    at: &FieldPath,
    own: &Namespace,
) -> Option<GatewayServer> {
    let Server {
        port,
        bind,
        hosts,
        tls,
        default_endpoint: _, // without effect in Istio too
        name: _,             // for people
    } = server;
    let port = port.as_ref()?;
    let hosts = hosts.iter().filter_map(|text| ServerHost::read(text, own));
    Some(GatewayServer {
        origin: object.origin_at(at),
        port: Port::new(port.number)?,
        port_name: port.name.as_str().into(),
        protocol: Protocol::by_name(&port.protocol).unwrap_or(Protocol::Tcp),
        bind: bind.as_deref().filter(|b| !b.is_empty()).map(Arc::from),
        hosts: hosts.collect(),
        tls: tls.clone().map(Arc::new),
    })
}
