//! One stream: feeds the session what comes in and yields what it says, when the transport asks.
//!
//! There is no queue. The transport polls for a response when it can write one, and the session
//! then computes it from the latest state; a slow reader thereby skips states.

use std::future::pending;
use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::{BoxStream, iter, unfold};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Status;

use super::client::Client;
use super::crowd::Place;
use super::frames::Frames;
use super::wire::Wire;
use super::{Accepted, Shared};
use crate::Assignment;
use crate::caller::{Caller, Identity, conform, same_node};
use crate::session::{Push, Session};
use crate::source::{ClientInfo, Refusal, Source};

/// The requests of a stream, as the transport hands them over.
type Requests<W> = BoxStream<'static, Result<<W as Wire>::Request, Status>>;
/// The pieces of the responses, as the transport wants them.
pub(super) type Pieces = BoxStream<'static, Result<Bytes, Status>>;

/// How far a stream has come.
enum Stage<W: Wire, S: Source> {
    /// No request yet.
    Opening(Arc<Shared<S>>, Accepted, Requests<W>),
    /// Attached.
    Open(Box<Connection<W, S>>),
}

/// The responses to `requests`. The next one is computed when the last has been taken whole.
pub(super) fn respond<W: Wire, S: Source>(
    shared: Arc<Shared<S>>,
    accepted: Accepted,
    requests: impl Stream<Item = Result<W::Request, Status>> + Send + 'static,
) -> Pieces {
    let opening = Stage::<W, S>::Opening(shared, accepted, requests.boxed());
    let responses = unfold(Some(opening), |stage| async {
        match guarded(stage?).await {
            Ok(None) => None,
            Ok(Some((push, connection))) => Some((Ok(push), Some(Stage::Open(connection)))),
            Err(status) => Some((Err(status), None)),
        }
    });
    let pieces = |push| iter(Frames::new(W::FLAVOR, push).map(Ok));
    responses.map_ok(pieces).try_flatten().boxed()
}

type Said<W, S> = Option<(Push, Box<Connection<W, S>>)>;

/// The next response. A panic ends this stream and no other.
async fn guarded<W: Wire, S: Source>(stage: Stage<W, S>) -> Result<Said<W, S>, Status> {
    let shared = match &stage {
        Stage::Opening(shared, ..) => shared.clone(),
        Stage::Open(connection) => connection.shared.clone(),
    };
    let step = AssertUnwindSafe(step(stage)).catch_unwind();
    step.await.unwrap_or_else(|_| {
        shared.metrics.panics.increment(1);
        let why = "the control plane failed on this stream; it is our bug";
        Err(Status::internal(why))
    })
}

async fn step<W: Wire, S: Source>(stage: Stage<W, S>) -> Result<Said<W, S>, Status> {
    let mut connection = match stage {
        Stage::Opening(shared, accepted, requests) => {
            match open(shared, accepted, requests).await? {
                Some(connection) => connection,
                None => return Ok(None),
            }
        }
        Stage::Open(connection) => connection,
    };
    let push = connection.next().await?;
    Ok(push.map(|push| (push, connection)))
}

/// Tells who calls. Nothing of the stream has been read yet.
async fn admit<S: Source>(shared: &Shared<S>, accepted: &Accepted) -> Result<Caller, Status> {
    let Some(authenticator) = &accepted.authenticator else {
        return Ok(Caller::UNASKED);
    };
    let asked = authenticator.authenticate(accepted.credentials.clone());
    let told = timeout(shared.limits.authentication, asked).await;
    let late = |_| again("it could not be told in time who calls");
    told.map_err(late)?.map_err(|unknown| {
        shared.metrics.unknown.increment(1);
        tracing::debug!(peer = ?accepted.credentials.peer, why = %unknown, "caller refused");
        unknown.into()
    })
}

/// When a stream of the caller ends, so that it is proved again who calls: at the latest when the
/// proof ends, else after its age, which `salt` moves by a tenth at most.
fn end(caller: &Caller, age: Duration, salt: u64) -> Option<Instant> {
    if caller.identity == Identity::Unasked {
        return None;
    }
    let tenth = u32::try_from(salt % 2000).unwrap_or(0);
    let age = age * 9 / 10 + age * tenth / 10_000;
    let proved = caller.until.map(|until| {
        until
            .duration_since(SystemTime::now())
            .unwrap_or(Duration::ZERO)
    });
    Some(Instant::now() + proved.map_or(age, |proved| proved.min(age)))
}

