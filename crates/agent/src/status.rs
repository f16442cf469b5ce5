//! The agent's own door (15020): readiness, probes of the application, merged metrics, drain.
//!
//! Follows Istio's status server. Everything that changes something is for loopback and POST; every
//! question is bounded in time and size, because the kubelet and any pod may ask.

mod families;
mod gzip;
mod merge;
mod probe;
mod probers;
mod ready;
mod scrape;

pub(crate) use families::FAMILIES;
pub(crate) use merge::{Merge, Place};
pub(crate) use probers::Probers;
pub(crate) use ready::Ready;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use meltemi_runtime::drain::Drain;
use meltemi_runtime::metrics::Metrics;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// What somebody wants of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Drain now; the end comes with a signal.
    Drain,
    /// End now.
    Quit,
}

/// What the pages are made of.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) ready: Ready,
    pub(crate) probers: Probers,
    pub(crate) merge: Merge,
    pub(crate) metrics: Metrics,
    /// Merged metrics are for loopback only.
    pub(crate) private_metrics: bool,
    pub(crate) wishes: mpsc::Sender<Wish>,
}

/// Serves until the process ends; open answers get what is left of the drain.
pub(crate) async fn serve(
    socket: TcpListener,
    pages: Arc<Pages>,
    mut drain: Drain,
) -> std::io::Result<()> {
    let service = router(pages).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(socket, service)
        .with_graceful_shutdown(async move { drain.started().await })
        .await
}

fn router(pages: Arc<Pages>) -> Router {
    let local = Router::new()
        .route("/quitquitquit", post(quit))
        .route("/drain", post(drain))
        .route("/debug/agentz", get(about))
        .layer(middleware::from_fn(only_local));
    Router::new()
        .route("/healthz/ready", get(ready))
        .route("/stats/prometheus", get(metrics))
        .route("/metrics", get(metrics))
        .route("/app-health/{container}/{probe}", any(probe))
        .route("/app-lifecycle/{container}/{probe}", any(probe))
        .merge(local)
        .with_state(pages)
}

/// Lets in who asks from this machine.
async fn only_local(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match peer.ip().to_canonical().is_loopback() {
        true => next.run(request).await,
        false => (StatusCode::FORBIDDEN, "this page is for loopback\n").into_response(),
    }
}

async fn ready(State(pages): State<Arc<Pages>>) -> Response {
    match pages.ready.check().await {
        Ok(()) => (StatusCode::OK, "ready\n").into_response(),
        Err(why) => {
            let text = format!("not ready: {why}\n");
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn metrics(
    State(pages): State<Arc<Pages>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if pages.private_metrics && !peer.ip().to_canonical().is_loopback() {
        return (StatusCode::FORBIDDEN, "metrics are for loopback\n").into_response();
    }
    let own = pages.metrics.clone();
    pages.merge.answer(uri.query(), &headers, own).await
}

async fn probe(State(pages): State<Arc<Pages>>, uri: Uri, headers: HeaderMap) -> Response {
    let Some(prober) = pages.probers.find(uri.path()) else {
        let text = "no probe of this path; the pod's spec has changed, or it was not injected\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    };
    probe::run(prober, &pages.probers, &headers).await
}

async fn quit(State(pages): State<Arc<Pages>>) -> Response {
    wish(&pages, Wish::Quit).await
}

async fn drain(State(pages): State<Arc<Pages>>) -> Response {
    wish(&pages, Wish::Drain).await
}

async fn wish(pages: &Pages, wish: Wish) -> Response {
    match pages.wishes.send(wish).await {
        Ok(()) => (StatusCode::OK, "OK\n").into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "ending already\n").into_response(),
    }
}

/// What the agent knows of itself.
async fn about(State(pages): State<Arc<Pages>>) -> Response {
    let ready = pages.ready.check().await;
    let value = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": ready.is_ok(),
        "missing": ready.err(),
        "probes": pages.probers.paths().collect::<Vec<_>>(),
    });
    axum::Json(value).into_response()
}
