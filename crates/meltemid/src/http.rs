//! The pages for people, dashboards and probes: readiness, version, metrics, debug.
//!
//! They run on a thread and runtime of their own, so that they answer while the control plane is
//! busy. Debug pages are served to loopback only: nobody is authenticated here yet.

mod debug;

use crate::plane::Plane;
use axum::Json;
use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use meltemi_runtime::drain::Drain;
use meltemi_runtime::metrics::Metrics;
use meltemi_runtime::ready::Readiness;
use meltemi_xds::debug::Clients;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// What the pages show.
pub(crate) struct Pages {
    pub(crate) plane: Plane,
    pub(crate) clients: Clients,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Metrics,
    /// `POD.NAMESPACE` of this control plane.
    pub(crate) identity: String,
    pub(crate) revision: String,
}

/// Serves the pages until drained. The last answer to `/ready` is "not any more".
pub(crate) async fn serve(
    socket: TcpListener,
    pages: Arc<Pages>,
    drain: Drain,
) -> Result<(), String> {
    let (ended, end) = tokio::sync::oneshot::channel();
    let spawned = std::thread::Builder::new()
        .name("pages".into())
        .spawn(move || {
            // Nobody waits any more when the process ends first.
            let _ = ended.send(serve_here(socket, pages, drain));
        });
    spawned.map_err(|e| e.to_string())?;
    end.await
        .unwrap_or_else(|_| Err("the thread of the pages is gone".into()))
}

fn serve_here(socket: TcpListener, pages: Arc<Pages>, mut drain: Drain) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async move {
        let socket = tokio::net::TcpListener::from_std(socket).map_err(|e| e.to_string())?;
        let service = router(pages).into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(socket, service)
            .with_graceful_shutdown(async move { drain.started().await })
            .await
            .map_err(|e| e.to_string())
    })
}

fn router(pages: Arc<Pages>) -> Router {
    let debug = Router::new()
        .route("/debug/syncz", get(syncz))
        .route("/debug/config_dump", get(config_dump))
        .route("/debug/registryz", get(registryz))
        .route("/debug/endpointz", get(endpointz))
        .route("/debug/configz", get(configz))
        .route("/debug/diagnosticz", get(diagnosticz))
        .layer(middleware::from_fn(loopback_only));
    Router::new()
        .route("/ready", get(ready))
        .route("/version", get(version))
        .route("/metrics", get(metrics))
        .merge(debug)
        .with_state(pages)
}

async fn loopback_only(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    match peer.ip().to_canonical().is_loopback() {
        true => next.run(request).await,
        false => {
            let text = "debug pages are served on loopback only; use kubectl port-forward\n";
            (StatusCode::FORBIDDEN, text).into_response()
        }
    }
}

async fn ready(State(pages): State<Arc<Pages>>) -> Response {
    let missing = pages.readiness.missing();
    match missing.is_empty() {
        true => (StatusCode::OK, "ready\n").into_response(),
        false => {
            let text = format!("not ready: waiting for {}\n", missing.join(", "));
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn version(State(pages): State<Arc<Pages>>) -> Json<Value> {
    Json(json!({
        "apiVersion": "cli.meltemi.io/v1",
        "kind": "Version",
        "version": env!("CARGO_PKG_VERSION"),
        "revision": pages.revision,
        "identity": pages.identity,
    }))
}

async fn metrics(State(pages): State<Arc<Pages>>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], pages.metrics.render()).into_response()
}

async fn syncz(State(pages): State<Arc<Pages>>) -> Json<Value> {
    Json(debug::syncz(&pages.clients.snapshot()))
}

async fn config_dump(
    State(pages): State<Arc<Pages>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(proxy) = query.get("proxyID") else {
        return (
            StatusCode::BAD_REQUEST,
            "say which proxy: ?proxyID=POD.NAMESPACE\n",
        )
            .into_response();
    };
    match pages
        .plane
        .held(proxy)
        .map(|held| debug::config_dump(&held))
    {
        Some(Ok(document)) => Json(document).into_response(),
        Some(Err(message)) => (StatusCode::INTERNAL_SERVER_ERROR, message).into_response(),
        None => {
            let text =
                format!("proxy {proxy} is not connected; /debug/syncz lists those that are\n");
            (StatusCode::NOT_FOUND, text).into_response()
        }
    }
}

async fn registryz(State(pages): State<Arc<Pages>>) -> Json<Value> {
    Json(debug::registryz(&pages.plane.snapshot()))
}

async fn endpointz(State(pages): State<Arc<Pages>>) -> Json<Value> {
    Json(debug::endpointz(&pages.plane.snapshot()))
}

async fn configz(State(pages): State<Arc<Pages>>) -> Json<Value> {
    Json(debug::configz(&pages.plane.snapshot()))
}

async fn diagnosticz(State(pages): State<Arc<Pages>>) -> Json<Value> {
    Json(debug::diagnosticz(&pages.plane.diagnostics()))
}
