//! Which outbound clusters a class needs: one per service port, one per subset of it, and the two
//! for traffic that no service takes.

use super::discovery::{Discovery, discovery};
use super::policy::Policy;
use super::{ClientTraits, ClusterInput, Outbound, Role, mesh_tls};
use crate::by_id::ById;
use crate::endpoint;
use crate::gateway;
use crate::name;
use crate::plan::Planned;
use crate::view::View;
use meltemi_api::mesh_config::MeshConfig;
use meltemi_model::policy::SubsetRule;
use meltemi_model::{Imported, Service, ServicePort, TrafficRule, patch};
use meltemi_types::{Origin, Port, ProxyKind};
use std::sync::Arc;

/// One outbound cluster to be: a port of a service or of one of its subsets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'a> {
    pub(crate) service: &'a Service,
    pub(crate) port: &'a ServicePort,
    pub(crate) rule: Option<&'a Arc<TrafficRule>>,
    /// The subset with its position in the rule.
    pub(crate) subset: Option<(usize, &'a SubsetRule)>,
    pub(crate) policy: Policy<'a>,
    pub(crate) discovery: Discovery,
}

impl Spot<'_> {
    /// The cluster's name.
    pub(crate) fn name(&self) -> Arc<str> {
        let subset = self.subset.map_or("", |(_, rule)| &rule.subset.name);
        name::outbound_cluster(self.port.number, subset, &self.service.key.host)
    }

    /// The name of the cluster for connections that stay encrypted: the server name they carry.
    pub(crate) fn server_name(&self) -> Arc<str> {
        let subset = self.subset.map_or("", |(_, rule)| &rule.subset.name);
        name::sni(self.port.number, subset, &self.service.key.host).into()
    }

    /// The objects it is made from; a rule explains more than the service it is about.
    pub(crate) fn origins(&self) -> Arc<[Origin]> {
        let subset = self.subset.map(|(_, rule)| &rule.origin);
        let rule = self.rule.into_iter().flat_map(|rule| &rule.origins);
        subset
            .into_iter()
            .chain(rule)
            .chain([&self.service.origin])
            .cloned()
            .collect()
    }
}

/// The clusters of what can be reached of a service, the whole service before its subsets on each port.
pub(crate) fn spots<'a>(
    kind: ProxyKind,
    import: &'a Imported,
    rule: Option<&'a Arc<TrafficRule>>,
    mesh: &'a MeshConfig,
) -> impl Iterator<Item = Spot<'a>> {
    let Imported { service, ports } = import;
    let subsets = move || {
        let subsets = rule.into_iter().flat_map(|rule| rule.subsets.iter());
        std::iter::once(None).chain(subsets.enumerate().map(Some))
    };
    let places = service.ports.iter().filter(|p| ports.contains(p.number));
    places
        .flat_map(move |port| subsets().map(move |subset| (port, subset)))
        .filter_map(move |(port, subset)| {
            let leaf = subset.map(|(_, rule)| &*rule.subset);
            let policy = Policy::outbound(rule.map(|r| &**r), leaf, port.number, mesh);
            Some(Spot {
                service,
                port,
                rule,
                subset,
                policy,
                discovery: discovery(kind, service, port, &policy)?,
            })
        })
}

/// The ports of a service that have a cluster, each with the subset, or without one.
pub(crate) fn names(view: &View<'_>, import: &Imported) -> Vec<(Port, String)> {
    let rule = view.rule(&import.service);
    let spots = spots(view.key.kind, import, rule, &view.mesh().config);
    let name = |spot: Spot<'_>| {
        let subset = spot.subset.map(|(_, rule)| rule.subset.name.clone());
        (spot.port.number, subset.unwrap_or_default())
    };
    spots.map(name).collect()
}

/// Lists the outbound clusters of a class.
#[must_use]
pub fn plan(view: &View<'_>) -> Planned<ClusterInput> {
    let mut planned = Planned::default();
    let whole = Whole {
        mesh: ById::from(view.mesh()),
        client: ClientTraits {
            kind: view.key.kind,
            families: view.key.families,
            certificates: view.key.certificates,
            keeps_case: view.key.settings.keeps_case(),
        },
        patches: patch::none(),
    };
    let passing = gateway::passing(view);
    for import in &view.imports {
        let service = &import.service;
        let rule = view.rule(service);
        for spot in spots(view.key.kind, import, rule, &view.mesh().config) {
            let Some(role) = outbound(view, service, &spot) else {
                continue;
            };
            if gateway::is_reachable(service, &passing) {
                let role = Outbound {
                    mesh: None,
                    ..role.clone()
                };
                let input = whole.input(spot.server_name(), Role::Passing(role));
                planned.push(input.name.clone(), input, spot.origins());
            }
            let input = whole.input(spot.name(), Role::Outbound(role));
            planned.push(input.name.clone(), input, spot.origins());
        }
    }
    let none: Arc<[Origin]> = Arc::from([]);
    let (hole, through) = (name::BLACK_HOLE, name::PASSTHROUGH);
    planned.push(hole, whole.input(hole, Role::BlackHole), none.clone());
    if view.key.kind == ProxyKind::Sidecar {
        planned.push(through, whole.input(through, Role::Passthrough), none);
    }
    planned
}

/// What all inputs of a class have in common.
struct Whole {
    mesh: ById<meltemi_model::Mesh>,
    client: ClientTraits,
    patches: Arc<[meltemi_model::Patch]>,
}

impl Whole {
    fn input(&self, name: impl Into<Arc<str>>, role: Role) -> ClusterInput {
        ClusterInput {
            name: name.into(),
            role,
            mesh: self.mesh.clone(),
            client: self.client,
            patches: self.patches.clone(),
        }
    }
}

/// `None` where Envoy would have to resolve the names of no endpoint at all.
fn outbound(view: &View<'_>, service: &Arc<Service>, spot: &Spot<'_>) -> Option<Outbound> {
    let inline = match spot.discovery {
        Discovery::StrictDns | Discovery::LogicalDns => {
            let input = endpoint::input(view, spot);
            if endpoint::is_empty(&input) {
                return None;
            }
            Some(input)
        }
        Discovery::Endpoints
        | Discovery::Destination
        | Discovery::Requested
        | Discovery::Nowhere => None,
    };
    Some(Outbound {
        service: ById(service.clone()),
        port: spot.port.number,
        rule: spot.rule.map(ById::from),
        subset: spot.subset.map(|(index, _)| index),
        inline,
        mesh: mesh_tls::of(view, spot),
    })
}
