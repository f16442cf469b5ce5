//! ControlZ, as far as `istioctl admin log` uses it: log levels, shown and set while the process
//! runs. Loopback only, like istiod's: whoever may write there is in the pod already.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use meltemi_runtime::drain::Drain;
use meltemi_runtime::trace::Levels;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::net::TcpListener;

/// The parts of the process that log, and what they do.
const SCOPES: [(&str, &str); 7] = [
    ("bootstrap", "how proxies start"),
    ("ca", "the authority and what it signs"),
    ("files", "directories of YAML"),
    ("kube", "the API server of a cluster"),
    (
        "meltemid",
        "start, wiring and shutdown of the control plane",
    ),
    ("runtime", "tasks, drain, readiness"),
    ("xds", "streams of proxies"),
];

/// A scope in istiod's words.
#[derive(Debug, Serialize, Deserialize)]
struct Scope {
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    output_level: String,
    #[serde(default)]
    stack_trace_level: String,
    #[serde(default)]
    log_callers: bool,
}

/// Serves until drained.
pub(crate) async fn serve(
    socket: TcpListener,
    levels: Levels,
    mut drain: Drain,
) -> Result<(), std::io::Error> {
    let socket = tokio::net::TcpListener::from_std(socket)?;
    let router = Router::new()
        .route("/scopej/", get(all))
        .route("/scopej", get(all))
        .route("/scopej/{scope}", get(one).put(set))
        .with_state(levels);
    axum::serve(socket, router)
        .with_graceful_shutdown(async move { drain.started().await })
        .await
}

/// The package's name, as targets of log lines begin.
fn target(scope: &str) -> String {
    match scope {
        "meltemid" => scope.to_owned(),
        package => format!("meltemi_{package}"),
    }
}

fn shown(levels: &Levels, (name, description): (&str, &str)) -> Scope {
    Scope {
        name: name.to_owned(),
        description: description.to_owned(),
        output_level: levels.of(&target(name)).to_owned(),
        stack_trace_level: "none".to_owned(),
        log_callers: false,
    }
}

async fn all(State(levels): State<Levels>) -> Json<Vec<Scope>> {
    Json(SCOPES.into_iter().map(|s| shown(&levels, s)).collect())
}

async fn one(State(levels): State<Levels>, Path(name): Path<String>) -> Response {
    match SCOPES.into_iter().find(|scope| scope.0 == name) {
        Some(scope) => Json(shown(&levels, scope)).into_response(),
        None => unknown(&name),
    }
}

/// Sets what there is to set: the level. Stack traces and callers are never logged.
async fn set(State(levels): State<Levels>, Path(name): Path<String>, body: String) -> Response {
    let wanted: Scope = match serde_json::from_str(&body) {
        Ok(wanted) => wanted,
        Err(error) => return refused(&format!("unable to decode request: {error}")),
    };
    if !SCOPES.into_iter().any(|scope| scope.0 == name) {
        return unknown(&name);
    }
    if wanted.output_level.is_empty() {
        return StatusCode::ACCEPTED.into_response();
    }
    match levels.set(&target(&name), &wanted.output_level) {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(why) => refused(&why.to_string()),
    }
}

fn unknown(name: &str) -> Response {
    refused(&format!("unknown scope name: {name}"))
}

fn refused(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": why }))).into_response()
}
