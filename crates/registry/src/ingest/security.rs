//! Security policies. What is not translated yet becomes a guard: it denies, since failing open
//! would be worse. An object that cannot be read guards too, unless an older version is in force.

use super::{age, namespace};
use crate::world::World;
use meltemi_api::Meta;
use meltemi_api::security::{MutualTls, MutualTlsMode, PeerAuthentication};
use meltemi_api::selector::WorkloadSelector;
use meltemi_model::SecurityIndex;
use meltemi_model::security::{Guard, MtlsMode, PeerPolicy};
use meltemi_types::{ObjectRef, Origin, Port, Selector};
use std::sync::Arc;

const SECURITY_KINDS: [&str; 3] = [
    "PeerAuthentication",
    "AuthorizationPolicy",
    "RequestAuthentication",
];

/// All security policies.
pub(crate) fn index(world: &World) -> SecurityIndex {
    let mut peers: Vec<Arc<PeerPolicy>> = world
        .peer_authentications
        .values()
        .map(|object| Arc::new(peer(&object.meta, object.origin(), &object.spec)))
        .collect();
    peers.sort_by(|a, b| a.age.cmp(&b.age));
    let authorization = world.authorization_policies.values().filter_map(|object| {
        let spec = &object.spec;
        let elsewhere = spec.target_ref.is_some() || !spec.target_refs.is_empty();
        (!elsewhere).then(|| guard(&object.meta, object.origin(), spec.selector.as_ref()))
    });
    let request = world.request_authentications.values().filter_map(|object| {
        let spec = &object.spec;
        let elsewhere = spec.target_ref.is_some() || !spec.target_refs.is_empty();
        (!elsewhere).then(|| guard(&object.meta, object.origin(), spec.selector.as_ref()))
    });
    let mut guards: Vec<Arc<Guard>> = authorization
        .chain(request)
        .chain(unreadable(world))
        .map(Arc::new)
        .collect();
    guards.sort_by(|a, b| a.origin.cmp(&b.origin));
    SecurityIndex { peers, guards }
}

fn peer(meta: &Meta, origin: Origin, spec: &PeerAuthentication) -> PeerPolicy {
    let PeerAuthentication {
        selector,
        mtls,
        port_level_mtls,
    } = spec;
    PeerPolicy {
        origin,
        age: age(meta),
        namespace: namespace(meta),
        selector: selected(selector.as_ref()),
        mode: mtls.as_ref().and_then(mode),
        ports: port_level_mtls
            .iter()
            .flatten()
            .filter_map(|(port, mtls)| Some((Port::new(u32::try_from(port.0).ok()?)?, mode(mtls))))
            .collect(),
    }
}

fn mode(mtls: &MutualTls) -> Option<MtlsMode> {
    match mtls.mode? {
        MutualTlsMode::Unset => None,
        MutualTlsMode::Disable => Some(MtlsMode::Disable),
        MutualTlsMode::Permissive => Some(MtlsMode::Permissive),
        MutualTlsMode::Strict => Some(MtlsMode::Strict),
    }
}

fn guard(meta: &Meta, origin: Origin, selector: Option<&WorkloadSelector>) -> Guard {
    Guard {
        origin,
        namespace: namespace(meta),
        selector: selected(selector),
    }
}

fn selected(selector: Option<&WorkloadSelector>) -> Option<Selector> {
    let labels = selector?.match_labels.iter();
    let selector = Selector::new(labels.map(|(k, v)| (k.as_str(), v.as_str())).collect());
    (!selector.is_empty()).then_some(selector)
}

/// Security objects without any version that could be read.
fn unreadable(world: &World) -> impl Iterator<Item = Guard> {
    world.broken.values().filter_map(|broken| {
        let object = &broken.object;
        let guards = SECURITY_KINDS.contains(&&*object.kind) && !in_force(world, object);
        guards.then(|| Guard {
            origin: Origin::object(
                object.clone(),
                broken
                    .diagnostics
                    .iter()
                    .find_map(|d| d.origin.as_ref()?.location.clone()),
            ),
            namespace: object
                .namespace
                .clone()
                .unwrap_or_else(meltemi_types::Namespace::default_namespace),
            selector: broken.selector.clone(),
        })
    })
}

fn in_force(world: &World, object: &ObjectRef) -> bool {
    world.peer_authentications.contains_key(object)
        || world.authorization_policies.contains_key(object)
        || world.request_authentications.contains_key(object)
}
