//! Addresses. Envoy resolves no names where an address is expected, and has its own idea of what
//! an address is: no leading zeros, no brackets, a zone after `%` is fine.

use super::report::Report;
use meltemi_proto::envoy::config::core::v3::{
    Address, BindConfig, CidrRange, SocketAddress, address, socket_address,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address in a text, without its zone.
pub(super) fn parse(text: &str) -> Option<IpAddr> {
    if let Ok(v4) = text.parse::<Ipv4Addr>() {
        return Some(v4.into());
    }
    let (address, zone) = text.split_once('%').unwrap_or((text, "0"));
    let v6: Ipv6Addr = address.parse().ok()?;
    (!zone.is_empty()).then(|| v6.into())
}

/// A range's address; a prefix that is too long is cut by Envoy.
pub(super) fn cidr(range: &CidrRange, report: &mut Report) {
    report.at("address_prefix", |report| ip(&range.address_prefix, report));
}

/// Where connections to upstreams come from.
pub(super) fn bind(config: &BindConfig, report: &mut Report) {
    if let Some(address) = &config.source_address {
        report.at("source_address", |report| socket(address, report));
    }
}

/// An address that is listened or connected to.
pub(super) fn resolved(address: &Address, report: &mut Report) {
    match &address.address {
        Some(address::Address::SocketAddress(address)) => {
            report.at("socket_address", |report| socket(address, report));
        }
        Some(address::Address::Pipe(_) | address::Address::EnvoyInternalAddress(_)) | None => {}
    }
}

fn socket(socket: &SocketAddress, report: &mut Report) {
    if !socket.resolver_name.is_empty() {
        return;
    }
    report.at("address", |report| ip(&socket.address, report));
    if let Some(socket_address::PortSpecifier::NamedPort(name)) = &socket.port_specifier {
        report.at("named_port", |report| {
            report.add(format!("must be a number, not {name:?}"));
        });
    }
}

fn ip(text: &str, report: &mut Report) {
    if parse(text).is_none() {
        report.add(format!("must be an IP address, not {text:?}"));
    }
}
