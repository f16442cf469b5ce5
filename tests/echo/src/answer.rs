//! The answer: a JSON description of what arrived and of who answers.

use hyper::http::request::Parts;
use hyper::http::{HeaderMap, Version};
use serde::Serialize;
use std::collections::BTreeMap;

/// What one request looked like when it arrived.
#[derive(Serialize)]
pub(crate) struct Answer<'a> {
    /// Who answers.
    pub(crate) workload: &'a str,
    method: &'a str,
    /// Path and query as they arrived.
    path: &'a str,
    host: &'a str,
    protocol: &'static str,
    /// Lower-case names; several values of one name are joined by a comma.
    headers: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    body: &'a str,
}

impl<'a> Answer<'a> {
    pub(crate) fn new(workload: &'a str, parts: &'a Parts, body: &'a str) -> Self {
        Self {
            workload,
            method: parts.method.as_str(),
            path: parts.uri.path_and_query().map_or("/", |path| path.as_str()),
            host: host(parts),
            protocol: protocol(parts.version),
            headers: headers(&parts.headers),
            body,
        }
    }
}

/// HTTP/1.1 says it in a header, HTTP/2 in `:authority`.
fn host(parts: &Parts) -> &str {
    let header = parts
        .headers
        .get("host")
        .and_then(|host| host.to_str().ok());
    let authority = || parts.uri.authority().map(|authority| authority.as_str());
    header.or_else(authority).unwrap_or_default()
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        _ => "unknown",
    }
}

fn headers(map: &HeaderMap) -> BTreeMap<&str, String> {
    let mut all: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in map {
        let text = String::from_utf8_lossy(value.as_bytes());
        let joined = all.entry(name.as_str()).or_default();
        if !joined.is_empty() {
            joined.push_str(", ");
        }
        joined.push_str(&text);
    }
    all
}
