//! Which chain takes a connection: Envoy refuses a listener in which two chains could be equally
//! good. It takes every combination of the values of a match, names without case and ranges with
//! their host bits cut off, and refuses one that comes twice, even within one chain.

use super::address;
use super::report::Report;
use meltemi_proto::envoy::config::core::v3::CidrRange;
use meltemi_proto::envoy::config::listener::v3::filter_chain_match::ConnectionSourceType;
use meltemi_proto::envoy::config::listener::v3::{FilterChain, FilterChainMatch};
use std::collections::HashMap;
use std::net::IpAddr;

/// What a match can name, in the order in which Envoy looks.
const FACTS: [&str; 9] = [
    "destination port",
    "destination",
    "server name",
    "transport",
    "application protocol",
    "direct source",
    "source type",
    "source",
    "source port",
];

type Values = [Vec<String>; FACTS.len()];

/// Numbers for the values of one fact, so that combinations are cheap to compare.
#[derive(Default)]
struct Combinations {
    numbers: HashMap<String, u32>,
    taken: HashMap<[u32; FACTS.len()], usize>,
}

/// Looks at the matches of all chains.
pub(super) fn check(chains: &[FilterChain], report: &mut Report) {
    let mut combinations = Combinations::default();
    let everything = FilterChainMatch::default();
    let mut index = 0;
    report.each("filter_chains", chains, |report, chain| {
        report.at("filter_chain_match", |report| {
            let matched = chain.filter_chain_match.as_ref().unwrap_or(&everything);
            server_names(matched, report);
            unimplemented(matched, report);
            report.add_some(combinations.clash(index, &values(matched)));
        });
        index += 1;
    });
}

fn server_names(matched: &FilterChainMatch, report: &mut Report) {
    report.each("server_names", &matched.server_names, |report, name| {
        if name.contains('*') && !name.starts_with("*.") {
            report.add(format!(
                "must be a whole name or start with \"*.\", not {name:?}; leave it out to match \
                 every name"
            ));
        }
    });
}

fn unimplemented(matched: &FilterChainMatch, report: &mut Report) {
    if !matched.address_suffix.is_empty() || matched.suffix_len.is_some() {
        report.add("must not use address_suffix and suffix_len, which Envoy does not implement");
    }
}

impl Combinations {
    /// Takes all combinations for a chain; the first one that was taken already is the problem.
    fn clash(&mut self, chain: usize, values: &Values) -> Option<String> {
        let mut at = [0_usize; FACTS.len()];
        loop {
            let mut key = [0; FACTS.len()];
            for ((slot, values), at) in key.iter_mut().zip(values).zip(at) {
                *slot = self.number(values.get(at)?);
            }
            if let Some(other) = self.taken.insert(key, chain) {
                return Some(told(chain, other, &shown(values, at)));
            }
            // The next combination, as an odometer counts.
            let turned = at.iter_mut().zip(values).rev().find_map(|(at, values)| {
                *at += 1;
                if *at < values.len() {
                    return Some(());
                }
                *at = 0;
                None
            });
            turned?;
        }
    }

    fn number(&mut self, value: &str) -> u32 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(value.to_owned(), number);
        number
    }
}

fn told(chain: usize, other: usize, shown: &str) -> String {
    let what = if shown.is_empty() {
        "every connection".to_owned()
    } else {
        format!("the same connections ({shown})")
    };
    if chain == other {
        format!("must not match {what} twice")
    } else {
        format!("must not match {what} as filter_chains[{other}]")
    }
}

fn shown(values: &Values, at: [usize; FACTS.len()]) -> String {
    let parts = FACTS
        .iter()
        .zip(values)
        .zip(at)
        .filter_map(|((fact, values), at)| {
            let value = values.get(at).filter(|value| !value.is_empty())?;
            Some(format!("{fact} {value}"))
        });
    parts.collect::<Vec<_>>().join(", ")
}

/// The values of each fact; one empty value stands for "whatever it is".
fn values(matched: &FilterChainMatch) -> Values {
    let port = matched.destination_port.as_ref();
    let names = matched.server_names.iter();
    let source_type = match matched.source_type() {
        ConnectionSourceType::Any => "",
        ConnectionSourceType::SameIpOrLoopback => "local",
        ConnectionSourceType::External => "external",
    };
    let mut values = [
        port.map(|port| port.value.to_string())
            .into_iter()
            .collect(),
        ranges(&matched.prefix_ranges),
        names.map(|name| server_name(name)).collect(),
        vec![matched.transport_protocol.clone()],
        matched.application_protocols.clone(),
        ranges(&matched.direct_source_prefix_ranges),
        vec![source_type.to_owned()],
        ranges(&matched.source_prefix_ranges),
        matched.source_ports.iter().map(u32::to_string).collect(),
    ];
    for values in &mut values {
        if values.is_empty() {
            values.push(String::new());
        }
    }
    values
}

/// `*.a.b` and `.a.b` are the same to Envoy.
fn server_name(name: &str) -> String {
    name.strip_prefix('*').unwrap_or(name).to_ascii_lowercase()
}

fn ranges(ranges: &[CidrRange]) -> Vec<String> {
    ranges.iter().map(masked).collect()
}

/// The range with host bits cut off and its length cut to what the family has.
fn masked(range: &CidrRange) -> String {
    let length = range.prefix_len.as_ref().map_or(0, |length| length.value);
    match address::parse(&range.address_prefix) {
        Some(IpAddr::V4(address)) => {
            let length = length.min(32);
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            let address = std::net::Ipv4Addr::from(u32::from(address) & mask);
            format!("{address}/{length}")
        }
        Some(IpAddr::V6(address)) => {
            let length = length.min(128);
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            let address = std::net::Ipv6Addr::from(u128::from(address) & mask);
            format!("{address}/{length}")
        }
        // Reported where it stands.
        None => format!("{}/{length}", range.address_prefix),
    }
}
