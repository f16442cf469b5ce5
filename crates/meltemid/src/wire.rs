//! Wiring, in numbered stages: 1 observe, 2 bind, 3 build, 4 spawn, 5 serve, 6 drain.

use crate::about::{self, About};
use crate::args::{Config, Switches};
use crate::controlz;
use crate::credentials::{Clerk, Readers, Supply};
use crate::desk::Desk;
use crate::events::Events;
use crate::families::FAMILIES;
use crate::http::{Pages, serve};
use crate::plane::Plane;
use crate::port_file::Ports;
use crate::pump::{Debounce, Pump};
use crate::secure::Secure;
use crate::sources::Sources;
use crate::status::{Addresses, Book, Scribe, Status};
use crate::trust::Trust;
use crate::webhook::Webhook;
use meltemi_registry::{Registry, Settings};
use meltemi_runtime::drain::{self, Drain, Signals};
use meltemi_runtime::metrics::Metrics;
use meltemi_runtime::ready::Readiness;
use meltemi_runtime::tasks::Tasks;
use meltemi_runtime::trace::{self, Levels};
use meltemi_xds::{Limits, Server};
use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::mpsc;

/// No such file or directory.
pub(crate) const NO_INPUT: u8 = 66;
/// A port is taken.
const UNAVAILABLE: u8 = 69;
/// Our own fault.
pub(crate) const INTERNAL: u8 = 70;

/// Changes in flight between sources and pump; a source waits when it is full.
const CHANGES: usize = 1024;

/// Why the process ends early.
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Runs the control plane until it is told to stop.
pub(crate) fn run(config: Config) -> ExitCode {
    match start(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, message }) => {
            eprintln!("meltemid: {message}");
            ExitCode::from(code)
        }
    }
}

fn start(config: Config) -> Result<(), Failure> {
    // 1 observe
    let levels = trace::init(config.log_format, config.log_filter.as_deref())
        .map_err(|e| Failure::new(crate::USAGE, e.to_string()))?;
    let metrics = Metrics::install(FAMILIES).map_err(|e| Failure::new(INTERNAL, e.to_string()))?;
    name_build();
    for warning in &config.warnings {
        tracing::warn!(reason = %warning, "flag ignored");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(INTERNAL, e.to_string()))?;
    runtime.block_on(live(config, metrics, levels))
}

/// The sockets of this process.
struct Sockets {
    grpc: Option<TcpListener>,
    secure: Option<TcpListener>,
    webhook: Option<TcpListener>,
    http: Option<TcpListener>,
    monitoring: Option<TcpListener>,
    controlz: Option<TcpListener>,
}

impl Sockets {
    fn bind(config: &Config) -> Result<Self, Failure> {
        let open = |flag: &str, address: Option<SocketAddr>| {
            address.map(|address| bind(flag, address)).transpose()
        };
        Ok(Self {
            grpc: open("--grpcAddr", config.grpc)?,
            secure: open("--secureGRPCAddr", config.secure_grpc)?,
            webhook: open("--httpsAddr", config.injection.map(|hook| hook.address))?,
            http: open("--httpAddr", config.http)?,
            monitoring: open("--monitoringAddr", config.monitoring)?,
            controlz: open("--ctrlz_port", config.controlz)?,
        })
    }

    fn ports(&self) -> Ports {
        let local = |socket: &Option<TcpListener>| socket.as_ref()?.local_addr().ok();
        Ports::new(
            (local(&self.grpc), local(&self.secure)),
            (local(&self.http), local(&self.monitoring)),
            local(&self.webhook),
        )
    }
}

fn bind(flag: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    let failed = |e: std::io::Error| Failure::new(UNAVAILABLE, format!("{flag} {address}: {e}"));
    let socket = TcpListener::bind(address).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    Ok(socket)
}

async fn live(config: Config, metrics: Metrics, levels: Levels) -> Result<(), Failure> {
    // 2 bind
    let (supply, ends) = Supply::new(config.cluster.clone());
    let sources = Sources::open(&config, ends.needed).await?;
    let mut sockets = Sockets::bind(&config)?;
    let ports = sockets.ports();
    // 3 build
    let readiness = Readiness::new();
    let (synced, serving) = (readiness.gate("sources"), readiness.gate("serving"));
    let book = Book::default();
    let plane = Plane::new(config.access.as_ref().map(|_| book.clone()), supply);
    let (sender, changes) = mpsc::channel(CHANGES);
    let pump = Pump {
        registry: Registry::new(settings(&config)),
        plane: plane.clone(),
        changes,
        debounce: debounce(&config),
        waiting: sources.names(),
        events: Events::default(),
        synced,
    };
    let secure = Secure::build(&config, &plane, &readiness, sources.restores()).await;
    let secure = secure.map_err(|e| Failure::new(NO_INPUT, chain(&e)))?;
    let readers = secure.as_ref().map_or(Readers::Nobody, Secure::readers);
    let clerk = Clerk::new(plane.clone(), ends.questions, readers);
    let scribe = secure.as_ref().zip(sources.seen());
    let scribe = scribe.and_then(|(secure, seen)| secure.scribe(&config, seen));
    let trust = Trust::new(&plane, secure.as_ref().and_then(Secure::roots), &config);
    let webhook = webhook(secure.as_ref(), (&config, &readiness), &mut sockets);
    let desk = desk(plane, &config, webhook.as_ref());
    let server = Server::new(Arc::new(desk.clone()), Limits::default());
    let pages = Pages {
        desk,
        clients: server.clients(),
        callers: secure.as_ref().map(|secure| secure.callers.clone()),
        readiness,
        metrics,
    };
    // 4 spawn
    let (drainer, drain) = drain::channel();
    let mut signals = Signals::listen().map_err(|e| Failure::new(INTERNAL, e.to_string()))?;
    let mut tasks = Tasks::new();
    sources.spawn(&mut tasks, sender).await?;
    tasks.best_effort("metrics", pages.metrics.clone().run(drain.clone()));
    tasks.critical("pump", pump.run(drain.clone()));
    tasks.critical("credentials", clerk.run(drain.clone()));
    tasks.critical("trust", trust.run(drain.clone()));
    if let Some(scribe) = scribe {
        spawn_status(&mut tasks, (scribe, book), config.switches, &drain);
    }
    if let Some(socket) = sockets.controlz.take() {
        tasks.best_effort("controlz", controlz::serve(socket, levels, drain.clone()));
    }
    if let Some((webhook, socket)) = webhook {
        webhook.spawn(&mut tasks, socket, &drain);
    }
    if let Some(secure) = secure {
        let served = (sockets.secure.take(), server.clone());
        secure.spawn(&mut tasks, served, &drain);
    }
    spawn_servers(&mut tasks, sockets, server, pages, &drain)?;
    // 5 serve
    serving.open();
    write(&ports, config.port_file.as_deref())?;
    tracing::info!(ports = ?ports, "meltemid is serving");
    let told = tokio::select! {
        signal = signals.next() => Ok(signal),
        ended = tasks.run(drain.clone()) => Err(ended),
    };
    // 6 drain
    serving.close();
    drainer.start();
    match told {
        Ok(signal) => {
            tracing::info!(?signal, "draining");
            wind_down(tasks, drain, &mut signals, config.shutdown).await;
            Ok(())
        }
        Err(Ok(())) => Err(Failure::new(INTERNAL, "every task has ended")),
        Err(Err(ended)) => Err(Failure::new(INTERNAL, chain(&ended))),
    }
}

