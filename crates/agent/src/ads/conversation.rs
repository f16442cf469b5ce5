//! One stream of Envoy and the streams to the control plane behind it, one after the other.
//!
//! A newer stream of Envoy ends the older one and takes over what is known: there is one Envoy.

use super::link::{self, Event, Flavor};
use super::memory::{Held as Table, Kind, Known, Store};
use super::own::{Books, Kept, Wants};
use super::{Course, Names, Seen};
use crate::families;
use crate::identity::Held;
use crate::trust::Tell;
use crate::upstream::Upstream;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::urls::{CLUSTER, LISTENER, NAME_TABLE, PROXY_CONFIG};
use meltemi_types::TypeUrl;
use std::sync::Arc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// Envoy is given nothing else.
const FOR_ENVOY: &str = "type.googleapis.com/envoy.";

/// A protocol, with what is known of Envoy in it.
pub(super) trait Talk: Flavor + Default {
    /// Its name: what is kept of one is of no use to the other.
    const PROTOCOL: &str;

    fn known(&mut self) -> &mut Known;
    fn type_of(request: &Self::Request) -> &str;
    fn type_in(response: &Self::Response) -> &str;
    /// What Envoy says against a response, if it does.
    fn refusal(request: &Self::Request) -> Option<&str>;
    /// Takes over the bodies that we have of what Envoy says it has.
    fn adopt(held: &mut Table, last: &Table);
    /// Takes a request in, and says what the control plane is to hear of it.
    fn hear(&mut self, request: Self::Request) -> Option<Self::Request>;
    /// What we know of what a request that was heard asks for.
    fn replay(&mut self, request: &Self::Request) -> Option<Self::Response>;
    /// The request for what was asked for and is not there.
    fn missing(type_url: &str, kind: &Kind) -> Self::Request;
    /// The form in which Envoy gets a response.
    fn deliver(&mut self, response: Self::Response) -> Self::Response;
    /// The first request on a new stream: all that Envoy wants, and what it has of it; with the
    /// node when one is given.
    fn first(type_url: &str, kind: &Kind, node: Option<Node>) -> Self::Request;
    /// Asks for what the agent wants itself.
    fn ask_own(type_url: &str, book: &dyn Kept) -> Self::Request;
    /// Takes that in, and answers.
    fn take_own(book: &mut dyn Kept, response: Self::Response) -> Self::Request;

    /// Takes over from the stream before.
    fn remember(&mut self, store: Store) {
        self.known().remember(Self::PROTOCOL, store, Self::adopt);
    }

    /// Leaves to the stream after.
    fn store(mut self) -> Store {
        std::mem::take(self.known()).store(Self::PROTOCOL)
    }

    /// What we know of what was asked for and is not there.
    fn replay_all(&mut self) -> Vec<Self::Response> {
        let asks = self.known().of_each(Self::missing);
        asks.iter().filter_map(|ask| self.replay(ask)).collect()
    }

    /// The first requests on a new stream; the very first says who Envoy is.
    fn reopen(&mut self) -> Vec<Self::Request> {
        let known = self.known();
        known.nonces.next_connection();
        let mut node = known.node.clone();
        known.of_each(|url, kind| Self::first(url, kind, node.take()))
    }
}

/// What all streams share.
#[derive(Debug)]
pub(super) struct Shared {
    upstream: Upstream,
    shown: Option<Held>,
    wants: Wants,
    course: watch::Sender<Course>,
    names: watch::Sender<Option<Names>>,
    trust: Tell,
    /// Counts streams; the last one counts.
    turn: watch::Sender<u64>,
    /// Held by the stream that counts.
    baton: Mutex<Baton>,
}

#[derive(Debug, Default)]
struct Baton {
    store: Store,
    books: Books,
}

impl Shared {
    pub(super) fn new(
        (upstream, shown): (Upstream, Option<Held>),
        (wants, trust): (Wants, Tell),
    ) -> (Self, Seen) {
        let (course, goes) = watch::channel(Course::default());
        let (names, known) = watch::channel(None);
        let shared = Self {
            upstream,
            shown,
            wants,
            course,
            names,
            trust,
            turn: watch::channel(0).0,
            baton: Mutex::default(),
        };
        let seen = Seen {
            course: goes,
            names: known,
        };
        (shared, seen)
    }

