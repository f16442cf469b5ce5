//! The pages for people, dashboards and probes: readiness, version, metrics, debug.
//!
//! They run on a thread and runtime of their own, so that they answer while the control plane is
//! busy. Debug pages are free on loopback; elsewhere a caller shows a token and sees the proxies of
//! its namespace, or everything when that is the root namespace (T64).

use crate::about::About;
use crate::callers::{Callers, View};
use crate::desk::pages::{Ask, PAGES, Reply};
use crate::desk::{Desk, Query as Parts};
use axum::Json;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use axum::{Extension, Router};
use meltemi_runtime::drain::Drain;
use meltemi_runtime::metrics::Metrics;
use meltemi_runtime::ready::Readiness;
use meltemi_xds::debug::Clients;
use meltemi_xds::{Credentials, Unknown};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// What the pages show.
pub(crate) struct Pages {
    pub(crate) desk: Desk,
    pub(crate) clients: Clients,
    /// Knows remote callers of debug pages; `None` knows nobody.
    pub(crate) callers: Option<Arc<Callers>>,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Metrics,
}

/// What accounts of other namespaces than the root may see, of the proxies of their own.
const OF_A_NAMESPACE: [&str; 4] = ["config_dump", "edsz", "ndsz", "syncz"];

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
        .route("/debug", get(index))
        .route("/debug/{name}", get(page))
        .layer(middleware::from_fn_with_state(pages.clone(), admit));
    Router::new()
        .route("/ready", get(ready))
        .route("/version", get(version))
        .route("/metrics", get(metrics))
        .merge(debug)
        .fallback(elsewhere)
        .with_state(pages)
}

/// Sends who writes slashes twice to the page that is meant, as istiod does: istioctl asks for
/// `//version`.
async fn elsewhere(uri: Uri) -> Response {
    let parts = uri.path().split('/').filter(|part| !part.is_empty());
    let clean: String = parts.flat_map(|part| ["/", part]).collect();
    if clean.is_empty() || clean == uri.path() {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    }
    let query = uri.query().map(|query| format!("?{query}"));
    Redirect::permanent(&format!("{clean}{}", query.unwrap_or_default())).into_response()
}

/// Lets in who may see something, and notes what.
async fn admit(
    State(pages): State<Arc<Pages>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let free = peer.ip().to_canonical().is_loopback() && !pages.desk.about.strict;
    let view = match (&pages.callers, free) {
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

/// Istio's line of text; JSON for who asks for it, by header or with `?output=json`.
async fn version(
    State(pages): State<Arc<Pages>>,
    Query(query): Query<Parts>,
    headers: HeaderMap,
) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    let json = accept.is_some_and(|types| types.contains("application/json"))
        || query.get("output").is_some_and(|output| output == "json");
    match json {
        true => Json(pages.desk.about.document()).into_response(),
        false => About::line().into_response(),
    }
}

async fn metrics(State(pages): State<Arc<Pages>>) -> Response {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], pages.metrics.render()).into_response()
}

/// The table of pages, for a browser.
async fn index() -> Html<String> {
    let rows = PAGES.iter().map(|page| {
        let (name, help) = (page.name, escape(page.help));
        format!("<tr><td><a href='/debug/{name}'>/debug/{name}</a></td><td>{help}</td></tr>\n")
    });
    Html(format!(
        "<!DOCTYPE html>\n<html>\n<head><title>Meltemi: debug pages</title></head>\n<body>\n\
         <p>Every page is JSON; add <b>?pretty</b> for one that people can read.</p>\n\
         <table>\n<tr><th>Page</th><th>What it shows</th></tr>\n{}</table>\n</body>\n</html>\n",
        rows.collect::<String>()
    ))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// One of the debug pages.
async fn page(
    State(pages): State<Arc<Pages>>,
    Extension(view): Extension<View>,
    Path(name): Path<String>,
    Query(query): Query<Parts>,
) -> Response {
    if view != View::All && !OF_A_NAMESPACE.contains(&name.as_str()) {
        return forbidden("this page is for accounts of the root namespace\n");
    }
    let ask = Ask {
        clients: &pages.clients,
        query: &query,
        view: &view,
    };
    match pages.desk.page(&name, &ask) {
        Reply::Json(value) if query.contains_key("pretty") => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (kind, format!("{value:#}\n")).into_response()
        }
        Reply::Json(value) => Json(value).into_response(),
        Reply::Refused(status, why) => {
            let status = StatusCode::from_u16(status);
            (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), why).into_response()
        }
    }
}