/// Writes the addresses where that is asked for.
fn write(ports: &Ports, file: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = file else {
        return Ok(());
    };
    let failed =
        |e: std::io::Error| Failure::new(NO_INPUT, format!("--port-file {}: {e}", path.display()));
    ports.write(path).map_err(failed)
}

/// What writes the status of objects.
fn spawn_status(
    tasks: &mut Tasks,
    (scribe, book): (Scribe, Book),
    switches: Switches,
    drain: &Drain,
) {
    if switches.allocates {
        let addresses = Addresses(scribe.clone());
        tasks.best_effort("addresses", addresses.run(drain.clone()));
    }
    let status = Status { scribe, book };
    tasks.best_effort("status", status.run(drain.clone()));
}

/// The injection webhook and its socket, where it is served.
fn webhook(
    secure: Option<&Secure>,
    (config, readiness): (&Config, &Readiness),
    sockets: &mut Sockets,
) -> Option<(Webhook, TcpListener)> {
    let webhook = secure?.webhook(config, readiness)?;
    Some((webhook, sockets.webhook.take()?))
}

/// What answers questions.
fn desk(plane: Plane, config: &Config, webhook: Option<&(Webhook, TcpListener)>) -> Desk {
    Desk {
        plane,
        about: Arc::new(about(config)),
        injector: webhook.map(|(webhook, _)| webhook.injector.clone()),
    }
}

/// How long changes wait.
fn debounce(config: &Config) -> Debounce {
    match config.debounce {
        Some((after, max)) => Debounce::Fixed(after, max),
        None => Debounce::Adaptive,
    }
}

/// What the registry is to know of this instance.
fn settings(config: &Config) -> Settings {
    Settings {
        domain: config.domain.as_str().into(),
        cluster: config.cluster.clone(),
        namespace: config.namespace.clone(),
        scoped_gateways: config.switches.scoped_gateways,
        revision: config.revision.as_str().into(),
        tags: config.tags.iter().map(|tag| tag.as_str().into()).collect(),
    }
}

/// What this instance says of itself.
fn about(config: &Config) -> About {
    About {
        pod: config.pod_name.clone(),
        namespace: config.namespace.clone(),
        cluster: config.cluster.clone(),
        revision: config.revision.clone(),
        strict: config.strict,
    }
}

/// Who this is, as metrics that never change.
fn name_build() {
    metrics::gauge!("pilot_info", "version" => about::version()).set(1.0);
    metrics::gauge!("istio_build", "component" => "pilot", "tag" => about::version()).set(1.0);
}

/// An error with everything behind it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Lets streams end, but not for longer than asked; a second signal ends it at once.
async fn wind_down(
    mut tasks: Tasks,
    drain: Drain,
    signals: &mut Signals,
    longest: std::time::Duration,
) {
    tokio::select! {
        ended = tasks.run(drain) => {
            if let Err(error) = ended {
                tracing::warn!(%error, "a task failed while draining");
            }
        }
        () = tokio::time::sleep(longest) => tracing::warn!("gave up waiting for streams to end"),
        _again = signals.next() => {}
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of one process")]
fn spawn_servers(
    tasks: &mut Tasks,
    sockets: Sockets,
    server: Server<Desk>,
    pages: Pages,
    drain: &Drain,
) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::new(INTERNAL, e.to_string());
    if let Some(socket) = sockets.grpc {
        let socket = tokio::net::TcpListener::from_std(socket).map_err(failed)?;
        let mut drain = drain.clone();
        tasks.critical("xds", async move {
            server
                .serve(socket, async move { drain.started().await })
                .await
        });
    }
    let pages = Arc::new(pages);
    for (name, socket) in [("http", sockets.http), ("monitoring", sockets.monitoring)] {
        if let Some(socket) = socket {
            let (pages, drain) = (pages.clone(), drain.clone());
            tasks.critical(name, serve(socket, pages, drain));
        }
    }
    Ok(())
}
