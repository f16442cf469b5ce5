//! The two protocols behind one face, so that there is one stream loop.

use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};

use crate::error::Unacceptable;
use crate::session::{self, Flavor, Push, Session};

/// One of the two protocols.
pub(super) trait Wire: Send + 'static {
    /// What clients send.
    type Request: Send + 'static;
    /// What they get.
    type Response: Send + 'static;
    /// Which one it is.
    const FLAVOR: Flavor;

    fn take_node(request: &mut Self::Request) -> Option<Node>;
    fn hear(session: &mut Session, request: &Self::Request) -> Result<(), Unacceptable>;
    fn say(push: Push) -> Self::Response;
}

/// State of the world.
pub(super) struct Sotw;
/// Incremental.
pub(super) struct Delta;

impl Wire for Sotw {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;
    const FLAVOR: Flavor = Flavor::Sotw;

    fn take_node(request: &mut DiscoveryRequest) -> Option<Node> {
        request.node.take()
    }

    fn hear(session: &mut Session, request: &DiscoveryRequest) -> Result<(), Unacceptable> {
        session.sotw(request)
    }

    fn say(push: Push) -> DiscoveryResponse {
        session::sotw_response(push)
    }
}

impl Wire for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;
    const FLAVOR: Flavor = Flavor::Delta;

    fn take_node(request: &mut DeltaDiscoveryRequest) -> Option<Node> {
        request.node.take()
    }

    fn hear(session: &mut Session, request: &DeltaDiscoveryRequest) -> Result<(), Unacceptable> {
        session.delta(request)
    }

    fn say(push: Push) -> DeltaDiscoveryResponse {
        session::delta_response(push)
    }
}
