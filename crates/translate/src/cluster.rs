//! CDS: which clusters a proxy needs, and what each one is.
//!
//! Outbound: one cluster per service port, and one more per subset of the DestinationRule in
//! force, as on <https://istio.io/latest/docs/reference/config/networking/destination-rule/>.
//! Inbound: one per port that the workload serves. The surprise: TLS that was asked for and cannot
//! be made yields a cluster without endpoints, never plaintext.

mod connection_pool;
mod discovery;
mod http_options;
mod inbound;
mod load_balancer;
pub(crate) mod mesh_tls;
mod metadata;
mod outbound;
mod outlier;
mod passthrough;
mod plan;
pub(crate) mod policy;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tls;

use crate::by_id::ById;
use crate::endpoint::EndpointInput;
use crate::plan::Built;
use meltemi_api::networking::destination_rule::TrafficPolicy;
use meltemi_model::policy::SubsetRule;
use meltemi_model::{Certificates, Mesh, Patch, Service, SidecarRule, TrafficRule};
use meltemi_proto::envoy::config::cluster::v3 as envoy;
use meltemi_types::{IpFamilies, Port, Protocol, ProxyKind};
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) use discovery::Discovery;
pub use inbound::plan_inbound;
pub use mesh_tls::{MeshTls, Whom};
pub use plan::plan;
pub(crate) use plan::{Spot, names, spots};

/// Everything one cluster depends on: the cache key, and all that [`build`] reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClusterInput {
    /// The cluster's name.
    pub name: Arc<str>,
    /// What it is for.
    pub role: Role,
    /// Mesh configuration.
    pub mesh: ById<Mesh>,
    /// The client.
    pub client: ClientTraits,
    /// What users want changed.
    pub patches: Arc<[Patch]>,
}

/// The few facts about a proxy that may change a cluster. Each field multiplies the number of
/// distinct clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientTraits {
    /// Sidecar, router, …
    pub kind: ProxyKind,
    /// Its IP families.
    pub families: IpFamilies,
    /// Where its certificate comes from.
    pub certificates: Certificates,
    /// HTTP/1.1 headers keep the case that they came with.
    pub keeps_case: bool,
}

/// What a cluster is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A port of a service, or a subset of it.
    Outbound(Outbound),
    /// The same, for connections that stay encrypted on their way through a gateway.
    Passing(Outbound),
    /// A port of the workload itself.
    Inbound(Inbound),
    /// Outbound traffic to where it was going anyway.
    Passthrough,
    /// Inbound traffic to ports that no service declares.
    InboundPassthrough,
    /// Traffic to nowhere.
    BlackHole,
}

/// A port of a service, or a subset of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outbound {
    /// The service.
    pub service: ById<Service>,
    /// The port's number.
    pub port: Port,
    /// The traffic rule in force.
    pub rule: Option<ById<TrafficRule>>,
    /// The subset's position in the rule.
    pub subset: Option<usize>,
    /// The endpoints, where Envoy resolves names and so gets them with the cluster.
    pub inline: Option<EndpointInput>,
    /// Mesh mTLS; `None` where none is spoken.
    pub mesh: Option<MeshTls>,
}

impl Outbound {
    /// The subset.
    fn subset_rule(&self) -> Option<&SubsetRule> {
        self.rule.as_ref()?.subsets.get(self.subset?)
    }
}

/// A port of the workload itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inbound {
    /// The port in the cluster's name.
    pub port: Port,
    /// What is spoken there.
    pub protocol: Protocol,
    /// The services behind which the port stands, oldest first, with their port numbers.
    pub services: Vec<(ById<Service>, Port)>,
    /// Where connections go.
    pub towards: Towards,
    /// Where the limits are written.
    pub pool: Option<Pool>,
}

/// Where inbound connections go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Towards {
    /// To the address that the client asked for.
    Destination,
    /// To this address.
    Address(IpAddr, Port),
    /// To this Unix domain socket.
    Pipe(Arc<str>),
}

/// Where the limits of an inbound port are written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Pool {
    /// In the DestinationRule of the service, for this service port.
    Rule(ById<TrafficPolicy>, Port),
    /// In the Sidecar, for all of its inbound.
    Sidecar(ById<SidecarRule>),
    /// In this `ingress` entry of the Sidecar.
    Ingress(ById<SidecarRule>, usize),
}

/// Makes one cluster.
#[must_use]
pub fn build(input: &ClusterInput) -> Built<envoy::Cluster> {
    match &input.role {
        Role::Outbound(role) => outbound::build(input, role),
        Role::Passing(role) => outbound::passing(input, role).into(),
        Role::Inbound(role) => inbound::build(input, role).into(),
        Role::Passthrough => passthrough::outbound(input).into(),
        Role::InboundPassthrough => passthrough::inbound(input).into(),
        Role::BlackHole => passthrough::black_hole(input).into(),
    }
}
