//! One live Envoy behind our ADS server takes one case after the other.

use super::admin;
use crate::case::Case;
use crate::compose;
use anyhow::{Context, Result, bail, ensure};
use meltemi_bootstrap::{Bootstrap, NodeFacts, StatsScope, XdsProtocol, XdsServer};
use meltemi_model::Interception;
use meltemi_testkit::envoy::health::problems;
use meltemi_testkit::envoy::{Envoy, Options};
use meltemi_testkit::paths::Scratch;
use meltemi_testkit::wait;
use meltemi_translate::Assigned;
use meltemi_types::xds::{CLUSTER, ENDPOINT, LISTENER, ROUTE};
use meltemi_types::{ProxyKind, TypeUrl};
use meltemi_xds::{
    Assignment, Attachment, ClientId, ClientInfo, Event, Layer, Limits, Refusal, Server, Source,
};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(20);

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
                Event::Acked { .. } | Event::Synced { .. } | Event::Detached => None,
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

/// The layers of a case; each case is a class of its own.
fn assignment(generation: u64, assigned: &Assigned) -> Assignment {
    let Assigned { outbound, inbound } = assigned;
    let layer = |line: u64, set: &Arc<_>| Layer::new(generation * 2 + line, Arc::clone(set));
    Assignment::new(generation)
        .with(CLUSTER, layer(0, &outbound.clusters))
        .with(CLUSTER, layer(1, &inbound.clusters))
        .with(ENDPOINT, layer(0, &outbound.endpoints))
        .with(LISTENER, layer(0, &outbound.listeners))
        .with(LISTENER, layer(1, &inbound.listeners))
        .with(ROUTE, layer(0, &outbound.routes))
}

/// Pushes every case to one Envoy, one after the other; each has to be taken whole: nothing
/// refused, nothing warming, an answer to every subscription.
///
/// # Errors
/// Names every case that is not.
pub fn push_all(cases: &[Case], protocol: XdsProtocol) -> Result<()> {
    let binary = super::binary()?;
    let mut scratch = Scratch::new("golden-push")?;
    let runtime = Runtime::new()?;
    let desk = Arc::new(Desk {
        wanted: watch::Sender::new(Arc::new(Assignment::new(0))),
        events: Mutex::default(),
    });
    let address = serve(&runtime, &desk)?;
    let bootstrap = bootstrap(address, protocol);
    let options = Options {
        name: "golden".into(),
        concurrency: 1,
        dir: scratch.path().to_owned(),
    };
    let envoy = Envoy::start(binary, &bootstrap.to_json(), &options)?;
    let mut failures = Vec::new();
    let mut held = Versions::new();
    let pushed = cases.iter().filter(|case| can_be_bound(case));
    for (generation, case) in (1..).zip(pushed) {
        if let Err(error) = push(
            &desk,
            &envoy,
            Pushed {
                generation,
                case,
                held: &mut held,
            },
        ) {
            failures.push(format!("{}: {error:#}", case.name));
        }
    }
    let rejected = envoy.admin().stats()?.sum("", ".update_rejected");
    if rejected != 0 && failures.is_empty() {
        failures.push(format!("update_rejected adds up to {rejected}"));
    }
    if !failures.is_empty() {
        scratch.keep();
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

/// False, and said, where the system would refuse the sockets: transparent ones are for those who
/// administer the network, and these tests are for everybody.
fn can_be_bound(case: &Case) -> bool {
    let possible = case.proxy.interception != Interception::Tproxy || administers_network();
    if !possible {
        eprintln!("{} is not pushed: TPROXY needs CAP_NET_ADMIN", case.name);
    }
    possible
}

fn administers_network() -> bool {
    const CAP_NET_ADMIN: u32 = 12;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    set.is_some_and(|set| set & (1 << CAP_NET_ADMIN) != 0)
}

/// A case on its way, after others.
struct Pushed<'a> {
    generation: u64,
    case: &'a Case,
    held: &'a mut Versions,
}

/// Versions by type and name.
type Versions = BTreeMap<(TypeUrl, Arc<str>), Arc<str>>;

fn versions(assigned: &Assigned) -> Versions {
    let all = compose::resources(assigned).into_values();
    all.flat_map(BTreeMap::into_values)
        .map(|r| ((r.type_url, r.name.clone()), r.version.clone()))
        .collect()
}

fn push(desk: &Desk, envoy: &Envoy, pushed: Pushed<'_>) -> Result<()> {
    let Pushed {
        generation,
        case,
        held,
    } = pushed;
    desk.events().clear();
    let assigned = case.compose().assigned;
    let wanted = versions(&assigned);
    if *held == wanted {
        return Ok(()); // Nothing is sent, so nothing is answered.
    }
    *held = wanted;
    desk.wanted
        .send_replace(Arc::new(assignment(generation, &assigned)));
    let mut refused = None;
    wait::until("Envoy to take everything", PATIENCE, || {
        match desk.settled(generation) {
            Ok(settled) => Ok(settled.then_some(())),
            Err(error) => {
                refused = Some(error);
                Ok(Some(()))
            }
        }
    })?;
    if let Some(error) = refused {
        return Err(error);
    }
    wait::until("Envoy to be well", PATIENCE, || {
        let left = problems(envoy.admin())?;
        // What was refused of earlier cases is told there.
        let left: Vec<_> = left
            .into_iter()
            .filter(|problem| !problem.contains(".update_rejected is "))
            .collect();
        ensure!(left.is_empty(), "{}", left.join(", "));
        Ok(Some(()))
    })
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
        static_resources: None,
    }
}
