//! A source whose state a test edits, and that keeps what was reported.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use meltemi_proto::resource::{Encoded, TypeSet};
use meltemi_types::{NodeId, TypeUrl};
use meltemi_xds::debug::Clients;
use meltemi_xds::{
    Assignment, Attachment, ClientId, ClientInfo, Event, Layer, Limits, Refusal, Server, Source,
};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// How long a test waits for something to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A source whose state a test edits. Every client gets the same.
#[derive(Debug)]
pub struct Desk {
    sets: Mutex<BTreeMap<TypeUrl, Arc<TypeSet>>>,
    wanted: watch::Sender<Arc<Assignment>>,
    events: watch::Sender<Vec<Event>>,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            sets: Mutex::default(),
            wanted: watch::Sender::new(Arc::new(Assignment::new(0))),
            events: watch::Sender::new(Vec::new()),
        }
    }
}

impl Desk {
    /// Puts resources and takes names of a type away, then publishes.
    pub fn edit(&self, put: &[Arc<Encoded>], take: &[(TypeUrl, &str)]) {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut touched: BTreeMap<TypeUrl, BTreeMap<Arc<str>, Arc<Encoded>>> = BTreeMap::new();
        let urls = put
            .iter()
            .map(|r| r.type_url)
            .chain(take.iter().map(|t| t.0));
        for url in urls {
            let before = sets.get(url).map(|set| set.resources.clone());
            touched.insert(url, before.unwrap_or_default());
        }
        for resource in put {
            let entry = touched.entry(resource.type_url).or_default();
            entry.insert(resource.name.clone(), resource.clone());
        }
        for (url, name) in take {
            touched.entry(url).or_default().remove(*name);
        }
        for (url, resources) in touched {
            let next = TypeSet::next(sets.get(url), resources);
            sets.insert(url, next);
        }
        let generation = self.wanted.borrow().generation + 1;
        let assignment = sets
            .iter()
            .fold(Assignment::new(generation), |all, (url, set)| {
                all.with(url, Layer::new(1, set.clone()))
            });
        self.wanted.send_replace(Arc::new(assignment));
    }

    /// What was reported so far.
    pub fn events(&self) -> Vec<Event> {
        self.events.borrow().clone()
    }

    /// Waits until what was reported satisfies `enough`.
    ///
    /// # Errors
    /// When it does not within `PATIENCE`.
    pub async fn until(&self, what: &str, enough: impl Fn(&[Event]) -> bool) -> Result<()> {
        let mut events = self.events.subscribe();
        let waited = tokio::time::timeout(PATIENCE, events.wait_for(|seen| enough(seen))).await;
        match waited {
            Ok(seen) => seen.map(|_| ()).context("the desk is gone"),
            Err(_) => bail!("{what} did not happen; reported: {:#?}", self.events()),
        }
    }

    /// Waits until some client has confirmed the present state.
    ///
    /// # Errors
    /// When none does within `PATIENCE`.
    pub async fn until_synced(&self) -> Result<()> {
        let now = self.wanted.borrow().generation;
        let synced = |e: &Event| matches!(e, Event::Synced { generation } if *generation == now);
        self.until("sync", |events| events.iter().any(synced)).await
    }
}

impl Source for Desk {
    fn attach(&self, client: &ClientInfo) -> Result<Attachment, Refusal> {
        let node: NodeId = client
            .node
            .id
            .parse()
            .map_err(|error: meltemi_types::Invalid| Refusal::BadNode(error.to_string()))?;
        Ok(Attachment {
            key: node.id,
            kind: node.kind,
            updates: self.wanted.subscribe(),
        })
    }

    fn report(&self, _: ClientId, event: Event) {
        self.events.send_modify(|events| events.push(event));
    }
}

/// A server that runs until it is stopped.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its streams.
    pub clients: Clients,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Result<(), meltemi_xds::ServeError>>,
}

impl Serving {
    /// Serves `source` on a port of 127.0.0.1, any when it is 0.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn start(source: &Arc<impl Source>, port: u16, limits: Limits) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let server = Server::new(source.clone(), limits);
        let clients = server.clients();
        let (stop, stopped) = oneshot::channel::<()>();
        let done = tokio::spawn(server.serve(listener, async {
            // A dropped sender stops it too.
            let _ = stopped.await;
        }));
        Ok(Self {
            address,
            clients,
            stop,
            done,
        })
    }

    /// Stops it and waits until every stream has ended.
    ///
    /// # Errors
    /// When it failed, or does not end in time.
    pub async fn stop(self) -> Result<()> {
        // It may have ended already.
        let _ = self.stop.send(());
        tokio::time::timeout(PATIENCE, self.done).await???;
        Ok(())
    }
}
