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
use futures::future::BoxFuture;
use futures::stream::{BoxStream, iter, unfold};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::Status;

use super::client::Client;
use super::crowd::Place;
use super::frames::Frames;
use super::inquiry::{Asker, Inquiry};
use super::wire::Wire;
use super::{Accepted, Shared};
use crate::Assignment;
use crate::caller::{Caller, Identity, conform, same_node};
use crate::session::{Push, Session};
use crate::source::{ClientId, ClientInfo, Refusal, Source};
use crate::types::XdsType;

/// The requests of a stream, as the transport hands them over.
pub(super) type Requests<W> = BoxStream<'static, Result<<W as Wire>::Request, Status>>;
/// The pieces of the responses, as the transport wants them.
pub(super) type Pieces = BoxStream<'static, Result<Bytes, Status>>;

/// How far a stream has come.
enum Stage<W: Wire, S: Source> {
    /// No request yet.
    Opening(Arc<Shared<S>>, Accepted, Requests<W>),
    /// Attached.
    Open(Box<Connection<W, S>>),
    /// Asks about the control plane.
    Asking(Box<Inquiry<W, S>>),
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
            Ok(Some((push, stage))) => Some((Ok(push), Some(stage))),
            Err(status) => Some((Err(status), None)),
        }
    });
    let pieces = |push| iter(Frames::new(W::FLAVOR, push).map(Ok));
    responses.map_ok(pieces).try_flatten().boxed()
}

type Said<W, S> = Option<(Push, Stage<W, S>)>;

/// The next response. A panic ends this stream and no other.
async fn guarded<W: Wire, S: Source>(stage: Stage<W, S>) -> Result<Said<W, S>, Status> {
    let shared = match &stage {
        Stage::Opening(shared, ..) => shared.clone(),
        Stage::Open(connection) => connection.shared.clone(),
        Stage::Asking(inquiry) => inquiry.shared.clone(),
    };
    let step = AssertUnwindSafe(step(stage)).catch_unwind();
    step.await.unwrap_or_else(|_| {
        shared.metrics.panics.increment(1);
        shared.metrics.internal.increment(1);
        let why = "the control plane failed on this stream; it is our bug";
        Err(Status::internal(why))
    })
}

