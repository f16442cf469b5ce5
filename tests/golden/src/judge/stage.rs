//! A live Envoy behind our ADS server: it is told one thing after the other, and each has to be
//! taken whole.

use super::{admin, binary};
use anyhow::{Context, Result, ensure};
use meltemi_bootstrap::{Bootstrap, NodeFacts, StatsScope, XdsProtocol, XdsServer};
use meltemi_proto::resource::TypeSet;
use meltemi_testkit::envoy::health::problems;
use meltemi_testkit::envoy::{Envoy, Options};
use meltemi_testkit::paths::Scratch;
use meltemi_testkit::{secrets, wait};
use meltemi_translate::{Assigned, document};
use meltemi_types::{ProxyKind, TypeUrl};
use meltemi_xds::{
    Assignment, Attachment, ClientId, ClientInfo, Event, Layer, Limits, Refusal, Server, Source,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(20);

/// What an Envoy is told: sets of resources by type, in order of precedence.
pub type Script = Vec<(TypeUrl, Arc<TypeSet>)>;

/// All sets of a proxy.
#[must_use]
pub fn script(assigned: &Assigned) -> Script {
    let types = document::KINDS.into_iter();
    let sets = types.flat_map(|(_, type_url)| {
        let sets = assigned.sets(type_url).into_iter();
        sets.map(move |set| (type_url, Arc::clone(set)))
    });
    sets.collect()
}

/// A source with one assignment at a time, that keeps what was reported.
struct Desk {
    wanted: watch::Sender<Arc<Assignment>>,
    events: Mutex<Vec<Event>>,
}

impl Desk {
    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True when Envoy has answered everything of the generation. What it refused is an error.
    fn settled(&self, generation: u64) -> Result<bool> {
        let events = self.events();
        let refused: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::Nacked { message, .. } => Some(message.to_string()),
                Event::Refused { type_url, reason } => Some(format!("{type_url}: {reason}")),
                Event::Acked { .. }
                | Event::Synced { .. }
                | Event::Confirmed { .. }
                | Event::Subscribed { .. }
                | Event::Detached => None,
            })
            .collect();
        ensure!(refused.is_empty(), "refused: {}", refused.join("; "));
        let synced = |e: &Event| matches!(e, Event::Synced { generation: g } if *g == generation);
        Ok(events.iter().any(synced))
    }
}

impl Source for Desk {
    fn attach(&self, _: &ClientInfo) -> Result<Attachment, Refusal> {
        Ok(Attachment {
            key: "client.shop".into(),
            kind: ProxyKind::Sidecar,
            updates: self.wanted.subscribe(),
        })
    }

    fn report(&self, _: ClientId, event: Event) {
        self.events().push(event);
    }
}

/// Versions by type and name.
type Versions = BTreeMap<(TypeUrl, Arc<str>), Arc<str>>;

/// A running Envoy and who tells it what to do. Dropping it ends both.
pub struct Stage {
    envoy: Envoy,
    desk: Arc<Desk>,
    generation: u64,
    held: Versions,
    scratch: Scratch,
    _runtime: Runtime,
}

impl Stage {
    /// Starts an Envoy that has been told nothing yet.
    ///
    /// # Errors
    /// There is no Envoy, or it does not start.
    pub fn start(name: &str, protocol: XdsProtocol) -> Result<Self> {
        let binary = binary()?;
        let scratch = Scratch::new(name)?;
        let runtime = Runtime::new()?;
        let desk = Arc::new(Desk {
            wanted: watch::Sender::new(Arc::new(Assignment::new(0))),
            events: Mutex::default(),
        });
        let address = serve(&runtime, &desk)?;
        let options = Options {
            name: "golden".into(),
            concurrency: 1,
            dir: scratch.path().to_owned(),
        };
        let envoy = Envoy::start(binary, &bootstrap(address, protocol).to_json(), &options)?;
        Ok(Self {
            envoy,
            desk,
            generation: 0,
            held: Versions::new(),
            scratch,
            _runtime: runtime,
        })
    }

    /// Tells Envoy something else, and waits until it has taken everything and is well.
    ///
    /// # Errors
    /// It refuses something, or does not become well in time.
    pub fn tell(&mut self, script: &Script) -> Result<()> {
        let resources = script.iter().flat_map(|(_, set)| set.resources.values());
        let wanted: Versions = resources
            .map(|r| ((r.type_url, r.name.clone()), r.version.clone()))
            .collect();
        if self.held == wanted {
            return Ok(()); // Nothing is sent, so nothing is answered.
        }
        self.held = wanted;
        self.generation += 1;
        let generation = self.generation;
        self.desk.events().clear();
        let mut assignment = Assignment::new(generation);
        for (line, (type_url, set)) in (generation << 8..).zip(script) {
            assignment = assignment.with(type_url, Layer::new(line, Arc::clone(set)));
        }
        self.desk.wanted.send_replace(Arc::new(assignment));
        let mut refused = None;
        wait::until("Envoy to take everything", PATIENCE, || {
            match self.desk.settled(generation) {
                Ok(settled) => Ok(settled.then_some(())),
                Err(error) => {
                    refused = Some(error);
                    Ok(Some(()))
                }
            }
        })?;
        match refused {
            Some(error) => Err(error),
            None => self.wait_well(),
        }
    }

    fn wait_well(&self) -> Result<()> {
        wait::until("Envoy to be well", PATIENCE, || {
            let left = problems(self.envoy.admin())?;
            // What was refused before is told where it happens.
            let left: Vec<_> = left
                .into_iter()
                .filter(|problem| !problem.contains(".update_rejected is "))
                .collect();
            ensure!(left.is_empty(), "{}", left.join(", "));
            Ok(Some(()))
        })
    }

    /// How many updates Envoy has ever refused.
    ///
    /// # Errors
    /// Its admin interface does not answer.
    pub fn rejected(&self) -> Result<u64> {
        Ok(self.envoy.admin().stats()?.sum("", ".update_rejected"))
    }

    /// Where its files are, and those of what a test starts beside it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Keeps the files for somebody to look at.
    pub fn keep(&mut self) {
        self.scratch.keep();
    }
}

fn serve(runtime: &Runtime, desk: &Arc<Desk>) -> Result<SocketAddr> {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr().context("no address")?;
    let server = Server::new(desk.clone(), Limits::default());
    // It ends with the runtime.
    runtime.spawn(server.serve(listener, std::future::pending()));
    Ok(address)
}

fn bootstrap(address: SocketAddr, protocol: XdsProtocol) -> Bootstrap {
    let id = "sidecar~10.0.9.9~client.shop~shop.svc.cluster.local";
    Bootstrap {
        node: NodeFacts::new(id.into(), "client.shop".into()),
        xds: XdsServer::Tcp {
            address: address.ip().to_string(),
            port: address.port(),
        },
        protocol,
        admin: admin(),
        stats: StatsScope::All,
        static_resources: secrets::of("client").ok(),
    }
}