/// Attaches the client that the first request names. `None` when it closed the stream instead.
async fn open<W: Wire, S: Source>(
    shared: Arc<Shared<S>>,
    accepted: Accepted,
    mut requests: Requests<W>,
) -> Result<Option<Box<Connection<W, S>>>, Status> {
    let caller = admit(&shared, &accepted).await?;
    let most = shared.limits.streams_of_proxy;
    let place = shared.crowd.enter(&caller.identity, most)?;
    let first = timeout(shared.limits.first_request, requests.next()).await;
    let late = |_| Status::deadline_exceeded("no request came; send one after opening a stream");
    let Some(mut request) = first.map_err(late)?.transpose()? else {
        return Ok(None);
    };
    let mut node = W::take_node(&mut request).unwrap_or_default();
    if node.id.is_empty() {
        let why = "the first request names no node; set node.id";
        return Err(Refusal::BadNode(why.to_owned()).into());
    }
    conform(&mut node, &caller.identity)?;
    let info = ClientInfo {
        id: shared.next_client(),
        peer: accepted.credentials.peer,
        identity: caller.identity.clone(),
        node,
    };
    let mut attachment = shared.source.attach(&info)?;
    let client = Client::new(&shared, W::FLAVOR, &info, &attachment);
    let assignment = attachment.updates.borrow_and_update().clone();
    let stream = shared.seed ^ info.id.0;
    let end = end(
        &caller,
        shared.limits.age,
        RandomState::new().hash_one(stream),
    );
    let mut connection = Box::new(Connection::<W, S> {
        session: Session::new(W::FLAVOR, attachment.kind, stream, assignment),
        shared,
        requests,
        updates: attachment.updates,
        drained: accepted.drained,
        opened: Instant::now(),
        end,
        node: info.node.id.into(),
        _place: place,
        waiting_since: None,
        client,
    });
    connection.hear(&request)?;
    Ok(Some(connection))
}

/// An attached stream.
struct Connection<W: Wire, S: Source> {
    shared: Arc<Shared<S>>,
    session: Session,
    requests: Requests<W>,
    updates: watch::Receiver<Arc<Assignment>>,
    drained: watch::Receiver<()>,
    opened: Instant,
    /// When it is to be proved again who calls.
    end: Option<Instant>,
    /// The node of the first request.
    node: Arc<str>,
    _place: Option<Place>,
    /// Since when something waits for the client's answer.
    waiting_since: Option<Instant>,
    client: Client<S>,
}

impl<W: Wire, S: Source> Connection<W, S> {
    /// The next response; `None` when the client has closed the stream.
    async fn next(&mut self) -> Result<Option<Push>, Status> {
        loop {
            if self.updates.has_changed().unwrap_or(false) {
                self.take_update();
            }
            if let Some(push) = self.session.next() {
                self.waiting_since = None;
                self.shared.metrics.sent(&push);
                self.client.tell(&mut self.session);
                return Ok(Some(push));
            }
            if self.session.has_events() {
                self.client.tell(&mut self.session);
            }
            if !self.wait().await? {
                return Ok(None);
            }
        }
    }

    /// Waits for something to happen and tells the session. False when the client is done.
    async fn wait(&mut self) -> Result<bool, Status> {
        let limits = &self.shared.limits;
        let since = &mut self.waiting_since;
        let patience = match self.session.waiting() {
            true => Some(*since.get_or_insert_with(Instant::now) + limits.answer),
            false => None,
        };
        let lacking = self.session.lacks_clusters();
        let watchdog = lacking.then(|| self.opened + limits.clusters);
        tokio::select! {
            request = self.requests.next() => match request.transpose()? {
                Some(request) => self.hear(&request)?,
                None => return Ok(false),
            },
            changed = self.updates.changed() => match changed {
                Ok(()) => self.take_update(),
                Err(_) => return Err(again("this client's configuration was withdrawn")),
            },
            _ = self.drained.changed() => return Err(again("the control plane is going away")),
            () = at(patience) => {
                self.waiting_since = None;
                self.session.overdue();
            }
            () = at(self.end) => return Err(again("this stream has reached its age")),
            () = at(watchdog) => return Err(again("clusters were never asked for")),
        }
        Ok(true)
    }

    fn hear(&mut self, request: &W::Request) -> Result<(), Status> {
        same_node(&self.node, W::node(request))?;
        let heard = W::hear(&mut self.session, request);
        self.client.tell(&mut self.session);
        Ok(heard?)
    }

    fn take_update(&mut self) {
        let assignment = self.updates.borrow_and_update().clone();
        self.session.update(assignment);
    }
}

fn again(why: &str) -> Status {
    Status::unavailable(format!("{why}; connect again"))
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