    /// Ends the stream that is.
    pub(super) fn supersede(&self) {
        self.turn.send_modify(|turn| *turn += 1);
    }
}

type Answers<T> = mpsc::Sender<Result<<T as Flavor>::Response, Status>>;

/// A stream of Envoy.
pub(super) struct Conversation<T: Talk> {
    shared: Arc<Shared>,
    talk: T,
    answers: Answers<T>,
    turn: watch::Receiver<u64>,
    /// The stream to the control plane, while there is one.
    up: Option<mpsc::Sender<T::Request>>,
    /// There was one, or an attempt: what is known is answered while there is none.
    away: bool,
    asks_own: bool,
}

impl<T: Talk> Conversation<T> {
    /// Begins one; what it answers is in the stream.
    pub(super) fn open(
        shared: &Arc<Shared>,
        requests: Streaming<T::Request>,
    ) -> ReceiverStream<Result<T::Response, Status>> {
        shared.supersede();
        let (answers, receiver) = mpsc::channel(1);
        let conversation = Self {
            turn: shared.turn.subscribe(),
            shared: shared.clone(),
            talk: T::default(),
            answers: answers.clone(),
            up: None,
            away: false,
            asks_own: false,
        };
        tokio::spawn(async move {
            let end = conversation.run(requests).await;
            metrics::counter!(families::ENVOY_ENDS).increment(1);
            if let Err(status) = end {
                tracing::debug!(%status, "a stream of Envoy ends");
                // Envoy may be gone.
                let _ = answers.send(Err(status)).await;
            }
        });
        ReceiverStream::new(receiver)
    }

    async fn run(mut self, mut requests: Streaming<T::Request>) -> Result<(), Status> {
        let Some(first) = requests.message().await? else {
            return Ok(());
        };
        self.talk.hear(first);
        let node = self.talk.known().node.as_ref();
        if node.is_none_or(|node| node.id.is_empty()) {
            return Err(Status::invalid_argument("the first request has no node"));
        }
        let shared = self.shared.clone();
        let mut baton = tokio::select! {
            baton = shared.baton.lock() => baton,
            _ = self.turn.changed() => return Err(superseded()),
        };
        self.talk.remember(std::mem::take(&mut baton.store));
        let end = self.converse(requests, &mut baton.books).await;
        let connected = |course: &mut Course| std::mem::take(&mut course.connected);
        shared.course.send_if_modified(connected);
        baton.store = self.talk.store();
        end
    }

    async fn converse(
        &mut self,
        mut requests: Streaming<T::Request>,
        books: &mut Books,
    ) -> Result<(), Status> {
        let Shared {
            upstream, shown, ..
        } = &*self.shared;
        let (mut events, _task) = link::start::<T>(upstream.clone(), shown.clone());
        let answers = self.answers.clone();
        loop {
            tokio::select! {
                request = requests.message() => match request? {
                    Some(request) => self.hear(request, books).await?,
                    None => return Ok(()),
                },
                event = events.recv() => match event {
                    Some(event) => self.happen(event, books).await?,
                    None => return Err(Status::internal("the stream to the control plane is lost")),
                },
                _ = self.turn.changed() => return Err(superseded()),
                () = answers.closed() => return Ok(()),
            }
        }
    }

    async fn hear(&mut self, request: T::Request, books: &Books) -> Result<(), Status> {
        let type_url = T::type_of(&request).to_owned();
        metrics::counter!(families::REQUESTS).increment(1);
        if let Some(error) = T::refusal(&request) {
            tracing::warn!(type_url, error, "Envoy refuses a response");
        }
        if self.up.is_some() {
            if let Some(request) = self.talk.hear(request) {
                self.forward(request)?;
            }
            return self.want_own(&type_url, books);
        }
        self.talk.hear(request.clone());
        if self.away
            && let Some(answer) = self.talk.replay(&request)
        {
            self.say(answer).await?;
        }
        Ok(())
    }

