//! Filter chains: which connections they take, and when two of them collide.
//!
//! Envoy refuses a listener in which two chains could take the same connection with equal
//! precedence, partial wildcards in `server_names`, and `*` there: [`Match`] cannot hold them.

use super::server_tls::ServerTls;
use super::tcp_proxy::{self, TcpSpec};
use super::{ListenerInput, Role, Traits};
use crate::http::{self, HttpSpec};
use crate::wire;
use ipnet::IpNet;
use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::core::v3 as core;
use meltemi_proto::envoy::config::listener::v3 as envoy;
use meltemi_proto::google::protobuf as wkt;
use meltemi_types::{HostPattern, Port};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What carries the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Transport {
    /// Whatever it is.
    #[default]
    Any,
    /// Nothing: plaintext.
    Raw,
    /// TLS.
    Tls,
}

/// What is spoken, as offered by the client or told by looking at the first bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Alpn {
    /// Whatever it is.
    #[default]
    Any,
    /// HTTP/1.1 or HTTP/2 in clear, seen by the HTTP inspector.
    PlainHttp,
    /// The same, and HTTP/1.0.
    PlainHttp10,
    /// HTTP inside of mesh mTLS.
    IstioHttp,
    /// Anything else inside of mesh mTLS.
    IstioTcp,
    /// Anything inside of mesh mTLS.
    IstioAll,
}

impl Alpn {
    /// The protocol names.
    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Any => &[],
            Self::PlainHttp => &["http/1.1", "h2c"],
            Self::PlainHttp10 => &["http/1.0", "http/1.1", "h2c"],
            Self::IstioHttp => &["istio-http/1.0", "istio-http/1.1", "istio-h2"],
            Self::IstioTcp => &["istio-peer-exchange", "istio"],
            Self::IstioAll => &[
                "istio-peer-exchange",
                "istio",
                "istio-http/1.0",
                "istio-http/1.1",
                "istio-h2",
            ],
        }
    }

    /// The same, with HTTP/1.0 where the proxy accepts it.
    pub(crate) fn for_proxy(self, traits: &Traits) -> Self {
        match self == Self::PlainHttp && traits.http10 {
            true => Self::PlainHttp10,
            false => self,
        }
    }
}

/// Which connections a chain takes; empty takes all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Match {
    /// The destination port.
    pub(crate) port: Option<Port>,
    /// Destination ranges, never one that holds everything.
    pub(crate) cidrs: Vec<IpNet>,
    /// Server names of TLS that Envoy accepts: never `*`.
    pub(crate) server_names: Vec<Arc<str>>,
    /// What carries the bytes.
    pub(crate) transport: Transport,
    /// What is spoken.
    pub(crate) alpn: Alpn,
}

impl Match {
    /// Connections to these ranges; a range that holds everything is no condition.
    pub(crate) fn to(cidrs: &[IpNet]) -> Self {
        let mut cidrs: Vec<IpNet> = cidrs.iter().map(IpNet::trunc).collect();
        cidrs.sort();
        cidrs.dedup();
        if cidrs.iter().any(|c| c.prefix_len() == 0) {
            cidrs.clear();
        }
        Self {
            cidrs,
            ..Self::default()
        }
    }

    /// The same, for these server names only. `None` when there are names and Envoy accepts none
    /// of them; `*` is no condition.
    pub(crate) fn with_names(mut self, hosts: &[HostPattern]) -> Option<Self> {
        if hosts.iter().any(|h| h.as_str() == "*") {
            return Some(self);
        }
        self.server_names = hosts
            .iter()
            .map(HostPattern::as_str)
            .filter(|h| h.starts_with("*.") || !h.contains('*'))
            .map(Arc::from)
            .collect();
        self.server_names.sort();
        self.server_names.dedup();
        (hosts.is_empty() || !self.server_names.is_empty()).then_some(self)
    }

    /// True when it takes every connection.
    pub(crate) fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// True when Envoy would refuse both chains in one listener.
    pub(crate) fn collides(&self, other: &Self) -> bool {
        self.port == other.port
            && self.transport == other.transport
            && overlap(self.alpn.names(), other.alpn.names())
            && overlap(&self.server_names, &other.server_names)
            && overlap(&self.cidrs, &other.cidrs)
    }

    /// What is left of it beside `other`: the server names that `other` does not take.
    pub(crate) fn beside(mut self, other: &Self) -> Option<Self> {
        if !self.collides(other) {
            return Some(self);
        }
        self.server_names
            .retain(|name| !other.server_names.contains(name));
        (!self.server_names.is_empty()).then_some(self)
    }

    fn encode(&self) -> Option<envoy::FilterChainMatch> {
        let Self {
            port,
            cidrs,
            server_names,
            transport,
            alpn,
        } = self;
        let transport = match transport {
            Transport::Any => "",
            Transport::Raw => "raw_buffer",
            Transport::Tls => "tls",
        };
        (!self.is_everything()).then(|| envoy::FilterChainMatch {
            destination_port: port.map(|p| wire::u32(p.number())),
            prefix_ranges: cidrs.iter().map(range).collect(),
            server_names: server_names.iter().map(|n| n.to_string()).collect(),
            transport_protocol: transport.into(),
            application_protocols: alpn.names().iter().map(|n| (*n).into()).collect(),
            ..envoy::FilterChainMatch::default()
        })
    }
}

/// Two lists of alternatives, where none at all means "no condition".
fn overlap<T: PartialEq>(a: &[T], b: &[T]) -> bool {
    (a.is_empty() && b.is_empty()) || a.iter().any(|x| b.contains(x))
}

