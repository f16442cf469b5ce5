//! Which filter chain takes a connection. Envoy narrows the chains criterion by criterion: those
//! that fit best stay; only when none fits, those that do not ask.

use crate::call::{Call, Tls};
use crate::inspect::Seen;
use crate::outcome::{CallError, Stop};
use meltemi_proto::envoy::config::core::v3::CidrRange;
use meltemi_proto::envoy::config::listener::v3 as envoy;
use std::net::IpAddr;

/// How well a chain fits a criterion.
enum Fit {
    /// It does not ask.
    Unset,
    /// It asks for something else.
    No,
    /// It fits; more is better.
    Yes(usize),
}

/// The filter chain for the call.
pub(crate) fn choose<'a>(
    listener: &'a envoy::Listener,
    call: &Call,
    seen: &Seen<'_>,
) -> Result<&'a envoy::FilterChain, Stop> {
    if listener.filter_chain_matcher.is_some() {
        return Err(Stop::unsupported("filter_chain_matcher"));
    }
    if listener.fcds_config.is_some() {
        return Err(Stop::unsupported("fcds_config"));
    }
    let criteria: [&dyn Fn(&envoy::FilterChainMatch) -> Fit; 5] = [
        &|m| by_port(m, call.port),
        &|m| by_range(m, call.address),
        &|m| by_name(m, call.server_name()),
        &|m| by_transport(m, call, seen),
        &|m| by_protocol(m, seen),
    ];
    let nothing = envoy::FilterChainMatch::default();
    let mut left: Vec<&envoy::FilterChain> = listener.filter_chains.iter().collect();
    for criterion in criteria {
        left = narrow(left, |chain| {
            criterion(chain.filter_chain_match.as_ref().unwrap_or(&nothing))
        });
    }
    match left.as_slice() {
        [] => {
            let default = listener.default_filter_chain.as_ref();
            default.ok_or_else(|| CallError::NoFilterChain.into())
        }
        [one] => match one.filter_chain_match.as_ref().is_some_and(by_source) {
            true => Err(Stop::unsupported("a filter chain that asks for the source")),
            false => Ok(one),
        },
        _ => Err(CallError::MultipleFilterChains.into()),
    }
}

fn narrow(
    chains: Vec<&envoy::FilterChain>,
    fit: impl Fn(&envoy::FilterChain) -> Fit,
) -> Vec<&envoy::FilterChain> {
    let mut best = 0;
    let mut fitting = Vec::new();
    let mut unset = Vec::new();
    for chain in chains {
        match fit(chain) {
            Fit::Unset => unset.push(chain),
            Fit::No => {}
            Fit::Yes(score) => {
                if fitting.is_empty() || score > best {
                    fitting.clear();
                    best = score;
                }
                if score == best {
                    fitting.push(chain);
                }
            }
        }
    }
    if fitting.is_empty() { unset } else { fitting }
}

fn by_port(matching: &envoy::FilterChainMatch, port: u32) -> Fit {
    match &matching.destination_port {
        None => Fit::Unset,
        Some(wanted) if wanted.value == port => Fit::Yes(0),
        Some(_) => Fit::No,
    }
}

fn by_range(matching: &envoy::FilterChainMatch, address: IpAddr) -> Fit {
    if matching.prefix_ranges.is_empty() {
        return Fit::Unset;
    }
    let lengths = matching.prefix_ranges.iter();
    let longest = lengths.filter_map(|range| within(range, address)).max();
    longest.map_or(Fit::No, Fit::Yes)
}

/// The length of the range when the address is inside.
pub(crate) fn within(range: &CidrRange, address: IpAddr) -> Option<usize> {
    let base: IpAddr = range.address_prefix.parse().ok()?;
    let length = range.prefix_len.as_ref().map_or(0, |len| len.value);
    let inside = match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            let mask = u32::MAX
                .checked_shl(32_u32.checked_sub(length)?)
                .unwrap_or(0);
            base.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            let mask = u128::MAX
                .checked_shl(128_u32.checked_sub(length)?)
                .unwrap_or(0);
            base.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    };
    inside.then_some(usize::try_from(length).unwrap_or(0))
}

fn by_name(matching: &envoy::FilterChainMatch, name: &str) -> Fit {
    if matching.server_names.is_empty() {
        return Fit::Unset;
    }
    let name = name.to_ascii_lowercase();
    let fits = matching.server_names.iter().filter_map(|pattern| {
        let pattern = pattern.to_ascii_lowercase();
        match pattern.strip_prefix('*') {
            _ if pattern == name => Some(usize::MAX),
            Some(suffix) if !name.is_empty() && name.ends_with(suffix) => Some(suffix.len()),
            Some(_) | None => None,
        }
    });
    fits.max().map_or(Fit::No, Fit::Yes)
}

fn by_transport(matching: &envoy::FilterChainMatch, call: &Call, seen: &Seen<'_>) -> Fit {
    let is_tls = seen.looks_for_tls && call.tls != Tls::Plaintext;
    match (matching.transport_protocol.as_str(), is_tls) {
        ("", _) => Fit::Unset,
        ("tls", true) | ("raw_buffer", false) => Fit::Yes(0),
        (_, _) => Fit::No,
    }
}

