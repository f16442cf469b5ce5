//! HTTP/1.1, h2c and WebSocket on one port, and bytes that are none of them go back as they came
//! (their first is no capital letter, as that of every method and of h2c's preface is); `/healthz` answers 200, `/seen?key=K` a count.

use crate::answer::Answer;
use crate::seen::Seen;
use crate::tcp;
use crate::websocket;
use crate::wish::Wish;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};

/// The largest body that is read, in bytes.
const BODY_LIMIT: usize = 1 << 20;

type Reply = Response<Full<Bytes>>;

/// Who answers and what it remembers.
pub(crate) struct Workload {
    name: String,
    seen: Seen,
}

impl Workload {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            seen: Seen::default(),
        }
    }
}

/// Accepts connections for ever.
pub(crate) async fn serve(listener: TcpListener, workload: Arc<Workload>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, Arc::clone(&workload)));
        }
    }
}

async fn connection(stream: TcpStream, workload: Arc<Workload>) {
    // An error here is the client's reset or our own wish to close: nothing to tell anybody.
    let _reset = stream.set_nodelay(true);
    let mut first = [0; 1];
    if !matches!(stream.peek(&mut first).await, Ok(1)) {
        return;
    }
    if !first[0].is_ascii_uppercase() {
        return tcp::echo(stream).await;
    }
    let service = service_fn(move |request| handle(Arc::clone(&workload), request));
    let _closed = auto::Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

async fn handle(workload: Arc<Workload>, request: Request<Incoming>) -> anyhow::Result<Reply> {
    if websocket::is_asked(&request) {
        return Ok(websocket::accept(request));
    }
    let (parts, body) = request.into_parts();
    let wish = match Wish::read(&parts.uri, &parts.headers, &workload.name) {
        Ok(wish) => wish,
        Err(why) => return Ok(reply(&workload, StatusCode::BAD_REQUEST, why)),
    };
    match parts.uri.path() {
        "/healthz" => return Ok(reply(&workload, StatusCode::OK, "{}".into())),
        "/seen" => {
            let seen = workload.seen.so_far(&wish.key.unwrap_or_default());
            return Ok(reply(
                &workload,
                StatusCode::OK,
                format!("{{\"seen\":{seen}}}"),
            ));
        }
        _ => {}
    }
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return Ok(reply(&workload, StatusCode::PAYLOAD_TOO_LARGE, "{}".into()));
    };
    let status = grant(&workload, wish).await?;
    Ok(describe(&workload, &parts, (status, &body.to_bytes())))
}

/// Waits and fails as asked; the status to answer with.
///
/// # Errors
/// The connection is to be closed without an answer.
async fn grant(workload: &Workload, wish: Wish) -> anyhow::Result<StatusCode> {
    let before = wish.key.map_or(0, |key| workload.seen.count(&key));
    if wish.fail_first.is_some_and(|first| before >= first) {
        return Ok(StatusCode::OK);
    }
    tokio::time::sleep(wish.delay).await;
    anyhow::ensure!(!wish.close, "closed on request");
    let usual = match wish.fail_first {
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
        None => StatusCode::OK,
    };
    Ok(wish.status.unwrap_or(usual))
}

fn describe(workload: &Workload, parts: &Parts, (status, body): (StatusCode, &Bytes)) -> Reply {
    let text = String::from_utf8_lossy(body);
    let answer = Answer::new(&workload.name, parts, &text);
    let json = serde_json::to_string(&answer).unwrap_or_default();
    reply(workload, status, json + "\n")
}

fn reply(workload: &Workload, status: StatusCode, json: String) -> Reply {
    let mut reply = Response::new(Full::from(json));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    let json = header::HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    if let Ok(name) = header::HeaderValue::from_str(&workload.name) {
        headers.insert("x-workload", name);
    }
    reply
}
