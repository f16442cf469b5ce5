//! What the stand-in answers: reviews, single objects, lists, watches in which nothing happens.
#![allow(
    clippy::indexing_slicing,
    reason = "JSON: what is absent reads as null, and is made where it is written"
)]

use super::{Request, Reviews};
use anyhow::Result;
use serde_json::{Value, json};
use std::io::Write;
use std::net::TcpStream;

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

impl Reviews {
    /// Answers one request.
    pub(super) fn answer(&self, request: &Request, stream: &TcpStream) -> Result<()> {
        if request.watches {
            return self.watch(request, stream);
        }
        let (status, body) = match (request.method.as_str(), request.path.as_str()) {
            ("POST", REVIEWS) => self.review(&request.body)?,
            ("POST", ACCESS) => self.review_access(&request.body)?,
            ("POST", path) => self.create(path, &request.body)?,
            ("PATCH" | "PUT", path) => self.apply(path, &request.body)?,
            ("GET", path) => self.get(path, &request.query),
            (method, _) => refusal(405, method),
        };
        let body = body.to_string();
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        Ok(())
    }

    fn review(&self, body: &[u8]) -> Result<(u16, Value)> {
        let mut review: Value = serde_json::from_slice(body)?;
        let mut state = self.state();
        state.reviewed.push(review["spec"].clone());
        if state.fails {
            return Ok(refusal(500, "InternalError"));
        }
        let token = review["spec"]["token"].as_str().unwrap_or_default();
        let unknown = || json!({"authenticated": false, "error": "unknown token"});
        review["status"] = state.tokens.get(token).cloned().unwrap_or_else(unknown);
        Ok((201, review))
    }

    /// Whether somebody may list the Secrets of a namespace.
    fn review_access(&self, body: &[u8]) -> Result<(u16, Value)> {
        let mut review: Value = serde_json::from_slice(body)?;
        let asked = &review["spec"]["resourceAttributes"];
        let lists = asked["verb"] == "list" && asked["resource"] == "secrets";
        let user = review["spec"]["user"].as_str().unwrap_or_default();
        let of = asked["namespace"].as_str().unwrap_or_default();
        let state = self.released();
        let mut may = state.readers.iter();
        let may = lists && may.any(|reader| *reader == (of.to_owned(), user.to_owned()));
        drop(state);
        review["status"] = json!({"allowed": may});
        Ok((201, review))
    }

    fn create(&self, path: &str, body: &[u8]) -> Result<(u16, Value)> {
        let mut object: Value = serde_json::from_slice(body)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let path = format!("{path}/{name}");
        let mut state = self.state();
        state.written += 1;
        if state.objects.contains_key(&path) {
            return Ok(refusal(409, "AlreadyExists"));
        }
        object["metadata"]["resourceVersion"] = json!(state.written.to_string());
        state.objects.insert(path, object.clone());
        Ok((201, object))
    }

    fn apply(&self, path: &str, body: &[u8]) -> Result<(u16, Value)> {
        let mut object: Value = serde_json::from_slice(body)?;
        if let Some(namespace) = path.split('/').nth(4) {
            object["metadata"]["namespace"] = json!(namespace);
        }
        let mut state = self.state();
        state.written += 1;
        object["metadata"]["resourceVersion"] = json!(state.written.to_string());
        state.objects.insert(path.to_owned(), object.clone());
        Ok((200, object))
    }

    /// One object, or the list of a kind: a list's address ends in lower-case plural.
    fn get(&self, path: &str, query: &str) -> (u16, Value) {
        let state = self.state();
        match state.objects.get(path) {
            Some(object) => (200, object.clone()),
            None if is_list(path) => {
                drop(state);
                let list = json!({
                    "apiVersion": "v1", "kind": "List",
                    "metadata": {"resourceVersion": "1"},
                    "items": self.items(path, query),
                });
                (200, list)
            }
            None => refusal(404, "NotFound"),
        }
    }

    /// The objects of a list, of those of one name when that is asked for.
    fn items(&self, path: &str, query: &str) -> Vec<Value> {
        let (whole, plural) = path.rsplit_once('/').unwrap_or_default();
        let query = query.replace("%3D", "=");
        let name = query.split_once("fieldSelector=metadata.name=");
        let name = name.map(|(_, rest)| rest.split('&').next().unwrap_or_default());
        let state = self.state();
        let all = state.objects.iter().filter(|(at, _)| {
            let (parent, own) = at.rsplit_once('/').unwrap_or_default();
            let of_kind = parent == path
                || (parent.ends_with(&format!("/{plural}")) && !whole.contains("/namespaces/"));
            of_kind && name.is_none_or(|name| name == own)
        });
        all.map(|(_, object)| object.clone()).collect()
    }

    /// A watch in which nothing happens; where the objects are asked for, they come first.
    fn watch(&self, request: &Request, stream: &TcpStream) -> Result<()> {
        let mut writer = stream;
        write!(
            writer,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        )?;
        if request.query.contains("sendInitialEvents=true") {
            let objects = self.items(&request.path, &request.query).into_iter();
            let added = objects.map(|object| json!({"type": "ADDED", "object": object}));
            let end = json!({"type": "BOOKMARK", "object": {
                "apiVersion": "v1", "kind": "List",
                "metadata": {
                    "resourceVersion": "1",
                    "annotations": {"k8s.io/initial-events-end": "true"},
                },
            }});
            for event in added.chain([end]) {
                let line = format!("{event}\n");
                write!(writer, "{:x}\r\n{line}\r\n", line.len())?;
            }
        }
        writer.flush()?;
        // Kept open for as long as this lives.
        self.state().watches.push(stream.try_clone()?);
        Ok(())
    }
}

/// An address has a name behind each plural but the last, if it is of a list.
fn is_list(path: &str) -> bool {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let version = parts.iter().position(|part| part.starts_with('v'));
    let Some(version) = version else {
        return false;
    };
    (parts.len() - version).is_multiple_of(2)
}

fn refusal(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code,
        "reason": reason, "message": reason, "metadata": {},
    });
    (code, status)
}