    async fn happen(&mut self, event: Event<T>, books: &mut Books) -> Result<(), Status> {
        match event {
            Event::Up(sender) => {
                self.up = Some(sender);
                self.asks_own = false;
                for request in self.talk.reopen() {
                    let type_url = T::type_of(&request).to_owned();
                    self.forward(request)?;
                    self.want_own(&type_url, books)?;
                }
            }
            Event::Open => self.note(|course| course.connected = true),
            Event::Said(response) => return self.said(response, books).await,
            Event::Down => {
                (self.up, self.away) = (None, true);
                self.note(|course| course.connected = false);
                for answer in self.talk.replay_all() {
                    self.say(answer).await?;
                }
            }
        }
        Ok(())
    }

    async fn said(&mut self, response: T::Response, books: &mut Books) -> Result<(), Status> {
        metrics::counter!(families::RESPONSES).increment(1);
        let type_url = T::type_in(&response).to_owned();
        if let Some(book) = self.wanted(&type_url).and_then(|url| books.of_mut(url)) {
            let answer = T::take_own(book, response);
            match T::refusal(&answer) {
                Some(error) => tracing::warn!(
                    type_url,
                    error,
                    "what the control plane says cannot be read"
                ),
                None => self.tell(&type_url, books),
            }
            return self.forward(answer);
        }
        if !type_url.starts_with(FOR_ENVOY) {
            tracing::error!(
                type_url,
                "the control plane says what Envoy did not ask for"
            );
            return Ok(());
        }
        let response = self.talk.deliver(response);
        self.say(response).await?;
        self.note(|course| {
            course.clusters |= type_url == CLUSTER;
            course.listeners |= type_url == LISTENER;
        });
        Ok(())
    }

    /// The type, when the agent asks for it itself.
    fn wanted(&self, type_url: &str) -> Option<TypeUrl> {
        let mut types = self.shared.wants.types().into_iter();
        types.find(|url| *url == type_url)
    }

    /// Tells others in the agent what is known of a type.
    fn tell(&self, type_url: &str, books: &Books) {
        match type_url {
            NAME_TABLE => {
                self.shared.names.send_replace(Some(books.names.names()));
            }
            PROXY_CONFIG => {
                let next = books.trust.told();
                self.shared.trust.send_if_modified(|told| {
                    let differs = told != next;
                    told.clone_from(next);
                    differs
                });
            }
            _ => {}
        }
    }

    /// Asks for what the agent wants behind the first request for listeners: Envoy's own come first.
    fn want_own(&mut self, type_url: &str, books: &Books) -> Result<(), Status> {
        if self.asks_own || type_url != LISTENER {
            return Ok(());
        }
        self.asks_own = true;
        for url in self.shared.wants.types() {
            if let Some(book) = books.of(url) {
                self.forward(T::ask_own(url, book))?;
            }
        }
        Ok(())
    }

    /// Tells the control plane. If it is gone, it is told all of it when it is back.
    fn forward(&self, request: T::Request) -> Result<(), Status> {
        let Some(up) = &self.up else {
            return Ok(());
        };
        match up.try_send(request) {
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(()),
            Err(TrySendError::Full(_)) => {
                let why = "the control plane does not read; open another stream";
                Err(Status::resource_exhausted(why))
            }
        }
    }

    /// Tells Envoy.
    async fn say(&mut self, answer: T::Response) -> Result<(), Status> {
        tokio::select! {
            sent = self.answers.send(Ok(answer)) => {
                sent.map_err(|_| Status::cancelled("Envoy is gone"))
            }
            _ = self.turn.changed() => Err(superseded()),
        }
    }

    fn note(&self, change: impl FnOnce(&mut Course)) {
        self.shared.course.send_if_modified(|course| {
            let before = *course;
            change(course);
            *course != before
        });
    }
}

fn superseded() -> Status {
    Status::cancelled("a newer stream of Envoy has begun, or the agent ends")
}
