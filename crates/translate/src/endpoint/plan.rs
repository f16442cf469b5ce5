//! Which load assignments a class needs: one per outbound cluster that is told its endpoints.

use super::locality::{self, PERSISTENT_SESSION, Preference};
use super::{EndpointInput, Far, Filter, Mtls, Names, SubsetInput};
use crate::by_id::ById;
use crate::cluster::{Discovery, Spot, Whom, mesh_tls, spots};
use crate::gateway;
use crate::plan::{Item, Planned};
use crate::view::View;
use meltemi_model::{Endpoint, Imported, Mesh, NamespacePeers, Service};
use meltemi_types::HostPattern;
use std::sync::Arc;

/// Lists the load assignments of a class. Nothing can be found wrong before they are made.
#[must_use]
pub fn plan(view: &View<'_>) -> Vec<Item<EndpointInput>> {
    plan_services(view, view.imports.iter())
}

/// Lists the load assignments of some services.
#[must_use]
pub fn plan_services<'a>(
    view: &View<'_>,
    services: impl Iterator<Item = &'a Imported>,
) -> Vec<Item<EndpointInput>> {
    let passing = gateway::passing(view);
    let mut planned = Planned::default();
    for import in services {
        add(view, import, &passing, &mut planned);
    }
    planned.items
}

fn add(
    view: &View<'_>,
    import: &Imported,
    passing: &[HostPattern],
    planned: &mut Planned<EndpointInput>,
) {
    let rule = view.rule(&import.service);
    for spot in spots(view.key.kind, import, rule, &view.mesh().config) {
        if spot.discovery == Discovery::Endpoints {
            let input = input(view, &spot);
            if gateway::is_reachable(&import.service, passing) {
                let input = EndpointInput {
                    name: spot.server_name(),
                    mtls: Mtls::Off,
                    ..input.clone()
                };
                planned.push(input.name.clone(), input, spot.origins());
            }
            planned.push(input.name.clone(), input, spot.origins());
        }
    }
}

/// All that the load assignment of one cluster depends on.
pub(crate) fn input(view: &View<'_>, spot: &Spot<'_>) -> EndpointInput {
    let service = spot.service;
    let endpoints = view.endpoints(service, &spot.port.name);
    let setting = locality::setting(&spot.policy, service, &view.mesh().config);
    let preference = setting.and_then(|setting| Preference::of(&setting, view));
    let gateways = view.networks();
    let elsewhere = |e: &Endpoint| {
        let network = e
            .network
            .as_ref()
            .filter(|n| Some(*n) != view.key.network.as_ref());
        network.is_some_and(|n| gateways.leads_into(n))
    };
    let far = endpoints.iter().any(elsewhere).then(|| Far {
        own: view.key.network.clone(),
        gateways: ById::from(gateways),
    });
    EndpointInput {
        name: spot.name(),
        // An empty list is made anew on each look, and so would never equal itself.
        endpoints: (!endpoints.is_empty()).then_some(ById(endpoints)),
        subset: spot.subset.map(|(_, rule)| SubsetInput {
            subset: ById::from(&rule.subset),
            origin: rule.origin.clone(),
        }),
        filter: filter(view, spot),
        preference: preference.map(Arc::new),
        far,
        mtls: mtls(view, spot),
    }
}

fn mtls(view: &View<'_>, spot: &Spot<'_>) -> Mtls {
    match mesh_tls::of(view, spot).map(|mesh| mesh.whom) {
        None => Mtls::Off,
        Some(Whom::All) => Mtls::All,
        Some(Whom::Able) => {
            let peers = view.peers(spot.service);
            // Most forbid nothing, and their changes then change nothing here.
            let peers = Some(peers).filter(NamespacePeers::may_disable);
            Mtls::Able(peers.unwrap_or_default())
        }
    }
}

fn filter(view: &View<'_>, spot: &Spot<'_>) -> Filter {
    let service = spot.service;
    let node = || view.key.node_name.clone().unwrap_or_else(|| "".into());
    let least = spot
        .policy
        .outlier_detection
        .and_then(|o| o.min_health_percent);
    Filter {
        families: view.key.families,
        names: match spot.discovery {
            Discovery::StrictDns | Discovery::LogicalDns => Names::Resolved,
            Discovery::Endpoints
            | Discovery::Destination
            | Discovery::Requested
            | Discovery::Nowhere => Names::Refused,
        },
        cluster: is_cluster_local(service, view.mesh()).then(|| view.key.cluster.clone()),
        node: service.node_local.then(node),
        // With a panic threshold, endpoints that are not ready would get traffic in a panic.
        ready_only: least.is_some_and(|percent| percent > 0),
        no_draining: service.labels.value(PERSISTENT_SESSION).is_none(),
    }
}

/// Services of which clients see the endpoints of their own cluster alone: those of the cluster
/// itself, and those that mesh config names.
fn is_cluster_local(service: &Service, mesh: &Mesh) -> bool {
    let host = &service.key.host;
    let names = |pattern: &str| {
        let pattern = pattern.parse::<HostPattern>();
        pattern.is_ok_and(|pattern| pattern.covers(host))
    };
    let settings = mesh.config.service_settings.iter().rev();
    let written = settings
        .filter(|s| s.hosts.iter().any(|h| names(h)))
        .find_map(|s| s.settings.as_ref()?.cluster_local);
    let own = || {
        let namespace = service.key.namespace.as_str();
        service.kubernetes
            && (namespace == "kube-system"
                || (namespace == "default" && &*service.name == "kubernetes"))
    };
    written.unwrap_or_else(own)
}
