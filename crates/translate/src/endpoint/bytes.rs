//! A load assignment as bytes, straight from the endpoints.
//!
//! Messages for thousands of endpoints are mostly small texts that would be copied into strings and
//! maps only to be written out. Fields go out in the order of their numbers, as the generated code
//! writes them; a test compares the two.

use super::group::{At, Group};
use super::metadata::{Facts, ISTIO};
use super::{EndpointInput, Mtls, status};
use crate::cluster::mesh_tls::SPEAKS;
use meltemi_model::{Endpoint, EndpointAddress, Health, NetworkGateway};
use prost::encoding::{WireType, encode_key, encode_varint};
use std::fmt::{Display, Write};

/// `envoy.config.endpoint.v3.ClusterLoadAssignment`.
pub(super) fn assignment(input: &EndpointInput, groups: &[Group<'_>]) -> Vec<u8> {
    let count: usize = groups.iter().map(|group| group.members.len()).sum();
    let mut out = Out {
        bytes: Vec::with_capacity(256 + 384 * count),
        scratch: String::new(),
    };
    out.text(1, &input.name);
    for group in groups {
        out.message(2, |out| locality(out, group, &input.mtls));
    }
    out.bytes
}

/// `LocalityLbEndpoints`.
fn locality(out: &mut Out, group: &Group<'_>, mtls: &Mtls) {
    out.message(1, |out| {
        out.text(1, &group.locality.region);
        out.text(2, &group.locality.zone);
        out.text(3, &group.locality.subzone);
    });
    for member in &group.members {
        out.message(2, |out| match member.at {
            At::Endpoint(endpoint) => direct(out, endpoint, group.weight_of(member), mtls),
            At::Gateway(gateway) => far(out, gateway, group.weight_of(member)),
        });
    }
    out.wrapped(3, group.weight);
    out.number(5, group.priority);
}

/// `LbEndpoint` of a gateway.
fn far(out: &mut Out, gateway: &NetworkGateway, weight: u32) {
    out.message(1, |out| {
        socket(out, &gateway.address, gateway.port.number())
    });
    out.number(2, i32::from(status(Health::Healthy)).unsigned_abs());
    out.message(3, |out| {
        let (filter, key, value) = SPEAKS;
        out.filter(filter, std::iter::once((key, value)));
    });
    out.wrapped(4, weight);
}

/// `LbEndpoint`.
fn direct(out: &mut Out, endpoint: &Endpoint, weight: u32, mtls: &Mtls) {
    out.message(1, |out| address(out, endpoint));
    out.number(2, i32::from(status(endpoint.health)).unsigned_abs());
    let mtls = mtls.speaks(endpoint);
    let facts = Facts::of(endpoint);
    if mtls || facts.is_some() {
        out.message(3, |out| {
            if mtls {
                let (filter, key, value) = SPEAKS;
                out.filter(filter, std::iter::once((key, value)));
            }
            if let Some(facts) = &facts {
                out.filter(ISTIO, facts.iter());
            }
        });
    }
    out.wrapped(4, weight);
}

/// The `Address` inside of an `Endpoint`.
fn address(out: &mut Out, endpoint: &Endpoint) {
    let port = endpoint.port;
    match (&endpoint.address, port) {
        (EndpointAddress::Ip(ip), Some(port)) => socket(out, ip, port.number()),
        (EndpointAddress::Name(name), Some(port)) => socket(out, name, port.number()),
        (EndpointAddress::Pipe(path), _) => {
            out.message(1, |out| out.message(2, |out| out.text(1, path)));
        }
        (EndpointAddress::Ip(_) | EndpointAddress::Name(_), None)
        | (EndpointAddress::Remote, _) => {}
    }
}

/// `SocketAddress`; the port is written even if it is 0, because it is one of several choices.
fn socket(out: &mut Out, address: &impl Display, port: u32) {
    out.message(1, |out| {
        out.message(1, |out| {
            out.display(2, address);
            encode_key(3, WireType::Varint, &mut out.bytes);
            encode_varint(port.into(), &mut out.bytes);
        });
    });
}

struct Out {
    bytes: Vec<u8>,
    scratch: String,
}

impl Out {
    /// A text; an empty one is left out.
    fn text(&mut self, tag: u32, text: &str) {
        if !text.is_empty() {
            self.text_always(tag, text);
        }
    }

    fn text_always(&mut self, tag: u32, text: &str) {
        encode_key(tag, WireType::LengthDelimited, &mut self.bytes);
        encode_varint(length(text.len()), &mut self.bytes);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn display(&mut self, tag: u32, value: &impl Display) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        // Writing into a string cannot fail.
        if write!(scratch, "{value}").is_ok() {
            self.text(tag, &scratch);
        }
        self.scratch = scratch;
    }

    /// A number; 0 is left out.
    fn number(&mut self, tag: u32, number: u32) {
        if number != 0 {
            encode_key(tag, WireType::Varint, &mut self.bytes);
            encode_varint(number.into(), &mut self.bytes);
        }
    }

    /// A `google.protobuf.UInt32Value`.
    fn wrapped(&mut self, tag: u32, number: u32) {
        self.message(tag, |out| out.number(1, number));
    }

    /// One entry of `filter_metadata`: a name and a struct of texts, whose keys are sorted.
    fn filter<'a>(&mut self, name: &str, fields: impl Iterator<Item = (&'static str, &'a str)>) {
        self.message(1, |out| {
            out.text(1, name);
            out.message(2, |out| {
                for (key, value) in fields {
                    out.message(1, |out| {
                        out.text(1, key);
                        out.message(2, |out| out.text_always(3, value));
                    });
                }
            });
        });
    }

    /// A message: what `write` writes, moved behind its length once that is known.
    fn message(&mut self, tag: u32, write: impl FnOnce(&mut Self)) {
        encode_key(tag, WireType::LengthDelimited, &mut self.bytes);
        let start = self.bytes.len();
        // Most lengths take one byte.
        self.bytes.push(0);
        write(self);
        let mut size = length(self.bytes.len() - start - 1);
        let extra = prost::encoding::encoded_len_varint(size) - 1;
        if extra > 0 {
            let end = self.bytes.len();
            self.bytes.resize(end + extra, 0);
            self.bytes.copy_within(start + 1..end, start + 1 + extra);
        }
        for byte in self.bytes.iter_mut().skip(start).take(extra + 1) {
            let more = if size > 0x7f { 0x80 } else { 0 };
            *byte = (size & 0x7f) as u8 | more;
            size >>= 7;
        }
    }
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
