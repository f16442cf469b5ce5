//! Answers: discovery, lists, single objects, watches.

use super::Shared;
use super::store::{Expiry, Resource, Store};
use super::write;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

/// How often a watch tells how far it is.
const BOOKMARK: Duration = Duration::from_millis(200);
/// How much is written at once.
const BUFFER: usize = 64 << 10;

/// Answers the requests of a connection.
pub(super) fn serve(shared: &Shared, connection: TcpStream) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut out = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    while let Some((first, length)) = head(&mut reader)? {
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut words = first.split(' ');
        let (method, target) = (words.next(), words.next().unwrap_or_default());
        if let Some(method @ ("PATCH" | "POST")) = method {
            let answered = write::answer(shared, (method, target), &body);
            write::send(&mut out, &answered)?;
            continue;
        }
        if method != Some("GET") {
            let message = "the double reads, applies status, and takes events";
            write_json(&mut out, 405, &failure(405, "MethodNotAllowed", message))?;
            continue;
        }
        shared.store().queries.push(target.to_owned());
        let query = Query::parse(target);
        match query.is("watch") {
            true => watch(shared, &query, &mut out)?,
            false => {
                let (code, body) = plain(&shared.store(), &query);
                write_json(&mut out, code, &body)?;
            }
        }
    }
    Ok(())
}

/// The first line of a request and the length of its body; `None` at the end.
fn head(reader: &mut BufReader<TcpStream>) -> io::Result<Option<(String, usize)>> {
    let mut first = String::new();
    if reader.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            return Ok(Some((first.trim_end().to_owned(), length)));
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
}

/// A path and what is asked about it.
struct Query {
    path: String,
    parameters: BTreeMap<String, String>,
}

impl Query {
    fn parse(target: &str) -> Self {
        let (path, rest) = target.split_once('?').unwrap_or((target, ""));
        let pairs = rest.split('&').filter_map(|pair| pair.split_once('='));
        let decoded = |text: &str| text.replace("%3D", "=").replace("%2F", "/");
        Self {
            path: path.to_owned(),
            parameters: pairs
                .map(|(key, value)| (key.to_owned(), decoded(value)))
                .collect(),
        }
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.parameters.get(key).map(String::as_str)
    }

    fn is(&self, key: &str) -> bool {
        matches!(self.get(key), Some("1" | "true"))
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }

    /// The kind, and the namespace when there is one in the path. `None`: discovery.
    fn resource(&self) -> Option<(Resource, Option<&str>)> {
        let parts: Vec<_> = self.path.trim_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return None,
        };
        match rest {
            [plural] => Some((Resource::new(group, plural), None)),
            ["namespaces", namespace, plural] => {
                Some((Resource::new(group, plural), Some(*namespace)))
            }
            _ => None,
        }
    }

    /// One object: its kind, and its namespace (empty when it has none) and name.
    fn object(&self) -> Option<(Resource, (String, String))> {
        let parts: Vec<_> = self.path.trim_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return None,
        };
        let (namespace, plural, name) = match rest {
            [plural, name] => ("", plural, name),
            ["namespaces", namespace, plural, name] => (*namespace, plural, name),
            _ => return None,
        };
        let name = (namespace.to_owned(), (*name).to_owned());
        Some((Resource::new(group, plural), name))
    }

    fn wants(&self, object: &Value) -> bool {
        let text = |path: &str| {
            object
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let by_name = self
            .get("fieldSelector")
            .and_then(|s| s.strip_prefix("metadata.name="));
        let by_namespace = self.resource().and_then(|(_, namespace)| namespace);
        by_name.is_none_or(|name| name == text("/metadata/name"))
            && by_namespace.is_none_or(|namespace| namespace == text("/metadata/namespace"))
    }
}

