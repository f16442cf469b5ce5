//! Requests: paths, queries, and the answers' bytes.

use crate::course::Fault;
use crate::target::Target;
use crate::wire::{self, Status};
use http::{Request, Response};
use hyper::body::{Body as _, Bytes};
use kube::Client;
use kube::client::Body;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

/// The query of a watch that begins with everything.
pub(crate) fn stream(target: &Target, version: &str, seconds: u64) -> String {
    format!(
        "{}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
         &allowWatchBookmarks=true&timeoutSeconds={seconds}{}",
        target.path(version),
        target.selector()
    )
}

/// The query of a watch from a version on.
pub(crate) fn watch(target: &Target, version: &str, from: &str, seconds: u64) -> String {
    format!(
        "{}?watch=1&resourceVersion={from}&allowWatchBookmarks=true&timeoutSeconds={seconds}{}",
        target.path(version),
        target.selector()
    )
}

/// The query of one page.
pub(crate) fn page(target: &Target, version: &str, limit: u32, next: Option<&str>) -> String {
    let next = next
        .map(|next| format!("&continue={}", escape(next)))
        .unwrap_or_default();
    format!(
        "{}?limit={limit}{next}{}",
        target.path(version),
        target.selector()
    )
}

/// Percent-encodes what is no letter, digit or one of `-._~`.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

/// Asks, and answers with the open body; an answer other than 200 is a fault.
pub(crate) async fn open(
    client: &Client,
    query: &str,
    patience: Duration,
) -> Result<Response<Body>, Fault> {
    let request = Request::get(query)
        .header(http::header::ACCEPT, "application/json")
        .header(http::header::ACCEPT_ENCODING, "identity")
        .body(Body::empty())
        .map_err(|_| Fault::Malformed)?;
    let answer = tokio::time::timeout(patience, client.send(request)).await;
    let response = match answer {
        Err(_elapsed) => return Err(Fault::Silent),
        Ok(Err(error)) => {
            tracing::debug!(%error, query, "no answer from the API server");
            return Err(Fault::Away);
        }
        Ok(Ok(response)) => response,
    };
    let code = response.status();
    if code == http::StatusCode::OK {
        return Ok(response);
    }
    let code = code.as_u16();
    let body = collect(response, patience).await.unwrap_or_default();
    Err(Fault::Status(wire::status(code, &body)))
}

/// Asks, and answers with the whole body.
pub(crate) async fn whole(
    client: &Client,
    query: &str,
    patience: Duration,
) -> Result<Bytes, Fault> {
    let response = open(client, query, patience).await?;
    collect(response, patience).await
}

async fn collect(response: Response<Body>, patience: Duration) -> Result<Bytes, Fault> {
    match tokio::time::timeout(patience, response.into_body().collect_bytes()).await {
        Err(_elapsed) => Err(Fault::Silent),
        Ok(Err(_broken)) => Err(Fault::Lost),
        Ok(Ok(bytes)) => Ok(bytes),
    }
}

/// The next chunk of a body; `None` at its end.
pub(crate) async fn chunk(body: &mut Body) -> Result<Option<Bytes>, Fault> {
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        match frame {
            None => return Ok(None),
            Some(Err(_broken)) => return Err(Fault::Lost),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Which of a target's versions the API server has; `None` when it has the kind in none.
pub(crate) async fn served(
    client: &Client,
    target: &Target,
    patience: Duration,
) -> Result<Option<&'static str>, Fault> {
    #[derive(serde::Deserialize)]
    struct Resources {
        #[serde(default)]
        resources: Vec<Named>,
    }
    #[derive(serde::Deserialize)]
    struct Named {
        name: String,
    }
    for version in target.versions() {
        let body = match whole(client, &target.root(version), patience).await {
            Err(Fault::Status(Status { code: 404, .. })) => continue,
            other => other?,
        };
        let found: Resources = serde_json::from_slice(&body).map_err(|_| Fault::Malformed)?;
        if found
            .resources
            .iter()
            .any(|named| named.name == target.plural())
        {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_types::Namespace;

    #[test]
    fn queries_ask_for_bookmarks_and_an_end() {
        let target = Target::mesh_config(Namespace::istio_system(), "istio".into());
        assert_eq!(
            watch(&target, "v1", "12", 60),
            "/api/v1/namespaces/istio-system/configmaps?watch=1&resourceVersion=12\
             &allowWatchBookmarks=true&timeoutSeconds=60&fieldSelector=metadata.name%3Distio"
        );
        assert!(stream(&target, "v1", 60).contains("sendInitialEvents=true"));
        assert!(page(&target, "v1", 500, Some("a/b=")).contains("limit=500&continue=a%2Fb%3D"));
    }
}
