//! The bytes of lists and watches, taken apart without decoding the objects in them.
//!
//! The API server writes `{"type":"ADDED","object":{...}}` and `{..."items":[{...},...]}`; that
//! form is cut directly. Any other spelling of the same JSON takes a detour through a tree.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::borrow::Cow;

/// One line of a watch.
#[derive(Debug, PartialEq)]
pub(crate) enum Event<'a> {
    /// The object is there and looks like this.
    Put(Cow<'a, [u8]>),
    /// The object is gone; this is how it looked.
    Gone(Cow<'a, [u8]>),
    /// Nothing happened up to this version.
    Bookmark {
        version: String,
        /// A streaming list is complete with this.
        complete: bool,
    },
    /// The watch ends, and why.
    Failed(Status),
}

/// Why the API server refuses something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// A page of a list.
#[derive(Debug, PartialEq)]
pub(crate) struct Page<'a> {
    pub(crate) items: Vec<Cow<'a, [u8]>>,
    pub(crate) version: String,
    /// Where the next page starts.
    pub(crate) next: Option<String>,
}

/// Who an object is, and which version of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Who {
    pub(crate) metadata: WhoMeta,
}

/// The part of the metadata that tells objects apart.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct WhoMeta {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) resource_version: String,
    pub(crate) generation: Option<i64>,
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

/// What came is not what an API server sends.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the API server's answer cannot be read")]
pub(crate) struct Malformed;

impl From<serde_json::Error> for Malformed {
    fn from(_: serde_json::Error) -> Self {
        Self
    }
}

/// A version as a number; 0 when it is none.
pub(crate) fn number(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}

/// Reads who an object is.
pub(crate) fn who(json: &[u8]) -> Result<Who, Malformed> {
    Ok(serde_json::from_slice(json)?)
}

/// Reads the answer to a request that failed.
pub(crate) fn status(code: u16, body: &[u8]) -> Status {
    let said: Status = serde_json::from_slice(body).unwrap_or_default();
    Status { code, ..said }
}

/// Reads one line of a watch.
pub(crate) fn event(line: &[u8]) -> Result<Event<'_>, Malformed> {
    let (kind, object) = match cut(line) {
        Some((kind, object)) => (kind.to_owned(), Cow::Borrowed(object)),
        None => {
            let mut value: Value = serde_json::from_slice(line)?;
            let kind = value.get("type").and_then(Value::as_str).ok_or(Malformed)?;
            let kind = kind.to_owned();
            let object = value.get_mut("object").ok_or(Malformed)?.take();
            (kind, Cow::Owned(object.to_string().into_bytes()))
        }
    };
    match kind.as_str() {
        "ADDED" | "MODIFIED" => Ok(Event::Put(object)),
        "DELETED" => Ok(Event::Gone(object)),
        "BOOKMARK" => {
            let who = who(&object)?.metadata;
            let marks = who.annotations.unwrap_or_default();
            Ok(Event::Bookmark {
                version: who.resource_version,
                complete: marks
                    .get("k8s.io/initial-events-end")
                    .is_some_and(|end| end == "true"),
            })
        }
        "ERROR" => {
            let status: Status = serde_json::from_slice(&object)?;
            Ok(Event::Failed(status))
        }
        _ => Err(Malformed),
    }
}

/// Type and object of a line in the API server's own spelling.
fn cut(line: &[u8]) -> Option<(&str, &[u8])> {
    let rest = line.strip_prefix(br#"{"type":""#)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    let (kind, rest) = rest.split_at_checked(end)?;
    let object = rest.strip_prefix(br#"","object":"#)?.trim_ascii_end();
    Some((std::str::from_utf8(kind).ok()?, object.strip_suffix(b"}")?))
}

#[derive(Deserialize)]
struct ListHead {
    metadata: ListMeta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    next: String,
}

/// Reads a page of a list.
pub(crate) fn page(body: &[u8]) -> Result<Page<'_>, Malformed> {
    let head: ListHead = serde_json::from_slice(body)?;
    let items = match items(body) {
        Some(items) => items.into_iter().map(Cow::Borrowed).collect(),
        None => {
            let value: Value = serde_json::from_slice(body)?;
            let items = value.get("items").and_then(Value::as_array);
            let items = items.into_iter().flatten();
            items
                .map(|item| Cow::Owned(item.to_string().into_bytes()))
                .collect()
        }
    };
    Ok(Page {
        items,
        version: head.metadata.resource_version,
        next: Some(head.metadata.next).filter(|next| !next.is_empty()),
    })
}

/// The items of a list in the API server's own spelling.
fn items(body: &[u8]) -> Option<Vec<&[u8]>> {
    const KEY: &[u8] = br#""items":["#;
    // No text holds this: quotes within texts are escaped.
    let start = body.windows(KEY.len()).position(|window| window == KEY)?;
    let mut rest = body.get(start + KEY.len()..)?.trim_ascii_start();
    let mut items = Vec::new();
    while !rest.starts_with(b"]") {
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let (item, after) = rest.split_at_checked(values.byte_offset())?;
        items.push(item);
        rest = after.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
    }
    Some(items)
}

/// What a buffer that is empty may keep.
const KEPT: usize = 64 << 10;

/// Chunks in, lines out.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
    /// Where the next line starts.
    start: usize,
    /// Up to here, the next line has no end.
    searched: usize,
}

impl Lines {
    /// Adds what arrived.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.buffer.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.buffer.is_empty() {
            self.buffer.shrink_to(KEPT);
        }
        self.buffer.extend_from_slice(chunk);
    }

    /// The next whole line.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        let fresh = self.buffer.get(self.searched..)?;
        let Some(end) = fresh.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.start..self.searched + end;
        self.start = line.end + 1;
        self.searched = self.start;
        self.buffer.get(line).map(<[u8]>::trim_ascii_end)
    }

    /// How much waits for the end of its line.
    pub(crate) fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }
}

#[cfg(test)]
mod tests;
