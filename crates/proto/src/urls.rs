//! The type addresses of the resources that proxies ask for.

pub use meltemi_types::xds::{
    CLUSTER, ENDPOINT, LISTENER, NAME_TABLE, PROXY_CONFIG, ROUTE, SECRET,
};

/// What every type address starts with.
pub const PREFIX: &str = "type.googleapis.com/";

/// One filter configured apart from its listener (ECDS).
pub const EXTENSION: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
/// Runtime layers (RTDS).
pub const RUNTIME: &str = "type.googleapis.com/envoy.service.runtime.v3.Runtime";

/// The message name inside a type address: what follows the last slash.
#[must_use]
pub fn message_name(type_url: &str) -> &str {
    type_url.rsplit_once('/').map_or(type_url, |(_, name)| name)
}
