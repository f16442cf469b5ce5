//! The two protocols behind one face, so that there is one stream loop.

use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use prost::Message;

use crate::error::Unacceptable;
use crate::session::{Flavor, Session};

/// One of the two protocols.
pub(super) trait Wire: Send + 'static {
    /// What clients send.
    type Request: Message + Default + Send + 'static;
    /// Which one it is.
    const FLAVOR: Flavor;

    fn node(request: &Self::Request) -> Option<&Node>;
    fn take_node(request: &mut Self::Request) -> Option<Node>;
    fn hear(session: &mut Session, request: &Self::Request) -> Result<(), Unacceptable>;
    fn asks(request: &Self::Request) -> Asks<'_>;
}

/// What a request asks for.
pub(super) struct Asks<'a> {
    pub(super) type_url: &'a str,
    pub(super) names: &'a [String],
    /// The response that it answers, if any.
    pub(super) nonce: &'a str,
}

/// State of the world.
pub(super) struct Sotw;
/// Incremental.
pub(super) struct Delta;

impl Wire for Sotw {
    type Request = DiscoveryRequest;
    const FLAVOR: Flavor = Flavor::Sotw;

    fn node(request: &DiscoveryRequest) -> Option<&Node> {
        request.node.as_ref()
    }

    fn take_node(request: &mut DiscoveryRequest) -> Option<Node> {
        request.node.take()
    }

    fn hear(session: &mut Session, request: &DiscoveryRequest) -> Result<(), Unacceptable> {
        session.sotw(request)
    }

    fn asks(request: &DiscoveryRequest) -> Asks<'_> {
        Asks {
            type_url: &request.type_url,
            names: &request.resource_names,
            nonce: &request.response_nonce,
        }
    }
}

impl Wire for Delta {
    type Request = DeltaDiscoveryRequest;
    const FLAVOR: Flavor = Flavor::Delta;

    fn node(request: &DeltaDiscoveryRequest) -> Option<&Node> {
        request.node.as_ref()
    }

    fn take_node(request: &mut DeltaDiscoveryRequest) -> Option<Node> {
        request.node.take()
    }

    fn hear(session: &mut Session, request: &DeltaDiscoveryRequest) -> Result<(), Unacceptable> {
        session.delta(request)
    }

    fn asks(request: &DeltaDiscoveryRequest) -> Asks<'_> {
        Asks {
            type_url: &request.type_url,
            names: &request.resource_names_subscribe,
            nonce: &request.response_nonce,
        }
    }
}
