//! Listeners: where they listen and that something can take the connections.

use super::report::Report;
use super::{address, chain_match, filter_chain};
use meltemi_proto::envoy::config::core::v3::{Address, address as of, socket_address};
use meltemi_proto::envoy::config::listener::v3::Listener;

/// Looks at a listener; its filters are looked at by the walk.
pub(super) fn check(listener: &Listener, report: &mut Report) {
    if let Some(address) = &listener.address {
        report.at("address", |report| address::resolved(address, report));
    }
    report.each(
        "additional_addresses",
        &listener.additional_addresses,
        |report, additional| {
            if let Some(address) = &additional.address {
                report.at("address", |report| address::resolved(address, report));
            }
        },
    );
    if listener.filter_chains.is_empty() && needs_chains(listener) {
        report.at("filter_chains", |report| {
            report.add("must not be empty when there is no default_filter_chain either");
        });
    }
    report.each("filter_chains", &listener.filter_chains, |report, chain| {
        filter_chain::check(chain, report);
    });
    if let Some(chain) = &listener.default_filter_chain {
        report.at("default_filter_chain", |report| {
            filter_chain::check(chain, report);
        });
    }
    if listener.filter_chain_matcher.is_some() {
        filter_chain::names(&listener.filter_chains, report);
    } else {
        chain_match::check(&listener.filter_chains, report);
    }
}

fn needs_chains(listener: &Listener) -> bool {
    listener.default_filter_chain.is_none()
        && listener.fcds_config.is_none()
        && listener.api_listener.is_none()
        && !listener.address.as_ref().is_some_and(is_udp)
}

fn is_udp(address: &Address) -> bool {
    let udp = i32::from(socket_address::Protocol::Udp);
    matches!(&address.address, Some(of::Address::SocketAddress(socket)) if socket.protocol == udp)
}
