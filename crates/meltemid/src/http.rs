//! The pages for people, dashboards and probes: readiness, version, metrics, debug.
//!
//! They run on a thread and runtime of their own, so that they answer while the control plane is
//! busy. Debug pages are free on loopback; elsewhere a caller shows a token and sees the proxies of
//! its namespace, or everything when that is the root namespace (T64).

mod debug;

use crate::callers::{Callers, View};
use crate::plane::Plane;
use axum::Json;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use meltemi_runtime::drain::Drain;
use meltemi_runtime::metrics::Metrics;
use meltemi_runtime::ready::Readiness;
use meltemi_xds::debug::Clients;
use meltemi_xds::{Credentials, Unknown};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// What the pages show.
pub(crate) struct Pages {
    pub(crate) plane: Plane,
    pub(crate) clients: Clients,
    /// Knows remote callers of debug pages; `None` knows nobody.
    pub(crate) callers: Option<Arc<Callers>>,
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
        .route("/debug/registryz", get(registryz))
        .route("/debug/endpointz", get(endpointz))
        .route("/debug/configz", get(configz))
        .route("/debug/diagnosticz", get(diagnosticz))
        .layer(middleware::from_fn(everything))
        .route("/debug/syncz", get(syncz))
        .route("/debug/config_dump", get(config_dump))
        .layer(middleware::from_fn_with_state(pages.clone(), admit));
    Router::new()
        .route("/ready", get(ready))
        .route("/version", get(version))
        .route("/metrics", get(metrics))
        .merge(debug)
        .with_state(pages)
}

/// Lets in who may see something, and notes what.
async fn admit(
    State(pages): State<Arc<Pages>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let view = match (&pages.callers, peer.ip().to_canonical().is_loopback()) {
        (_, true) => View::All,
        (None, false) => {
            let text = "debug pages are served on loopback only; use kubectl port-forward\n";
            return forbidden(text);
        }
        (Some(callers), false) => match callers.view(Credentials::of(&request)).await {
            Ok(view) => view,
            Err(Unknown::Unproved(why)) => {
                return (StatusCode::UNAUTHORIZED, format!("{why}\n")).into_response();
            }
            Err(Unknown::Undecided(why)) => {
                return (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response();
            }
        },
    };
    request.extensions_mut().insert(view);
    next.run(request).await
}

/// For pages that show more than one namespace.
async fn everything(Extension(view): Extension<View>, request: Request, next: Next) -> Response {
    match view {
        View::All => next.run(request).await,
        View::Namespace(_) => forbidden("this page is for accounts of the root namespace\n"),
    }
}

fn forbidden(text: &'static str) -> Response {
    (StatusCode::FORBIDDEN, text).into_response()
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

async fn syncz(State(pages): State<Arc<Pages>>, Extension(view): Extension<View>) -> Json<Value> {
    let mut clients = pages.clients.snapshot();
    clients.retain(|client| view.shows(&client.key));
    Json(debug::syncz(&clients))
}

async fn config_dump(
    State(pages): State<Arc<Pages>>,
    Extension(view): Extension<View>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(proxy) = query.get("proxyID") else {
        return (
            StatusCode::BAD_REQUEST,
            "say which proxy: ?proxyID=POD.NAMESPACE\n",
        )
            .into_response();
    };
    if !view.shows(proxy) {
        return forbidden("you see the proxies of your own namespace only\n");
    }
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
