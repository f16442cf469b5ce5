//! The injection webhook (platform.md 1.3): HTTPS for the API server, with the certificate that xDS is
//! served with, which is renewed under open connections.
//!
//! Anybody who reaches the port may ask (reliability.md T61), so a question costs little, has no
//! effect, and its answer holds nothing but what becomes of the pod that was sent. The surprise: it
//! goes on answering for a moment after the process was told to end, because the API server learns
//! of that later, and where nobody answers no pod is created.

mod body;
mod bundle;
mod injector;
mod place;

pub(crate) use bundle::Bundle;
pub(crate) use injector::Injector;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use body::{Budget, Refused};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use meltemi_ca::{Asks, Connection, Limits, Tls, listen};
use meltemi_inject::{Answer, Fate};
use meltemi_kube::{InjectorSource, Told};
use meltemi_runtime::drain::Drain;
use meltemi_runtime::ready::Gate;
use meltemi_runtime::tasks::Tasks;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};

/// A question, from its first byte to its answer. The API server waits for ten seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// An API server keeps a connection that it does not use for 90 seconds; who sends no question for
/// longer than that is nobody.
const IDLE: Duration = Duration::from_secs(120);
/// A question of so many bytes is answered within a millisecond, where it was read.
const SMALL: usize = 32 << 10;
/// How long it goes on after a drain has begun.
const LINGER: Duration = Duration::from_secs(2);
/// What one address may hold open: a busy API server asks hundreds of questions at once.
const PER_ADDRESS: usize = 512;
const CONNECTIONS: usize = 8192;
/// Connections whose handshake is done and that nobody has taken yet.
const WAITING: usize = 64;

/// The webhook, before it serves.
pub(crate) struct Webhook {
    pub(crate) tls: watch::Receiver<Option<Arc<Tls>>>,
    pub(crate) injector: Arc<Injector>,
    /// Opened when questions are answered.
    pub(crate) gate: Gate,
    /// Where its settings come from; none without an API server.
    pub(crate) source: Option<InjectorSource>,
    /// What tells the API server whom to believe, if somebody is to be told.
    pub(crate) bundle: Option<Bundle>,
    /// Whether others must learn first that it ends.
    pub(crate) lingers: Lingers,
}

/// Whether it goes on for a moment after the drain has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lingers {
    /// A replica behind a Service.
    Yes,
    /// A process that nobody balances load to.
    No,
}

/// What each question needs.
struct Shared {
    injector: Arc<Injector>,
    budget: Budget,
    /// Pods are worked on at once on so many cores and no more.
    cores: Semaphore,
}

impl Webhook {
    /// Starts what serves, and what keeps its settings and the API server's trust.
    pub(crate) fn spawn(mut self, tasks: &mut Tasks, socket: TcpListener, drain: &Drain) {
        if let Some(source) = self.source.take() {
            let mut drain = drain.clone();
            tasks.critical("injector", async move {
                tokio::select! {
                    () = source.run() => {}
                    () = drain.started() => {}
                }
                Ok::<(), Infallible>(())
            });
        }
        if let Some(bundle) = self.bundle.take() {
            tasks.critical("webhook bundle", bundle.run(drain.clone()));
        }
        tasks.critical("webhook", self.serve(socket, drain.clone()));
    }

    /// Serves from the first certificate and the first settings on, until drained.
    async fn serve(mut self, socket: TcpListener, mut drain: Drain) -> Result<(), io::Error> {
        let socket = tokio::net::TcpListener::from_std(socket)?;
        let tls = tokio::select! {
            tls = first(&mut self.tls) => tls,
            () = drain.started() => None,
        };
        let Some(tls) = tls else {
            drain.started().await;
            return Ok(());
        };
        let mut told = self.injector.told.clone();
        tokio::select! {
            _known = told.wait_for(|told| *told != Told::Unread) => {}
            () = drain.started() => return Ok(()),
        }
        let limits = Limits {
            per_address: PER_ADDRESS,
            connections: CONNECTIONS,
            asks: Asks::Nothing,
            ..Limits::default()
        };
        let (ready, mut accepted) = mpsc::channel(WAITING);
        let listening = tokio::spawn(listen::listen(socket, (tls, limits), ready));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Arc::new(Shared {
            injector: self.injector,
            budget: Budget::default(),
            cores: Semaphore::new(cores),
        });
        self.gate.open();
        tracing::info!("the injection webhook is served");
        let mut end = Box::pin(end(drain.clone(), self.lingers));
        loop {
            tokio::select! {
                Some(next) = accepted.recv() => if let Ok(connection) = next {
                    tokio::spawn(talk(connection, router(shared.clone()), drain.clone()));
                },
                () = &mut end => break,
            }
        }
        listening.abort();
        Ok(())
    }
}