pub(super) fn failure(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

/// The answer where nothing is, which is no Status.
fn nowhere() -> (u16, Value) {
    (404, json!("404 page not found"))
}

/// Why a kind cannot be read.
fn refused(store: &Store, resource: &Resource) -> Option<(u16, Value)> {
    if store.denied.contains(resource) {
        let message = format!(
            "{}.{} is forbidden: User \"nobody\" cannot list it at the cluster scope",
            resource.plural, resource.group
        );
        return Some((403, failure(403, "Forbidden", &message)));
    }
    if store.unserved.contains(resource) {
        let message = "the request has been made before all known paths have been installed";
        return Some((503, failure(503, "ServiceUnavailable", message)));
    }
    let known = store.content.objects.contains_key(resource);
    (!known).then(nowhere)
}

/// Discovery and lists.
fn plain(store: &Store, query: &Query) -> (u16, Value) {
    if let Some((resource, name)) = query.object() {
        return one(store, &resource, &name);
    }
    let Some((resource, _)) = query.resource() else {
        return discovery(store, query);
    };
    if let Some(refused) = refused(store, &resource) {
        return refused;
    }
    let all = store
        .content
        .objects
        .get(&resource)
        .into_iter()
        .flat_map(BTreeMap::values);
    let wanted: Vec<_> = all.filter(|object| query.wants(object)).collect();
    let start = query.number("continue").unwrap_or(0);
    let limit = query.number("limit").filter(|limit| *limit > 0);
    let end = limit.map_or(u64::MAX, |limit| start.saturating_add(limit));
    let numbered = wanted.iter().zip(0_u64..);
    let page = numbered.filter(|(_, index)| (start..end).contains(index));
    // Lists of Kubernetes' own kinds leave out which kind an item is.
    let own = !resource.group.ends_with("istio.io");
    let bare = |object: &Value| {
        let mut object = Value::clone(object);
        if let Some(fields) = object.as_object_mut().filter(|_| own) {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        object
    };
    let items: Vec<_> = page.map(|(object, _)| bare(object)).collect();
    let total = u64::try_from(wanted.len()).unwrap_or(u64::MAX);
    let mut metadata = json!({"resourceVersion": store.content.version.to_string()});
    if let (true, Some(metadata)) = (end < total, metadata.as_object_mut()) {
        metadata.insert("continue".into(), json!(end.to_string()));
    }
    (
        200,
        json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}),
    )
}

/// One object.
fn one(store: &Store, resource: &Resource, name: &(String, String)) -> (u16, Value) {
    if let Some(refused) = refused(store, resource) {
        return refused;
    }
    let all = store.content.objects.get(resource);
    match all.and_then(|all| all.get(name)) {
        Some(object) => (200, Value::clone(object)),
        None => {
            let message = format!("{} \"{}\" not found", resource.plural, name.1);
            (404, failure(404, "NotFound", &message))
        }
    }
}

fn discovery(store: &Store, query: &Query) -> (u16, Value) {
    let parts: Vec<_> = query.path.trim_matches('/').split('/').collect();
    let group = match parts.as_slice() {
        ["api", _] => "",
        ["apis", group, _] => group,
        _ => return nowhere(),
    };
    let of_group = store
        .content
        .objects
        .keys()
        .filter(|resource| resource.group == group);
    let resources: Vec<_> = of_group
        .map(|resource| json!({"name": resource.plural}))
        .collect();
    match resources.is_empty() {
        true => nowhere(),
        false => (
            200,
            json!({"kind": "APIResourceList", "resources": resources}),
        ),
    }
}

