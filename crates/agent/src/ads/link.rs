//! A stream to the control plane, opened again whenever it ends.
//!
//! After a stream that worked the first attempt is spread over five seconds, because all proxies lose
//! theirs at once when a control plane goes; attempts that fail are exponentially rarer.

use crate::backoff::{Backoff, draw};
use crate::families;
use crate::identity::Held;
use crate::upstream::{Upstream, UpstreamError};
use meltemi_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient as Client;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

/// The largest response, in bytes.
const RESPONSE_LIMIT: usize = 256 << 20;
/// The most requests that wait for the control plane to read them.
const QUEUE: usize = 1024;
/// The wait after a first failure, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Over which time those spread that were connected.
const SPREAD: Duration = Duration::from_secs(5);
/// A stream of that age has worked, whether or not anything was said.
const WORKED: Duration = Duration::from_secs(10);

/// One of the two protocols.
pub(super) trait Flavor: Send + 'static {
    type Request: Clone + Send + 'static;
    type Response: Send + 'static;

    /// Opens a stream.
    fn open(
        client: Client<Channel>,
        requests: Request<ReceiverStream<Self::Request>>,
    ) -> impl Future<Output = Result<Response<Streaming<Self::Response>>, Status>> + Send;
}

/// What happens on it.
pub(super) enum Event<F: Flavor> {
    /// The control plane has proved who it is, and is ready to be asked.
    Up(mpsc::Sender<F::Request>),
    /// It has accepted us.
    Open,
    /// It says something.
    Said(F::Response),
    /// It is gone; another attempt follows.
    Down,
}

/// Ends with its owner.
pub(super) struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error("the control plane ends the stream: {} ({:?})", .0.message(), .0.code())]
    Status(Box<Status>),
    #[error("the control plane ends the stream")]
    Over,
    #[error("nobody listens")]
    Alone,
}

/// Opens streams to `upstream` until the task is dropped. `shown` is the certificate that is shown.
pub(super) fn start<F: Flavor>(
    upstream: Upstream,
    shown: Option<Held>,
) -> (mpsc::Receiver<Event<F>>, Task) {
    let (events, receiver) = mpsc::channel(1);
    let link = Link { upstream, shown };
    let task = Task(tokio::spawn(link.run(events)));
    (receiver, task)
}

struct Link {
    upstream: Upstream,
    shown: Option<Held>,
}

impl Link {
    async fn run<F: Flavor>(mut self, events: mpsc::Sender<Event<F>>) {
        let mut backoff = Backoff::new(WAITS.0, WAITS.1);
        loop {
            let begin = Instant::now();
            let mut course = Course::Failed;
            let end = self.once(&events, &mut course).await;
            let worked = match course {
                Course::Failed => false,
                Course::Opened => begin.elapsed() > WORKED,
                Course::Spoke => true,
            };
            let wait = if worked {
                backoff.reset();
                SPREAD.mul_f64(draw())
            } else {
                backoff.next(draw())
            };
            let name = match course {
                Course::Failed => families::FAILURES,
                Course::Opened | Course::Spoke => families::TERMINATIONS,
            };
            metrics::counter!(name).increment(1);
            let address = &self.upstream.address;
            tracing::warn!(%address, error = %end, ?wait, "Envoy keeps what it has");
            if events.send(Event::Down).await.is_err() {
                return;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// One stream, from its begin to its end.
    async fn once<F: Flavor>(
        &mut self,
        events: &mpsc::Sender<Event<F>>,
        course: &mut Course,
    ) -> End {
        match self.stream(events, course).await {
            Ok(()) => End::Over,
            Err(end) => end,
        }
    }

    async fn stream<F: Flavor>(
        &mut self,
        events: &mpsc::Sender<Event<F>>,
        course: &mut Course,
    ) -> Result<(), End> {
        let shown = match &mut self.shown {
            None => None,
            Some(held) => {
                let material = held.wait_for(Option::is_some).await;
                material.map_err(|_| End::Alone)?.clone()
            }
        };
        let channel = self.upstream.connect(shown.as_deref()).await?;
        let (sender, requests) = mpsc::channel(QUEUE);
        let mut request = Request::new(ReceiverStream::new(requests));
        self.upstream.tell(request.metadata_mut())?;
        let tell = |event| async { events.send(event).await.map_err(|_| End::Alone) };
        tell(Event::Up(sender)).await?;
        let client = Client::new(channel.clone()).max_decoding_message_size(RESPONSE_LIMIT);
        let refused = |status| End::Status(Box::new(status));
        let mut responses = F::open(client, request)
            .await
            .map_err(refused)?
            .into_inner();
        *course = Course::Opened;
        tell(Event::Open).await?;
        while let Some(response) = responses.message().await.map_err(refused)? {
            *course = Course::Spoke;
            tell(Event::Said(response)).await?;
        }
        Ok(())
    }
}

/// How far a stream came.
#[derive(Clone, Copy)]
enum Course {
    Failed,
    Opened,
    Spoke,
}