/// The first certificate; `None` when there will be none.
async fn first(tls: &mut watch::Receiver<Option<Arc<Tls>>>) -> Option<Arc<Tls>> {
    let shown = tls.wait_for(Option::is_some).await.ok()?;
    shown.clone()
}

async fn end(mut drain: Drain, lingers: Lingers) {
    drain.started().await;
    if lingers == Lingers::Yes {
        tokio::time::sleep(LINGER).await;
    }
}

/// Answers on one connection. When the process ends, what was begun is finished.
async fn talk(connection: Connection, router: Router, mut drain: Drain) {
    let peer = connection.peer();
    let router = router.layer(axum::Extension(ConnectInfo(peer)));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(connection), TowerToHyperService::new(router));
    let mut served = std::pin::pin!(served);
    tokio::select! {
        ended = served.as_mut() => return note(peer, ended),
        () = drain.started() => served.as_mut().graceful_shutdown(),
    }
    note(peer, served.await);
}

fn note(peer: SocketAddr, ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection to the webhook ended");
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/inject", post(inject))
        .route("/inject/{*place}", post(inject))
        .route("/ready", get(|| async { "ready\n" }))
        .with_state(shared)
}

/// Answers one question.
async fn inject(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    metrics::counter!("sidecar_injection_requests_total").increment(1);
    let began = crate::clock::now();
    let answered = tokio::time::timeout(PATIENCE, answer(shared, peer, request)).await;
    let took = crate::clock::now().saturating_duration_since(began);
    metrics::histogram!("sidecar_injection_time_seconds").record(took.as_secs_f64());
    match answered {
        Ok(Ok(answer)) => {
            count(answer.fate);
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (kind, answer.body).into_response()
        }
        Ok(Err(refused)) => {
            metrics::counter!("sidecar_injection_failure_total").increment(1);
            refused.into_response()
        }
        Err(_late) => {
            metrics::counter!("sidecar_injection_failure_total").increment(1);
            let why = "the review did not come, or was not answered, in time\n";
            (StatusCode::REQUEST_TIMEOUT, why).into_response()
        }
    }
}

async fn answer(
    shared: Arc<Shared>,
    peer: SocketAddr,
    request: Request,
) -> Result<Answer, Refused> {
    if !is_json(request.headers()) {
        return Err(Refused::NoJson);
    }
    let variables = place::variables(request.uri().path()).map_err(Refused::Place)?;
    let body = shared.budget.read(peer.ip(), request.into_body()).await?;
    let is_small = body.bytes.len() <= SMALL;
    let settings = shared.injector.settings();
    let answer = move || meltemi_inject::answer(&body.bytes, &settings, &variables);
    if is_small {
        // Another thread would cost more than the answer.
        return catch_unwind(AssertUnwindSafe(answer)).map_err(|_panicked| Refused::Broken);
    }
    let permit = shared.cores.acquire().await;
    let _permit = permit.map_err(|_closed| Refused::Broken)?;
    // Large pods take milliseconds, in which this thread would serve nobody else.
    tokio::task::spawn_blocking(answer)
        .await
        .map_err(|_panicked| Refused::Broken)
}

/// Counts an answer, by Istio's names.
fn count(fate: Fate) {
    match fate {
        Fate::Injected => metrics::counter!("sidecar_injection_success_total").increment(1),
        Fate::Skipped(rule) => {
            if let Some(rule) = rule {
                tracing::debug!(%rule, "a pod was not injected");
            }
            metrics::counter!("sidecar_injection_skip_total").increment(1);
        }
        Fate::Refused => metrics::counter!("sidecar_injection_failure_total").increment(1),
    }
}

/// Whether it says that it is JSON; parameters may follow.
fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE);
    let said = said.and_then(|said| said.to_str().ok()).unwrap_or_default();
    let kind = said.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}