fn write_json(out: &mut TcpStream, code: u16, body: &Value) -> io::Result<()> {
    let plain = body.as_str().map(str::to_owned);
    let body = plain.unwrap_or_else(|| body.to_string());
    write!(
        out,
        "HTTP/1.1 {code} Answer\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A line of a watch: what happened, and to what.
struct Line(&'static str, Arc<str>);

/// A watch under way.
struct Watch<'a> {
    resource: Resource,
    query: &'a Query,
    /// What happened up to this version was told.
    told: u64,
}

impl Watch<'_> {
    /// The lines that are due.
    fn due(&mut self, store: &Store) -> Vec<Line> {
        let fresh = store.log.iter().rev();
        let fresh = fresh.take_while(|event| event.version > self.told);
        let own = fresh
            .filter(|event| event.resource == self.resource && self.query.wants(&event.object));
        let mut lines: Vec<_> = own
            .map(|event| Line(event.kind, event.object.text()))
            .collect();
        lines.reverse();
        self.told = self.told.max(store.content.version);
        lines
    }

    fn bookmark(&self, complete: bool) -> Line {
        let mut metadata = json!({"resourceVersion": self.told.to_string()});
        if let (true, Some(metadata)) = (complete, metadata.as_object_mut()) {
            let end = json!({"k8s.io/initial-events-end": "true"});
            metadata.insert("annotations".into(), end);
        }
        let object = json!({"metadata": metadata}).to_string();
        Line("BOOKMARK", object.into())
    }
}

/// The first lines of a watch, or the answer that there is none.
fn begin<'a>(
    store: &Store,
    resource: &Resource,
    query: &'a Query,
) -> Result<(Watch<'a>, Vec<Line>), (u16, Value)> {
    if let Some(refused) = refused(store, resource) {
        return Err(refused);
    }
    let mut watch = Watch {
        resource: resource.clone(),
        query,
        told: query
            .number("resourceVersion")
            .unwrap_or(store.content.version),
    };
    if query.is("sendInitialEvents") {
        if !store.streams {
            let message = "sendInitialEvents: Forbidden: it is not enabled";
            return Err((422, failure(422, "Invalid", message)));
        }
        watch.told = store.content.version;
        let all = store
            .content
            .objects
            .get(resource)
            .into_iter()
            .flat_map(BTreeMap::values);
        let wanted = all.filter(|object| query.wants(object));
        let mut lines: Vec<_> = wanted.map(|object| Line("ADDED", object.text())).collect();
        lines.push(watch.bookmark(true));
        return Ok((watch, lines));
    }
    match store.compacted {
        Some((version, expiry)) if watch.told < version => match expiry {
            Expiry::Event => {
                let status = failure(410, "Expired", "too old resource version");
                Ok((watch, vec![Line("ERROR", status.to_string().into())]))
            }
            Expiry::Answer => Err((410, failure(410, "Gone", "too old resource version"))),
            Expiry::TooLarge => {
                let message = "Too large resource version: 9, current: 3";
                Err((504, failure(504, "Timeout", message)))
            }
        },
        _ => Ok((watch, Vec::new())),
    }
}

fn watch(shared: &Shared, query: &Query, out: &mut TcpStream) -> io::Result<()> {
    let Some((resource, _)) = query.resource() else {
        let (code, body) = nowhere();
        return write_json(out, code, &body);
    };
    let (begun, epoch) = {
        let store = shared.store();
        (begin(&store, &resource, query), store.hush_epoch)
    };
    let (mut watch, first) = match begun {
        Err((code, body)) => return write_json(out, code, &body),
        Ok(begun) => begun,
    };
    write!(
        out,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )?;
    let seconds = query.number("timeoutSeconds").unwrap_or(300);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut lines = first;
    loop {
        write_lines(out, &lines)?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return write!(out, "0\r\n\r\n");
        }
        let mut store = shared.store();
        let idle = |store: &mut Store| !store.away && watch.is_up_to_date(store);
        let waited = shared
            .changed
            .wait_timeout_while(store, BOOKMARK.min(left), idle);
        let timeout;
        (store, timeout) = waited.map_err(|_| io::Error::other("poisoned"))?;
        if store.hushed || store.hush_epoch != epoch {
            return be_dead(shared, store);
        }
        if store.away {
            return Err(io::Error::other("away"));
        }
        lines = watch.due(&store);
        if timeout.timed_out() && query.is("allowWatchBookmarks") {
            lines.push(watch.bookmark(false));
        }
    }
}

/// Says nothing any more, not even that it is over, until the server goes away.
fn be_dead(shared: &Shared, store: MutexGuard<'_, Store>) -> io::Result<()> {
    let waited = shared.changed.wait_while(store, |store| !store.away);
    drop(waited);
    Err(io::Error::other("away"))
}

impl Watch<'_> {
    fn is_up_to_date(&self, store: &Store) -> bool {
        store
            .log
            .last()
            .is_none_or(|event| event.version <= self.told)
    }
}

fn write_lines(out: &mut TcpStream, lines: &[Line]) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER, out);
    for Line(kind, object) in lines {
        // The API server writes the type first.
        let front = format!("{{\"type\":\"{kind}\",\"object\":");
        let length = front.len() + object.len() + 2;
        write!(out, "{length:x}\r\n{front}")?;
        out.write_all(object.as_bytes())?;
        out.write_all(b"}\n\r\n")?;
    }
    out.flush()
}