fn by_protocol(matching: &envoy::FilterChainMatch, seen: &Seen<'_>) -> Fit {
    match matching.application_protocols.as_slice() {
        [] => Fit::Unset,
        wanted if wanted.iter().any(|name| name == seen.alpn) => Fit::Yes(0),
        _ => Fit::No,
    }
}

fn by_source(matching: &envoy::FilterChainMatch) -> bool {
    !matching.source_prefix_ranges.is_empty()
        || !matching.direct_source_prefix_ranges.is_empty()
        || !matching.source_ports.is_empty()
        || matching.source_type != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Protocol;
    use crate::inspect::inspect;
    use crate::testing;
    use serde_json::{Value, json};

    /// The name of the chain for a call, or the error.
    fn chosen(matches: &[(&str, Value)], call: &Call) -> String {
        let chain = |(name, matching): &(&str, Value)| json!({"name": name, "filter_chain_match": matching});
        let listener = testing::listener(json!({
            "name": "x",
            "filter_chains": matches.iter().map(chain).collect::<Vec<_>>(),
            "listener_filters": [testing::tls_inspector(), testing::http_inspector()],
        }));
        let seen = inspect(&listener, call).unwrap();
        match choose(&listener, call, &seen) {
            Ok(chain) => chain.name.clone(),
            Err(Stop::Error(error)) => error.to_string(),
            Err(Stop::Unsupported(what)) => what,
        }
    }

    fn range(prefix: &str, len: u32) -> Value {
        json!({"prefix_ranges": [{"address_prefix": prefix, "prefix_len": len}]})
    }

    #[test]
    fn a_port_comes_before_everything_else() {
        let chains = [
            (
                "port",
                json!({"destination_port": 80, "application_protocols": ["x"]}),
            ),
            ("any", json!({})),
        ];
        assert_eq!(chosen(&chains, &Call::new(81)), "any");
        // It never comes back to chains that were left behind.
        assert_eq!(chosen(&chains, &Call::new(80)), "no_filter_chain");
    }

    #[test]
    fn the_longest_range_wins() {
        let chains = [
            ("wide", range("10.0.0.0", 8)),
            ("narrow", range("10.1.0.0", 16)),
            ("v6", range("1234:1f1::", 32)),
            ("all6", range("::", 0)),
            ("rest", json!({})),
        ];
        let to = |address: &str| {
            let address = address.parse().unwrap();
            chosen(
                &chains,
                &Call {
                    address,
                    ..Call::new(1)
                },
            )
        };
        assert_eq!(to("10.1.2.3"), "narrow");
        assert_eq!(to("10.2.2.3"), "wide");
        assert_eq!(to("11.2.2.3"), "rest");
        assert_eq!(to("1234:1f1::1"), "v6");
        assert_eq!(to("1235::1"), "all6");
    }

    #[test]
    fn exact_names_win_over_longer_and_shorter_wildcards() {
        let chains = [
            ("com", json!({"server_names": ["*.com"]})),
            (
                "example",
                json!({"server_names": ["*.example.com", "other.org"]}),
            ),
            ("exact", json!({"server_names": ["a.example.com"]})),
        ];
        let named = |host: &str| {
            let call = Call {
                tls: Tls::Tls,
                host: host.into(),
                ..Call::new(443)
            };
            chosen(&chains, &call)
        };
        assert_eq!(named("a.example.com"), "exact");
        assert_eq!(named("b.example.com"), "example");
        assert_eq!(named("b.Example.com"), "example");
        assert_eq!(named("x.com"), "com");
        assert_eq!(named("x.org"), "no_filter_chain");
    }

    #[test]
    fn transport_and_protocol_tell_chains_apart() {
        let mesh = json!({"transport_protocol": "tls", "application_protocols": ["istio", "istio-http/1.1"]});
        let plain = json!({"transport_protocol": "raw_buffer", "application_protocols": ["http/1.1", "h2c"]});
        let chains = [
            ("mesh", mesh),
            ("tls", json!({"transport_protocol": "tls"})),
            ("http", plain),
            ("tcp", json!({"transport_protocol": "raw_buffer"})),
        ];
        let of = |tls, protocol| {
            chosen(
                &chains,
                &Call {
                    tls,
                    protocol,
                    ..Call::new(1)
                },
            )
        };
        assert_eq!(of(Tls::Mutual, Protocol::Tcp), "mesh");
        assert_eq!(of(Tls::Mutual, Protocol::Http), "mesh");
        assert_eq!(of(Tls::Mutual, Protocol::Http2), "tls");
        assert_eq!(of(Tls::Tls, Protocol::Http), "tls");
        assert_eq!(of(Tls::Plaintext, Protocol::Http2), "http");
        assert_eq!(of(Tls::Plaintext, Protocol::Tcp), "tcp");
    }

    #[test]
    fn two_chains_that_fit_alike_are_an_error() {
        let chains = [("a", json!({})), ("b", json!({}))];
        assert_eq!(chosen(&chains, &Call::new(1)), "multiple_filter_chains");
    }
}
