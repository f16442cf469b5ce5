//! ADS over gRPC: limits, keepalive, metrics. Every protocol rule is in [`session`](crate::session).
//!
//! A server-streaming task learns of a dead client only when it writes, so HTTP/2 keepalive is on.
//! Draining ends every stream with `UNAVAILABLE`: ADS streams never end by themselves.

mod client;
mod connection;
mod metrics;
mod wire;

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::Stream;
use meltemi_proto::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use meltemi_proto::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::{Connected, TcpIncoming};
use tonic::{Request, Response, Status, Streaming};

use crate::debug::Clients;
use crate::error::ServeError;
use crate::source::{ClientId, Source};
use connection::{Responses, respond};
use metrics::Metrics;
use wire::{Delta, Sotw};

/// What one client may cost, and how long it may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// An idle connection is asked for a sign of life this often.
    pub keepalive: Duration,
    /// It is dropped when none came for so long.
    pub keepalive_timeout: Duration,
    /// Streams on one connection.
    pub streams: u32,
    /// Bytes of one request.
    pub request_bytes: usize,
    /// Bytes of the headers of one call.
    pub header_bytes: u32,
    /// How long a stream may stay without a request.
    pub first_request: Duration,
    /// How long an answer is waited for before what depends on it is sent all the same.
    pub answer: Duration,
    /// How long a stream with listeners or endpoints may stay without asking for clusters.
    pub clusters: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            keepalive: Duration::from_secs(15),
            keepalive_timeout: Duration::from_secs(10),
            streams: 100,
            request_bytes: 4 << 20,
            header_bytes: 16 << 10,
            first_request: Duration::from_secs(10),
            answer: Duration::from_secs(2),
            clusters: Duration::from_secs(30),
        }
    }
}

/// The ADS server.
#[derive(Debug)]
pub struct Server<S>(Arc<Shared<S>>);

/// What all streams share.
#[derive(Debug)]
struct Shared<S> {
    source: Arc<S>,
    limits: Limits,
    clients: Clients,
    metrics: Metrics,
    count: AtomicU64,
    /// Keeps the nonces of two processes apart.
    seed: u64,
}

impl<S> Shared<S> {
    fn next_client(&self) -> ClientId {
        ClientId(self.count.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl<S: Source> Server<S> {
    /// A server that asks `source`. Metrics go to the recorder that is installed now.
    #[must_use]
    pub fn new(source: Arc<S>, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            source,
            limits,
            clients: Clients::default(),
            metrics: Metrics::new(),
            count: AtomicU64::new(0),
            seed: RandomState::new().hash_one(0) << 32,
        }))
    }

    /// The streams of this server, also after it was moved into [`Server::serve`].
    #[must_use]
    pub fn clients(&self) -> Clients {
        self.0.clients.clone()
    }

    /// Serves plaintext on `listener` until `drain` completes and the streams have ended.
    ///
    /// # Errors
    /// When the transport fails.
    pub async fn serve(
        self,
        listener: TcpListener,
        drain: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        self.serve_incoming(incoming, drain).await
    }

    /// Serves on connections that are ready to speak HTTP/2, for example after a TLS handshake,
    /// until `drain` completes and the streams have ended.
    ///
    /// # Errors
    /// When the transport fails.
    pub async fn serve_incoming<C>(
        self,
        incoming: impl Stream<Item = io::Result<C>> + Send,
        drain: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError>
    where
        C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let limits = self.0.limits.clone();
        let (draining, drained) = watch::channel(());
        let service = AggregatedDiscoveryServiceServer::new(Service {
            shared: self.0,
            drained,
        })
        .max_decoding_message_size(limits.request_bytes);
        tonic::transport::Server::builder()
            .http2_keepalive_interval(Some(limits.keepalive))
            .http2_keepalive_timeout(Some(limits.keepalive_timeout))
            .max_concurrent_streams(Some(limits.streams))
            .http2_max_header_list_size(Some(limits.header_bytes))
            .serve_with_incoming_shutdown(service, incoming, async move {
                drain.await;
                // Nobody listens when there is no stream.
                let _ = draining.send(());
            })
            .await?;
        Ok(())
    }
}

/// The gRPC service.
#[derive(Debug)]
struct Service<S> {
    shared: Arc<Shared<S>>,
    drained: watch::Receiver<()>,
}

/// What the transport knows of a stream.
struct Accepted {
    peer: Option<SocketAddr>,
    drained: watch::Receiver<()>,
}

impl<S: Source> Service<S> {
    fn accept<T>(&self, request: Request<T>) -> (Accepted, T) {
        let accepted = Accepted {
            peer: request.remote_addr(),
            drained: self.drained.clone(),
        };
        (accepted, request.into_inner())
    }
}

#[tonic::async_trait]
impl<S: Source> AggregatedDiscoveryService for Service<S> {
    type StreamAggregatedResourcesStream = Responses<Sotw>;
    type DeltaAggregatedResourcesStream = Responses<Delta>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let (accepted, requests) = self.accept(request);
        let responses = respond::<Sotw, S>(self.shared.clone(), accepted, requests);
        Ok(Response::new(responses))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (accepted, requests) = self.accept(request);
        let responses = respond::<Delta, S>(self.shared.clone(), accepted, requests);
        Ok(Response::new(responses))
    }
}