fn range(cidr: &IpNet) -> core::CidrRange {
    core::CidrRange {
        address_prefix: cidr.network().to_string(),
        prefix_len: Some(wire::u32(u32::from(cidr.prefix_len()))),
    }
}

/// What is done with a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Handler {
    /// Read as HTTP.
    Http(HttpSpec),
    /// Carried as bytes.
    Tcp(TcpSpec),
}

/// One filter chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Chain {
    /// Its name; may be empty.
    pub(crate) name: Arc<str>,
    /// Which connections.
    pub(crate) matching: Match,
    /// What with them.
    pub(crate) handler: Handler,
    /// How TLS ends here; `None` leaves the bytes as they are.
    pub(crate) tls: Option<ServerTls>,
    /// The path of the object that asked for it, for Istio's tools.
    pub(crate) config: Option<Arc<str>>,
}

impl Chain {
    /// A chain without name.
    pub(crate) fn new(matching: Match, handler: Handler) -> Self {
        Self {
            name: "".into(),
            matching,
            handler,
            tls: None,
            config: None,
        }
    }

    /// The same chain with a name.
    pub(crate) fn named(self, name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// The same chain, at which TLS ends.
    pub(crate) fn ending(self, tls: Option<ServerTls>) -> Self {
        Self { tls, ..self }
    }

    /// The message.
    pub(crate) fn encode(&self, input: &ListenerInput) -> envoy::FilterChain {
        let Self {
            name,
            matching,
            handler,
            tls,
            config,
        } = self;
        let filters = match handler {
            Handler::Http(spec) => vec![http::network_filter(spec, &input.traits)],
            Handler::Tcp(spec) => tcp_proxy::filters(spec, &input.traits),
        };
        envoy::FilterChain {
            name: name.to_string(),
            filter_chain_match: matching.encode(),
            filters,
            transport_socket_connect_timeout: match input.role {
                Role::Service => Some(wire::seconds(15)),
                Role::VirtualOutbound | Role::VirtualInbound | Role::Ingress => None,
            },
            transport_socket: (tls.as_ref()).map(|tls| tls.socket(handler, &input.traits)),
            metadata: config.as_deref().map(metadata),
            ..envoy::FilterChain::default()
        }
    }
}

/// `metadata.filter_metadata.istio.config`.
fn metadata(path: &str) -> core::Metadata {
    let fields = BTreeMap::from([("config".into(), wire::string_value(path))]);
    core::Metadata {
        filter_metadata: BTreeMap::from([("istio".into(), wkt::Struct { fields })]),
        ..core::Metadata::default()
    }
}

/// A network filter with its configuration.
pub(crate) fn network_filter<M: prost::Message + prost::Name>(
    name: &str,
    message: &M,
) -> envoy::Filter {
    envoy::Filter {
        name: name.into(),
        config_type: Some(envoy::filter::ConfigType::TypedConfig(pack(message))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Vec<HostPattern> {
        names.iter().map(|n| n.parse().unwrap()).collect()
    }

    fn to(cidrs: &[&str]) -> Match {
        let cidrs: Vec<IpNet> = cidrs.iter().map(|c| c.parse().unwrap()).collect();
        Match::to(&cidrs)
    }

    #[test]
    fn partial_wildcards_and_stars_are_never_server_names() {
        let star = Match::default()
            .with_names(&hosts(&["*", "a.com"]))
            .unwrap();
        assert!(star.is_everything());
        assert_eq!(Match::default().with_names(&hosts(&["*-a.com"])), None);
        let mixed = Match::default()
            .with_names(&hosts(&["*-a.com", "*.b.com", "b.com"]))
            .unwrap();
        assert_eq!(mixed.server_names, ["*.b.com".into(), "b.com".into()]);
    }

    #[test]
    fn ranges_are_masked_and_the_whole_world_is_no_condition() {
        assert!(to(&["0.0.0.0/0"]).is_everything());
        assert!(to(&["10.1.2.3/8"]).collides(&to(&["10.0.0.0/8", "11.0.0.0/8"])));
        assert!(!to(&["10.0.0.0/8"]).collides(&to(&["10.0.0.0/16"])));
        assert!(!to(&["10.0.0.0/8"]).collides(&Match::default()));
        assert!(Match::default().collides(&Match::default()));
    }

    #[test]
    fn a_chain_beside_another_keeps_the_names_that_are_free() {
        let first = Match::default()
            .with_names(&hosts(&["a.com", "b.com"]))
            .unwrap();
        let second = Match::default()
            .with_names(&hosts(&["b.com", "c.com"]))
            .unwrap();
        let rest = second.beside(&first).unwrap();
        assert_eq!(rest.server_names, ["c.com".into()]);
        assert_eq!(first.clone().beside(&first), None);
        assert_eq!(Match::default().beside(&first), Some(Match::default()));
    }

    #[test]
    fn overlapping_protocol_lists_collide() {
        let of = |alpn| Match {
            alpn,
            ..Match::default()
        };
        assert!(of(Alpn::IstioAll).collides(&of(Alpn::IstioTcp)));
        assert!(of(Alpn::PlainHttp).collides(&of(Alpn::PlainHttp10)));
        assert!(!of(Alpn::IstioHttp).collides(&of(Alpn::IstioTcp)));
        assert!(!of(Alpn::IstioHttp).collides(&of(Alpn::Any)));
    }
}
