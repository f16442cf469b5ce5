//! Tiny constructors of the messages that every generator needs.

use meltemi_api::duration::Duration;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::google::protobuf as wkt;
use meltemi_types::{Origin, Port};

/// A duration message.
#[must_use]
pub fn duration(value: Duration) -> wkt::Duration {
    wkt::Duration {
        seconds: value.seconds(),
        nanos: value.subsec_nanos(),
    }
}

/// No time at all; for most of Envoy's timeouts this means "none".
#[must_use]
pub fn zero() -> wkt::Duration {
    wkt::Duration {
        seconds: 0,
        nanos: 0,
    }
}

/// Whole seconds.
#[must_use]
pub fn seconds(seconds: i64) -> wkt::Duration {
    wkt::Duration { seconds, nanos: 0 }
}

/// A wrapped number.
#[must_use]
pub fn u32(value: u32) -> wkt::UInt32Value {
    wkt::UInt32Value { value }
}

/// A wrapped boolean.
#[must_use]
pub fn bool(value: bool) -> wkt::BoolValue {
    wkt::BoolValue { value }
}

/// A TCP address.
#[must_use]
pub fn address(address: impl std::fmt::Display, port: Port) -> core::Address {
    socket_address(address, port.number())
}

/// A TCP address with any port, 0 included.
#[must_use]
pub fn socket_address(address: impl std::fmt::Display, port: u32) -> core::Address {
    let socket = core::SocketAddress {
        address: address.to_string(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port)),
        ..core::SocketAddress::default()
    };
    core::Address {
        address: Some(core::address::Address::SocketAddress(socket)),
    }
}

/// A Unix domain socket.
#[must_use]
pub fn pipe(path: &str) -> core::Address {
    let pipe = core::Pipe {
        path: path.into(),
        mode: 0,
    };
    core::Address {
        address: Some(core::address::Address::Pipe(pipe)),
    }
}

/// "From the same ADS stream, and wait for it as long as it takes."
#[must_use]
pub fn ads() -> core::ConfigSource {
    core::ConfigSource {
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            core::AggregatedConfigSource {},
        )),
        initial_fetch_timeout: Some(zero()),
        resource_api_version: core::ApiVersion::V3.into(),
        ..core::ConfigSource::default()
    }
}

/// A string inside of a `Struct`.
#[must_use]
pub fn string_value(text: &str) -> wkt::Value {
    wkt::Value {
        kind: Some(wkt::value::Kind::StringValue(text.into())),
    }
}

/// The path by which Istio's tools name an object:
/// `/apis/networking.istio.io/v1/namespaces/<ns>/<kind>/<name>`.
#[must_use]
pub fn config_path(origin: &Origin) -> String {
    let object = &origin.object;
    let kind: String = object.kind.chars().fold(String::new(), |mut out, c| {
        if c.is_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.extend(c.to_lowercase());
        out
    });
    let namespace = object.namespace.as_ref().map_or("", |n| n.as_str());
    format!(
        "/apis/networking.istio.io/v1/namespaces/{namespace}/{kind}/{}",
        object.name
    )
}
