//! Gives Envoy its certificates: the secret discovery service on a Unix socket (platform.md 3.11).
//!
//! Envoy opens a stream for each secret, and waits without a limit for the first answer: so a
//! certificate that is not there yet is no answer, never an empty one, which Envoy would refuse.
//! Both protocols are spoken; Istio's agent speaks state of the world only.

mod desk;
mod name;
mod revoked;
mod stream;
mod trusted;

pub use crate::socket::SocketError;

use crate::files::Files;
use crate::identity::{Held, Roots};
use crate::socket;
use crate::trust::Told;
use desk::Desk;
use meltemi_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use meltemi_proto::envoy::service::secret::v3::secret_discovery_service_server::{
    SecretDiscoveryService, SecretDiscoveryServiceServer,
};
use meltemi_runtime::drain::Drain;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// The largest request, in bytes: names and a node.
const LIMIT: usize = 1 << 20;

/// Where it listens.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The socket, made with mode 0600.
    pub socket: PathBuf,
    /// The revocation list that is added to every set of roots, when the file exists.
    pub revoked: Option<PathBuf>,
}

/// Whose socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody answers there: we serve it.
    Us,
    /// Somebody else, a SPIRE agent say, gives Envoy its certificate there; only files are ours.
    Another,
}

/// Whose socket `path` is.
pub async fn owner(path: &Path) -> Owner {
    match socket::is_served(path).await {
        true => Owner::Another,
        false => Owner::Us,
    }
}

/// Where the secrets are from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Who the workload is.
    pub held: Held,
    /// Roots of the mesh beside those of the authority: what the control plane publishes.
    pub bundle: Roots,
    /// Whom to believe besides, and for what.
    pub trust: Told,
    /// Certificates that Envoy is told to take from files.
    pub files: Files,
}

/// The service, listening.
#[derive(Debug)]
pub struct Secrets {
    listener: UnixListener,
    desk: Desk,
}

impl Secrets {
    /// Listens; nothing is answered before it runs.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn listen(settings: &Settings, sources: Sources) -> Result<Self, SocketError> {
        let listener = socket::bind(&settings.socket)?;
        let desk = Desk::new(sources, settings.revoked.clone());
        Ok(Self { listener, desk })
    }

    /// Serves until drained.
    ///
    /// # Errors
    /// The transport fails.
    pub async fn run(self, mut drain: Drain) -> Result<(), tonic::transport::Error> {
        let (ending, ended) = watch::channel(());
        let service = Service {
            desk: self.desk,
            ended,
        };
        let service = SecretDiscoveryServiceServer::new(service).max_decoding_message_size(LIMIT);
        let incoming = UnixListenerStream::new(self.listener);
        tonic::transport::Server::builder()
            .serve_with_incoming_shutdown(service, incoming, async move {
                drain.started().await;
                // Nobody listens when there is no stream.
                let _ = ending.send(());
            })
            .await
    }
}

struct Service {
    desk: Desk,
    ended: watch::Receiver<()>,
}

type Answers<T> = ReceiverStream<Result<T, Status>>;

#[tonic::async_trait]
impl SecretDiscoveryService for Service {
    type DeltaSecretsStream = Answers<DeltaDiscoveryResponse>;
    type StreamSecretsStream = Answers<DiscoveryResponse>;

    async fn delta_secrets(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaSecretsStream>, Status> {
        let talk = stream::Delta::default();
        Ok(self.open(talk, request.into_inner()))
    }

    async fn stream_secrets(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamSecretsStream>, Status> {
        let talk = stream::Sotw::default();
        Ok(self.open(talk, request.into_inner()))
    }

    async fn fetch_secrets(
        &self,
        _: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        let why = "secrets are streamed: StreamSecrets or DeltaSecrets";
        Err(Status::unimplemented(why))
    }
}

impl Service {
    fn open<T: stream::Talk>(
        &self,
        talk: T,
        requests: Streaming<T::Request>,
    ) -> Response<Answers<T::Response>> {
        let (desk, ended) = (self.desk.clone(), self.ended.clone());
        Response::new(stream::open((talk, desk), requests, ended))
    }
}

#[cfg(test)]
mod tests;
