//! Stands between Envoy and the control plane: ADS on a Unix socket, forwarded over TLS (platform.md
//! 3.10).
//!
//! Other than Istio's, Envoy's stream stays open while the control plane is away, and an Envoy that
//! starts meanwhile gets what the last one had. When the control plane is back it is told what Envoy
//! has, so it sends what differs. Everything else passes as it is: the control plane hears every
//! refusal, and decides the order.

mod conversation;
mod delta;
mod link;
mod memory;
mod names;
mod own;
mod sotw;

pub use crate::socket::SocketError;

use crate::identity::Held;
use crate::socket;
use crate::trust::Tell;
use crate::upstream::Upstream;
use conversation::{Conversation, Shared};
use meltemi_proto::envoy::service::discovery::v3 as discovery;
use meltemi_proto::istio::networking::nds::v1::name_table::NameInfo;
use meltemi_runtime::drain::Drain;
use meltemi_types::Secret;
use own::Wants;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status, Streaming};

use discovery::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use discovery::{DiscoveryRequest, DiscoveryResponse};

/// The largest request of Envoy, in bytes; the control plane takes no larger ones.
const REQUEST_LIMIT: usize = 4 << 20;

/// Where it listens and what it forwards to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The socket, made with mode 0600.
    pub socket: PathBuf,
    /// The control plane, `host:port`.
    pub upstream: String,
    /// The name that its certificate must have, when it is not the host.
    pub san: Option<String>,
    /// The file with the roots of its certificate; `None`: plaintext (a laptop).
    pub roots: Option<PathBuf>,
    /// The file with the token that is shown; `None`: the workload's certificate is.
    pub token: Option<PathBuf>,
    /// Headers to add, as `XDS_HEADER_` variables set them.
    pub headers: Vec<(String, Secret<String>)>,
    /// Asks for the names of the mesh, for a DNS proxy.
    pub name_table: bool,
    /// Asks whom to believe: `PROXY_CONFIG_XDS_AGENT`; other than Istio's, unless it is `false`.
    pub trust: bool,
}

/// What is known of the conversation, for readiness and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// The control plane is connected now.
    pub connected: bool,
    /// Clusters were delivered to Envoy at least once.
    pub clusters: bool,
    /// Listeners were delivered to Envoy at least once.
    pub listeners: bool,
}

/// The names of the mesh, by host.
pub type Names = Arc<BTreeMap<String, NameInfo>>;

/// What others in the agent see of it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// How it goes.
    pub course: watch::Receiver<Course>,
    /// The names of the mesh, as they were told last; `None` until then.
    pub names: watch::Receiver<Option<Names>>,
}

/// The proxy, listening.
#[derive(Debug)]
pub struct Relay {
    listener: UnixListener,
    shared: Arc<Shared>,
}

impl Relay {
    /// Listens; nothing is answered before it runs. `held` proves the workload where no token does;
    /// whom to believe is told to `tell`.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn listen(
        settings: Settings,
        (held, tell): (Held, Tell),
    ) -> Result<(Self, Seen), SocketError> {
        let Settings {
            socket,
            upstream,
            san,
            roots,
            token,
            headers,
            name_table,
            trust,
        } = settings;
        let listener = socket::bind(&socket)?;
        let shown = (roots.is_some() && token.is_none()).then_some(held);
        let upstream = Upstream {
            address: upstream,
            san,
            roots,
            token,
            headers,
        };
        let wants = Wants { name_table, trust };
        let (shared, seen) = Shared::new((upstream, shown), (wants, tell));
        let shared = Arc::new(shared);
        Ok((Self { listener, shared }, seen))
    }

    /// Serves until drained.
    ///
    /// # Errors
    /// The transport fails.
    pub async fn run(self, mut drain: Drain) -> Result<(), tonic::transport::Error> {
        let shared = self.shared;
        let service = AggregatedDiscoveryServiceServer::new(Service(shared.clone()))
            .max_decoding_message_size(REQUEST_LIMIT)
            .max_encoding_message_size(usize::MAX);
        let incoming = UnixListenerStream::new(self.listener);
        tonic::transport::Server::builder()
            .serve_with_incoming_shutdown(service, incoming, async move {
                drain.started().await;
                shared.supersede();
            })
            .await
    }
}

struct Service(Arc<Shared>);

type Answers<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Answers<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Answers<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let answers = Conversation::<sotw::Sotw>::open(&self.0, request.into_inner());
        Ok(Response::new(answers))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let answers = Conversation::<delta::Delta>::open(&self.0, request.into_inner());
        Ok(Response::new(answers))
    }
}

#[cfg(test)]
mod tests;
