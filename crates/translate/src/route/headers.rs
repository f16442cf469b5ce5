//! Changes of headers, and what may stand in them.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#Headers>.
//! Setting `host` is a rewrite of the host; Envoy refuses to change other pseudo headers, to remove
//! `host`, and values that are no format strings.

use crate::format;
use meltemi_api::networking::virtual_service::{HeaderOperations, Headers};
use meltemi_proto::envoy::config::core::v3::{
    HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction,
};

/// Envoy's bound for a header's name and value in its configuration.
const LONGEST: usize = 16_384;

/// Changes in one direction.
#[derive(Default)]
pub(super) struct Change {
    pub(super) add: Vec<HeaderValueOption>,
    pub(super) remove: Vec<String>,
}

/// Changes in both directions.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) request: Change,
    pub(super) response: Change,
    /// What the host is rewritten to.
    pub(super) host: Option<String>,
}

impl Changes {
    pub(super) fn of(headers: Option<&Headers>) -> Self {
        let Some(Headers { request, response }) = headers else {
            return Self::default();
        };
        Self {
            host: request.as_ref().and_then(host),
            request: request.as_ref().map(Change::of).unwrap_or_default(),
            response: response.as_ref().map(Change::of).unwrap_or_default(),
        }
    }

    /// Adds changes that come after these; a rewrite of the host that is there stays.
    pub(super) fn append(&mut self, more: Self) {
        self.request.append(more.request);
        self.response.append(more.response);
        self.host = self.host.take().or(more.host);
    }
}

impl Change {
    fn of(operations: &HeaderOperations) -> Self {
        let HeaderOperations { set, add, remove } = operations;
        let one = |(name, value): (&String, &String), action: HeaderAppendAction| {
            let value = format::literal(value);
            let fits = is_name(name) && !is_host(name) && is_value(&value);
            fits.then(|| HeaderValueOption {
                header: Some(HeaderValue {
                    key: name.clone(),
                    value,
                    ..HeaderValue::default()
                }),
                append_action: action.into(),
                ..HeaderValueOption::default()
            })
        };
        let set = set
            .iter()
            .filter_map(|h| one(h, HeaderAppendAction::OverwriteIfExistsOrAdd));
        let add = add
            .iter()
            .filter_map(|h| one(h, HeaderAppendAction::AppendIfExistsOrAdd));
        let remove = remove.iter().filter(|name| is_name(name) && !is_host(name));
        Self {
            add: set.chain(add).collect(),
            remove: remove.cloned().collect(),
        }
    }

    fn append(&mut self, more: Self) {
        self.add.extend(more.add);
        self.remove.extend(more.remove);
    }
}

fn is_host(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority")
}

/// The host that a request is to have: what is set stands before what is added.
fn host(operations: &HeaderOperations) -> Option<String> {
    let mut all = operations.set.iter().chain(&operations.add);
    let (_, value) = all.find(|(name, _)| is_host(name))?;
    Some(value.clone()).filter(|v| !v.is_empty() && is_value(v))
}

/// True for a header's name (a token of RFC 9110), pseudo headers excluded.
pub(super) fn is_name(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.len() <= LONGEST && name.bytes().all(token)
}

/// True for what may be matched: headers and pseudo headers.
pub(super) fn is_match_name(name: &str) -> bool {
    is_name(name.strip_prefix(':').unwrap_or(name))
}

/// True for what may be a header's value.
pub(super) fn is_value(value: &str) -> bool {
    value.len() <= LONGEST && !value.contains(['\0', '\r', '\n'])
}
