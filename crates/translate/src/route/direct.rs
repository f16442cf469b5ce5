//! Answers that the proxy gives by itself.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPDirectResponse>.
//! Envoy refuses a status outside of 200 to 599, and bodies above the limit of the route
//! configuration: the limit is raised to the largest one.

use super::LARGEST_BODY;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meltemi_api::networking::virtual_service::{HttpBody, HttpDirectResponse};
use meltemi_proto::envoy::config::core::v3::{DataSource, data_source::Specifier};
use meltemi_proto::envoy::config::route::v3::{DirectResponseAction, VirtualHost, route::Action};

/// The answer; `None` for a status that Envoy refuses.
pub(super) fn action(answer: &HttpDirectResponse) -> Option<DirectResponseAction> {
    let HttpDirectResponse { status, body } = answer;
    (200..600).contains(status).then(|| DirectResponseAction {
        status: *status,
        body: body.as_ref().and_then(content).map(|content| DataSource {
            specifier: Some(content),
            ..DataSource::default()
        }),
        ..DirectResponseAction::default()
    })
}

/// The answer where no destination can be.
pub(super) fn failure() -> DirectResponseAction {
    DirectResponseAction {
        status: 500,
        ..DirectResponseAction::default()
    }
}

fn content(body: &HttpBody) -> Option<Specifier> {
    let HttpBody { string, bytes } = body;
    let bytes = || STANDARD.decode(bytes.as_deref()?).ok();
    match string {
        Some(string) => Some(Specifier::InlineString(string.clone())),
        None => bytes().map(Specifier::InlineBytes),
    }
}

/// The limit that all bodies of the virtual hosts keep.
pub(super) fn largest_body(hosts: &[VirtualHost]) -> u32 {
    let bodies = hosts.iter().flat_map(|h| &h.routes).filter_map(|route| {
        let answer = match route.action.as_ref()? {
            Action::DirectResponse(answer) => answer,
            Action::Route(_)
            | Action::Redirect(_)
            | Action::FilterAction(_)
            | Action::NonForwardingAction(_) => return None,
        };
        Some(match answer.body.as_ref()?.specifier.as_ref()? {
            Specifier::InlineString(text) => text.len(),
            Specifier::InlineBytes(bytes) => bytes.len(),
            Specifier::Filename(_) | Specifier::EnvironmentVariable(_) => 0,
        })
    });
    let largest = bodies.max().and_then(|size| u32::try_from(size).ok());
    largest.unwrap_or(0).max(LARGEST_BODY)
}
