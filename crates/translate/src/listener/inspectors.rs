//! Listener filters: what is found out about a connection before a filter chain is chosen.
//!
//! An inspector waits for the client's first bytes, which breaks protocols in which the server
//! speaks first. So it runs only where some chain asks for what it finds; on the shared inbound
//! listener it is switched off by destination port.

use super::chain::{Alpn, Chain, Match, Transport};
use super::{ListenerInput, Role, Source};
use crate::wire;
use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::listener::v3 as envoy;
use meltemi_proto::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use meltemi_proto::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use meltemi_proto::envoy::extensions::filters::listener::original_src::v3::OriginalSrc;
use meltemi_proto::envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol;
use meltemi_proto::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use meltemi_proto::envoy::r#type::v3::Int32Range;
use meltemi_proto::google::protobuf as wkt;
use meltemi_types::Port;
use std::collections::BTreeSet;

/// The mark of packets that carry the client's address; the rules in the pod look for it.
const MARK: u32 = 1337;

/// The filters, in order.
pub(super) fn filters(input: &ListenerInput) -> Vec<envoy::ListenerFilter> {
    match input.role {
        Role::VirtualOutbound => Vec::new(),
        Role::Gateway => {
            let proxied = proxy_protocol(input);
            let tls = wants(input, needs_tls).then(|| tls(None));
            proxied.into_iter().chain(tls).collect()
        }
        Role::Service | Role::Ingress => {
            let tls = wants(input, needs_tls).then(|| tls(None));
            let http = wants(input, needs_http).then(|| http(None));
            tls.into_iter().chain(http).collect()
        }
        Role::VirtualInbound => {
            let original_dst = one(
                "envoy.filters.listener.original_dst",
                &OriginalDst::default(),
                None,
            );
            let original_src = (input.source == Source::Original).then(|| {
                let config = OriginalSrc {
                    mark: MARK,
                    ..OriginalSrc::default()
                };
                one("envoy.filters.listener.original_src", &config, None)
            });
            let tls = wants(input, needs_tls).then(|| tls(disabled(input, needs_tls)));
            let http = wants(input, needs_http).then(|| http(disabled(input, needs_http)));
            let first = [original_dst].into_iter().chain(original_src);
            first.chain(tls).chain(http).collect()
        }
    }
}

/// Reads the PROXY protocol, where the proxy in front speaks it.
fn proxy_protocol(input: &ListenerInput) -> Option<envoy::ListenerFilter> {
    let topology = input.traits.settings.topology.as_ref()?;
    topology.proxy_protocol.as_ref()?;
    let config = ProxyProtocol::default();
    Some(one("envoy.filters.listener.proxy_protocol", &config, None))
}

/// How long the inspectors wait: as mesh configuration says, where one waits for HTTP; zero, "for
/// as long as it takes", everywhere else.
pub(super) fn timeout(input: &ListenerInput) -> wkt::Duration {
    let timeout = input.traits.mesh.config.protocol_detection_timeout();
    match timeout.filter(|_| wants(input, needs_http)) {
        Some(timeout) => wire::duration(timeout),
        None => wire::zero(),
    }
}

fn needs_tls(matching: &Match) -> bool {
    let alpn = match matching.alpn {
        Alpn::Any | Alpn::PlainHttp | Alpn::PlainHttp10 => false,
        Alpn::IstioHttp | Alpn::IstioTcp | Alpn::IstioAll => true,
    };
    alpn || matching.transport == Transport::Tls || !matching.server_names.is_empty()
}

fn needs_http(matching: &Match) -> bool {
    matches!(matching.alpn, Alpn::PlainHttp | Alpn::PlainHttp10)
}

fn wants(input: &ListenerInput, needs: fn(&Match) -> bool) -> bool {
    input.chains.iter().any(|chain| needs(&chain.matching))
}

/// The ports on which an inspector must not run: those whose chains do not need it. When the
/// chains without port do not need it either, it runs on no other port than those that do.
fn disabled(
    input: &ListenerInput,
    needs: fn(&Match) -> bool,
) -> Option<envoy::ListenerFilterChainMatchPredicate> {
    use envoy::listener_filter_chain_match_predicate::Rule;
    let needing = |chain: &&Chain| needs(&chain.matching);
    let ports = |chains: Vec<&Chain>| -> BTreeSet<Port> {
        chains.iter().filter_map(|c| c.matching.port).collect()
    };
    let with = ports(input.chains.iter().filter(needing).collect());
    let elsewhere = input.chains.iter().filter(|c| c.matching.port.is_none());
    if elsewhere.into_iter().any(|chain| needing(&chain)) {
        let all = ports(input.chains.iter().collect());
        return any_of(all.difference(&with).copied());
    }
    let with = any_of(with.into_iter())?;
    Some(predicate(Rule::NotMatch(Box::new(with))))
}

/// "One of these ports". Envoy refuses a choice of one, so a single port stands alone.
fn any_of(ports: impl Iterator<Item = Port>) -> Option<envoy::ListenerFilterChainMatchPredicate> {
    use envoy::listener_filter_chain_match_predicate::{MatchSet, Rule};
    let port = |port: Port| {
        let start = i32::from(port.u16());
        predicate(Rule::DestinationPortRange(Int32Range {
            start,
            end: start + 1,
        }))
    };
    let mut rules: Vec<_> = ports.map(port).collect();
    match rules.len() {
        0 | 1 => rules.pop(),
        _ => Some(predicate(Rule::OrMatch(MatchSet { rules }))),
    }
}

fn predicate(
    rule: envoy::listener_filter_chain_match_predicate::Rule,
) -> envoy::ListenerFilterChainMatchPredicate {
    envoy::ListenerFilterChainMatchPredicate { rule: Some(rule) }
}

fn tls(disabled: Option<envoy::ListenerFilterChainMatchPredicate>) -> envoy::ListenerFilter {
    let config = TlsInspector {
        initial_read_buffer_size: Some(wire::u32(512)),
        ..TlsInspector::default()
    };
    one("envoy.filters.listener.tls_inspector", &config, disabled)
}

fn http(disabled: Option<envoy::ListenerFilterChainMatchPredicate>) -> envoy::ListenerFilter {
    one(
        "envoy.filters.listener.http_inspector",
        &HttpInspector::default(),
        disabled,
    )
}

fn one<M: prost::Message + prost::Name>(
    name: &str,
    message: &M,
    filter_disabled: Option<envoy::ListenerFilterChainMatchPredicate>,
) -> envoy::ListenerFilter {
    envoy::ListenerFilter {
        name: name.into(),
        filter_disabled,
        config_type: Some(envoy::listener_filter::ConfigType::TypedConfig(pack(
            message,
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use envoy::listener_filter_chain_match_predicate::Rule;

    #[test]
    fn a_choice_of_one_port_is_that_port() {
        let port = |n| Port::new(n).unwrap();
        assert!(any_of([].into_iter()).is_none());
        let Some(Rule::DestinationPortRange(range)) = any_of([port(80)].into_iter()).unwrap().rule
        else {
            panic!("a single range")
        };
        assert_eq!((range.start, range.end), (80, 81));
        let Some(Rule::OrMatch(set)) = any_of([port(80), port(81)].into_iter()).unwrap().rule
        else {
            panic!("a choice")
        };
        assert_eq!(set.rules.len(), 2);
    }
}