async fn step<W: Wire, S: Source>(stage: Stage<W, S>) -> Result<Said<W, S>, Status> {
    let opened = match stage {
        Stage::Opening(shared, accepted, requests) => open(shared, accepted, requests).await?,
        stage @ (Stage::Open(_) | Stage::Asking(_)) => Some(stage),
    };
    Ok(match opened {
        Some(Stage::Open(mut connection)) => {
            let push = connection.next().await?;
            push.map(|push| (push, Stage::Open(connection)))
        }
        Some(Stage::Asking(mut inquiry)) => {
            let push = inquiry.next().await?;
            push.map(|push| (push, Stage::Asking(inquiry)))
        }
        Some(Stage::Opening(..)) | None => None,
    })
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

/// Ends when what the caller shows is taken back.
fn withdrawn(accepted: &Accepted) -> BoxFuture<'static, ()> {
    match &accepted.authenticator {
        Some(authenticator) => authenticator.withdrawn(&accepted.credentials),
        None => pending().boxed(),
    }
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

/// Hears the first request and attaches the client that it names, unless it is a question. `None`
/// when the client closed the stream instead.
async fn open<W: Wire, S: Source>(
    shared: Arc<Shared<S>>,
    accepted: Accepted,
    mut requests: Requests<W>,
) -> Result<Option<Stage<W, S>>, Status> {
    // From before it is told who calls: nothing that is taken back meanwhile is missed.
    let withdrawn = withdrawn(&accepted);
    let caller = admit(&shared, &accepted).await?;
    let most = shared.limits.streams_of_proxy;
    let place = shared.crowd.enter(&caller.identity, most)?;
    let first = timeout(shared.limits.first_request, requests.next()).await;
    let late = |_| Status::deadline_exceeded("no request came; send one after opening a stream");
    let Some(request) = first.map_err(late)?.transpose()? else {
        return Ok(None);
    };
    let stream = shared.next_client();
    let salt = RandomState::new().hash_one(shared.seed ^ stream.0);
    let opened = Opened {
        end: end(&caller, shared.limits.age, salt),
        asker: Asker::new(caller.identity, accepted.credentials.peer),
        shared,
        requests,
        drained: accepted.drained,
        withdrawn,
        _place: place,
    };
    match XdsType::question(W::asks(&request).type_url) {
        Some(_) => opened.inquire(&request),
        None => opened.attach(stream, request),
    }
    .map(Some)
}

/// A stream whose first request has come.
struct Opened<W: Wire, S: Source> {
    shared: Arc<Shared<S>>,
    requests: Requests<W>,
    drained: watch::Receiver<()>,
    withdrawn: BoxFuture<'static, ()>,
    end: Option<Instant>,
    asker: Asker,
    _place: Option<Place>,
}

impl<W: Wire, S: Source> Opened<W, S> {
    /// The first request is a question.
    fn inquire(self, request: &W::Request) -> Result<Stage<W, S>, Status> {
        let mut inquiry = Box::new(Inquiry {
            shared: self.shared,
            requests: self.requests,
            drained: self.drained,
            withdrawn: self.withdrawn,
            end: self.end,
            asker: self.asker,
            answer: None,
            _place: self._place,
        });
        inquiry.hear(request)?;
        Ok(Stage::Asking(inquiry))
    }

    /// The first request is of a proxy.
    fn attach(self, id: ClientId, mut request: W::Request) -> Result<Stage<W, S>, Status> {
        let Self { shared, asker, .. } = self;
        let mut node = W::take_node(&mut request).unwrap_or_default();
        if node.id.is_empty() {
            let why = "the first request names no node; set node.id";
            return Err(Refusal::BadNode(why.to_owned()).into());
        }
        conform(&mut node, &asker.identity)?;
        let info = ClientInfo {
            id,
            peer: asker.peer,
            identity: asker.identity.clone(),
            node,
        };
        let mut attachment = shared.source.attach(&info)?;
        let client = Client::new(&shared, W::FLAVOR, &info, &attachment);
        let assignment = attachment.updates.borrow_and_update().clone();
        let stream = shared.seed ^ id.0;
        let mut connection = Box::new(Connection::<W, S> {
            session: Session::new(W::FLAVOR, attachment.kind, stream, assignment),
            shared,
            requests: self.requests,
            updates: attachment.updates,
            drained: self.drained,
            withdrawn: self.withdrawn,
            opened: Instant::now(),
            end: self.end,
            node: info.node.id.into(),
            asker,
            answer: None,
            _place: self._place,
            waiting_since: None,
            client,
        });
        connection.hear(&request)?;
        Ok(Stage::Open(connection))
    }
}

/// An attached stream.
struct Connection<W: Wire, S: Source> {
    shared: Arc<Shared<S>>,
    session: Session,
    requests: Requests<W>,
    updates: watch::Receiver<Arc<Assignment>>,
    drained: watch::Receiver<()>,
    /// Ends when what proves the client is taken back.
    withdrawn: BoxFuture<'static, ()>,
    opened: Instant,
    /// When it is to be proved again who calls.
    end: Option<Instant>,
    /// The node of the first request.
    node: Arc<str>,
    /// For questions that it has beside.
    asker: Asker,
    /// The answer to the last one.
    answer: Option<Push>,
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
            if let Some(answer) = self.answer.take() {
                return Ok(Some(answer));
            }
            let began = Instant::now();
            if let Some(push) = self.session.next() {
                self.waiting_since = None;
                self.client.sends(push.row.url);
                self.shared.metrics.sent(&push, began.elapsed());
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
            () = &mut self.withdrawn => return Err(again(WITHDRAWN)),
            () = at(watchdog) => return Err(again("clusters were never asked for")),
        }
        Ok(true)
    }

    fn hear(&mut self, request: &W::Request) -> Result<(), Status> {
        same_node(&self.node, W::node(request))?;
        let asks = W::asks(request);
        if let Some(row) = XdsType::question(asks.type_url) {
            self.answer = self.asker.ask(&self.shared, (row, &asks))?;
            return Ok(());
        }
        let heard = W::hear(&mut self.session, request);
        self.client.tell(&mut self.session);
        Ok(heard?)
    }

    fn take_update(&mut self) {
        let assignment = self.updates.borrow_and_update().clone();
        self.session.update(assignment);
    }
}

/// Why a stream ends whose client is not proved any more.
pub(super) const WITHDRAWN: &str = "what proves who calls was taken back";

pub(super) fn again(why: &str) -> Status {
    Status::unavailable(format!("{why}; connect again"))
}

pub(super) async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}
