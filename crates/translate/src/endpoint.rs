//! EDS: the endpoints of each service port and subset, as one class of proxies sees them.
//!
//! The hot path: a change of a service's endpoints rebuilds its assignments and nothing else. So an
//! input is tiny (lists are compared by address), and one pass sorts endpoints into groups.
//! An assignment without endpoints is sent too: traffic then fails at once.

mod bytes;
mod group;
pub(crate) mod locality;
mod metadata;
mod plan;
mod split;
#[cfg(test)]
mod tests;

use crate::by_id::ById;
use crate::plan::Built;
use crate::wire;
use locality::Preference;
use meltemi_api::networking::destination_rule::Subset;
use meltemi_model::security::MtlsMode;
use meltemi_model::{Endpoint, EndpointAddress, Health, NamespacePeers, NetworkIndex, TlsMode};
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::endpoint::v3 as envoy;
use meltemi_proto::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use meltemi_types::{ClusterId, Code, Diagnostic, IpFamilies, NetworkId, Origin};
use std::sync::Arc;

pub(crate) use group::is_empty;
use group::{At, Group, Member};
pub use locality::{locality_decides, node_decides};
pub(crate) use plan::input;
pub use plan::{plan, plan_services};

/// Everything one load assignment depends on: the cache key, and all that [`build`] reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointInput {
    /// The cluster's name.
    pub name: Arc<str>,
    /// The endpoints of the service port; `None` when there are none.
    pub endpoints: Option<ById<[Endpoint]>>,
    /// The subset that selects among them.
    pub subset: Option<SubsetInput>,
    /// Who is left out.
    pub filter: Filter,
    /// Who comes first; `None` when place does not matter.
    pub preference: Option<Arc<Preference>>,
    /// How endpoints of other networks are reached; `None` when all are reached directly.
    pub far: Option<Far>,
    /// To which endpoints mesh mTLS is spoken.
    pub mtls: Mtls,
}

/// To which endpoints mesh mTLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mtls {
    /// To none.
    Off,
    /// To all.
    All,
    /// To those that can, unless a policy forbids it at their port.
    Able(NamespacePeers),
}

impl Mtls {
    /// True when it is spoken to an endpoint.
    fn speaks(&self, endpoint: &Endpoint) -> bool {
        match self {
            Self::Off => false,
            Self::All => true,
            Self::Able(peers) => {
                let labels = &endpoint.workload.labels;
                let mode = || peers.mode_of(labels, endpoint.port);
                endpoint.tls == TlsMode::Istio && mode() != MtlsMode::Disable
            }
        }
    }
}

/// A subset, and where it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubsetInput {
    /// The subset.
    pub subset: ById<Subset>,
    /// Where it was written.
    pub origin: Origin,
}

/// How endpoints of other networks are reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Far {
    /// The client's network.
    pub own: Option<NetworkId>,
    /// The gateways of all networks.
    pub gateways: ById<NetworkIndex>,
}

/// Who is left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Addresses that the client cannot reach.
    pub families: IpFamilies,
    /// DNS names, where Envoy does not resolve them.
    pub names: Names,
    /// Endpoints of other clusters than this.
    pub cluster: Option<ClusterId>,
    /// Endpoints on other nodes than this; an empty name is on no node.
    pub node: Option<Arc<str>>,
    /// Endpoints that are not ready.
    pub ready_only: bool,
    /// Endpoints that finish.
    pub no_draining: bool,
}

/// Whether endpoints may be DNS names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Names {
    /// No: they are sent as they are.
    Refused,
    /// Yes: Envoy resolves them.
    Resolved,
}

/// Makes one load assignment.
#[must_use]
pub fn build(input: &EndpointInput) -> Built<envoy::ClusterLoadAssignment> {
    let groups = group::groups(input);
    let diagnostics = match groups.is_empty() {
        true => unmatched(input).into_iter().collect(),
        false => Vec::new(),
    };
    let message = envoy::ClusterLoadAssignment {
        cluster_name: input.name.to_string(),
        endpoints: groups
            .into_iter()
            .map(|group| envoy::LocalityLbEndpoints {
                locality: Some(core::Locality {
                    region: group.locality.region.to_string(),
                    zone: group.locality.zone.to_string(),
                    sub_zone: group.locality.subzone.to_string(),
                }),
                load_balancing_weight: Some(wire::u32(group.weight)),
                priority: group.priority,
                lb_endpoints: group
                    .members
                    .iter()
                    .map(|member| lb_endpoint(member, &group, &input.mtls))
                    .collect(),
                ..envoy::LocalityLbEndpoints::default()
            })
            .collect(),
        ..envoy::ClusterLoadAssignment::default()
    };
    Built {
        message,
        diagnostics,
    }
}

/// The encoded form of what [`build`] makes, without making it: the same bytes for less than half
/// of the work.
#[must_use]
pub fn encode(input: &EndpointInput) -> (Vec<u8>, Vec<Diagnostic>) {
    let groups = group::groups(input);
    let diagnostics = match groups.is_empty() {
        true => unmatched(input).into_iter().collect(),
        false => Vec::new(),
    };
    (bytes::assignment(input, &groups), diagnostics)
}

/// A subset that selects none of several endpoints is more often a mistake than meant.
fn unmatched(input: &EndpointInput) -> Option<Diagnostic> {
    let subset = input.subset.as_ref()?;
    let endpoints = input.endpoints.as_ref()?;
    let misses = |e: &Endpoint| !group::carries(e, &subset.subset);
    endpoints.iter().all(misses).then(|| {
        Diagnostic::warning(
            Code::SubsetWithoutEndpoints,
            subset.origin.clone(),
            format!(
                "no endpoint carries the labels of subset {:?}",
                subset.subset.name
            ),
            "correct the labels, or start workloads that carry them",
        )
    })
}

fn lb_endpoint(member: &Member<'_>, group: &Group<'_>, mtls: &Mtls) -> envoy::LbEndpoint {
    let (health, metadata, address) = match member.at {
        At::Endpoint(endpoint) => {
            let metadata = metadata::metadata(endpoint, mtls.speaks(endpoint));
            (endpoint.health, metadata, address(endpoint))
        }
        At::Gateway(gateway) => {
            let address = wire::address(gateway.address, gateway.port);
            (Health::Healthy, Some(metadata::gateway()), Some(address))
        }
    };
    envoy::LbEndpoint {
        health_status: status(health).into(),
        metadata,
        load_balancing_weight: Some(wire::u32(group.weight_of(member))),
        host_identifier: Some(HostIdentifier::Endpoint(envoy::Endpoint {
            address,
            ..envoy::Endpoint::default()
        })),
    }
}

fn status(health: Health) -> core::HealthStatus {
    match health {
        Health::Healthy => core::HealthStatus::Healthy,
        Health::Unhealthy => core::HealthStatus::Unhealthy,
        Health::Draining => core::HealthStatus::Draining,
    }
}

fn address(endpoint: &Endpoint) -> Option<core::Address> {
    match (&endpoint.address, endpoint.port) {
        (EndpointAddress::Ip(ip), Some(port)) => Some(wire::address(ip, port)),
        (EndpointAddress::Name(name), Some(port)) => Some(wire::address(name, port)),
        (EndpointAddress::Pipe(path), _) => Some(wire::pipe(path)),
        (EndpointAddress::Ip(_) | EndpointAddress::Name(_), None)
        | (EndpointAddress::Remote, _) => None,
    }
}
