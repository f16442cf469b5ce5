//! ADS over gRPC: limits, keepalive, metrics. Every protocol rule is in [`session`](crate::session).
//!
//! A server-streaming task learns of a dead client only when it writes, so HTTP/2 keepalive is on.
//! Draining ends every stream with `UNAVAILABLE`: ADS streams never end by themselves.

mod call;
mod client;
mod connection;
mod crowd;
pub(crate) mod frames;
mod inquiry;
mod metrics;
pub(crate) mod unary;
mod wire;

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, Either};
use futures::{FutureExt, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::server::{Connected, TcpIncoming};

use crate::caller::{Authenticator, Credentials, Guest};
use crate::debug::Clients;
use crate::error::ServeError;
use crate::source::{ClientId, Source};
use connection::respond;
use crowd::Crowd;
use metrics::Metrics;
use unary::Unary;
use wire::{Delta, Sotw, Wire};

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
    /// How long it may take to tell who calls.
    pub authentication: Duration,
    /// Streams of one proxy that is known by its pod.
    pub streams_of_proxy: usize,
    /// How long a stream of a known caller may stay, give or take a tenth: then it is proved again.
    pub age: Duration,
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
            authentication: Duration::from_secs(10),
            streams_of_proxy: 4,
            age: Duration::from_secs(30 * 60),
            clusters: Duration::from_secs(30),
        }
    }
}

/// The ADS server. Clones are the same server on another address.
#[derive(Debug)]
pub struct Server<S>(Arc<Shared<S>>);

impl<S> Clone for Server<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// What all streams share.
#[derive(Debug)]
struct Shared<S> {
    source: Arc<S>,
    limits: Limits,
    clients: Clients,
    crowd: Crowd,
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
            crowd: Crowd::default(),
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
        self.run(incoming, Doors::default(), drain).await
    }

    /// Serves on connections that are ready to speak HTTP/2, after a TLS handshake, until `drain`
    /// completes and the streams have ended. `authenticator` tells who calls before anything of a
    /// stream is read; whom it does not know gets `UNAUTHENTICATED`. Calls of other services are
    /// `others`' to answer, and to know who makes them.
    ///
    /// # Errors
    /// When the transport fails.
    pub async fn serve_guests<C>(
        self,
        guests: impl Stream<Item = io::Result<Guest<C>>> + Send,
        (authenticator, others): (Arc<dyn Authenticator>, Option<Arc<dyn Unary>>),
        drain: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError>
    where
        C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let authenticator = Some(authenticator);
        let doors = Doors {
            authenticator,
            others,
        };
        self.run(guests, doors, drain).await
    }

    async fn run<C>(
        self,
        incoming: impl Stream<Item = io::Result<C>> + Send,
        doors: Doors,
        drain: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError>
    where
        C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let limits = self.0.limits.clone();
        let (draining, drained) = watch::channel(());
        let service = Service {
            shared: self.0,
            doors,
            drained,
        };
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

/// The gRPC service. It writes its responses itself: see [`frames`].
struct Service<S> {
    shared: Arc<Shared<S>>,
    doors: Doors,
    drained: watch::Receiver<()>,
}

/// Who is let in on one address, and what is answered there beside ADS.
#[derive(Clone, Default)]
struct Doors {
    /// `None` asks nobody.
    authenticator: Option<Arc<dyn Authenticator>>,
    /// Who answers what is no ADS.
    others: Option<Arc<dyn Unary>>,
}

impl<S> Clone for Service<S> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            doors: self.doors.clone(),
            drained: self.drained.clone(),
        }
    }
}

/// What is known of a stream before anything of it is read.
struct Accepted {
    credentials: Credentials,
    authenticator: Option<Arc<dyn Authenticator>>,
    drained: watch::Receiver<()>,
}

impl<S> NamedService for Service<S> {
    const NAME: &'static str = call::SERVICE;
}

impl<S: Source> tower::Service<http::Request<Body>> for Service<S> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Either<Ready<Result<Self::Response, Infallible>>, Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let at_once = |response| Either::Left(ready(Ok(response)));
        match request.uri().path() {
            call::SOTW => at_once(self.answer::<Sotw>(request)),
            call::DELTA => at_once(self.answer::<Delta>(request)),
            path => match &self.doors.others {
                Some(others) if others.knows(path) => {
                    let patience = self.shared.limits.authentication;
                    let answer = unary::respond(others.clone(), request, patience);
                    Either::Right(answer.map(Ok).boxed())
                }
                Some(_) | None => {
                    let why = format!("no method {path}; this is ADS, over SotW and delta");
                    at_once(Status::unimplemented(why).into_http())
                }
            },
        }
    }
}

/// What another service answers.
type Answer = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

impl<S: Source> Service<S> {
    fn answer<W: Wire>(&self, request: http::Request<Body>) -> http::Response<Body> {
        if let Err(status) = call::uncompressed(&request) {
            return status.into_http();
        }
        let accepted = Accepted {
            credentials: Credentials::of(&request),
            authenticator: self.doors.authenticator.clone(),
            drained: self.drained.clone(),
        };
        let limit = self.shared.limits.request_bytes;
        let requests = call::requests::<W>(request.into_body(), limit);
        call::response(respond::<W, S>(self.shared.clone(), accepted, requests))
    }
}
