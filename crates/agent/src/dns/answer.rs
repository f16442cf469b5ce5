//! Writes an answer of ours: an alias first if the name has one, then addresses, as many as fit. Pure.
//!
//! By hand, because an answer is the question's own bytes and records of one form, and because the
//! library leaves room for names that are written in full, where two bytes point at the first.

use super::message::Question;
use std::net::IpAddr;

/// How long a client may keep it, in seconds.
const TTL: [u8; 4] = [0, 0, 0, 30];
/// Third byte of the header: an answer, by who knows.
const FLAGS: u8 = 0x84;
/// Third byte of the header: there is more, ask over TCP.
const CUT: u8 = 0x02;
/// Fourth byte of the header: who is asked asks others.
const RECURSES: u8 = 0x80;
/// Where the name of the question is, and where that of an alias is behind its record's begin.
const NAME: usize = 12;
/// EDNS: version 0, and answers of 1232 bytes over UDP, which fit into every path's packets.
const EDNS: [u8; 11] = [0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0];
const CNAME: u8 = 5;
const A: u8 = 1;
const AAAA: u8 = 28;

/// The addresses of a name.
#[derive(Debug)]
pub(super) struct Records {
    /// How many labels at the end of the question its alias has not; 0: there is no alias.
    pub(super) extra: usize,
    /// None says that the name is there, without addresses of that family.
    pub(super) addresses: Vec<IpAddr>,
}

/// The answer.
pub(super) fn write(question: &Question<'_>, records: &Records) -> Vec<u8> {
    let Records { extra, addresses } = records;
    let metadata = &question.metadata;
    let wants = u8::from(metadata.recursion_desired);
    let unchecked = u8::from(metadata.checking_disabled) << 4;
    let edns: &[u8] = match question.edns {
        true => &EDNS,
        false => &[],
    };
    let mut out = Vec::with_capacity(usize::from(question.limit).min(512));
    out.extend(metadata.id.to_be_bytes());
    out.extend([FLAGS | wants, RECURSES | unchecked, 0, 1, 0, 0, 0, 0, 0]);
    out.push(u8::from(question.edns));
    out.extend(question.raw);
    let room = usize::from(question.limit).saturating_sub(edns.len());
    let mut body = Body {
        out,
        room,
        owner: NAME,
        count: 0,
    };
    let mut fits = true;
    if let Some(alias) = alias(question.raw, *extra).filter(|_| !addresses.is_empty()) {
        let owner = body.out.len() + NAME;
        fits = body.push(CNAME, &alias);
        body.owner = owner;
    }
    fits = fits
        && addresses.iter().all(|address| match address {
            IpAddr::V4(ip) => body.push(A, &ip.octets()),
            IpAddr::V6(ip) => body.push(AAAA, &ip.octets()),
        });
    let Body { mut out, count, .. } = body;
    if let Some([flags, _, _, _, high, low]) = out.get_mut(2..8) {
        *flags |= if fits { 0 } else { CUT };
        [*high, *low] = count.to_be_bytes();
    }
    out.extend(edns);
    out
}

/// Records, as far as they fit.
struct Body {
    out: Vec<u8>,
    room: usize,
    /// Where the name of the next record is written already.
    owner: usize,
    count: u16,
}

impl Body {
    /// False when a record does not fit.
    fn push(&mut self, kind: u8, data: &[u8]) -> bool {
        let pointer = u16::try_from(self.owner).unwrap_or_default() | 0xc000;
        let length = u16::try_from(data.len()).unwrap_or_default();
        if self.out.len() + NAME + data.len() > self.room {
            return false;
        }
        self.out.extend(pointer.to_be_bytes());
        self.out.extend([0, kind, 0, 1]);
        self.out.extend(TTL);
        self.out.extend(length.to_be_bytes());
        self.out.extend(data);
        self.count += 1;
        true
    }
}

/// The name of a question without its last labels.
fn alias(raw: &[u8], extra: usize) -> Option<Vec<u8>> {
    let mut ends = Vec::new();
    let mut at = 0;
    while let Some(length) = raw.get(at).filter(|length| **length > 0) {
        at += 1 + usize::from(*length);
        ends.push(at);
    }
    let labels = ends.len().checked_sub(extra).filter(|_| extra > 0)?;
    let end = *ends.get(labels.checked_sub(1)?)?;
    Some([raw.get(..end)?, &[0]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::{Message, MessageType, Metadata, OpCode, Query, ResponseCode};
    use hickory_proto::rr::{Name, RecordType};
    use hickory_proto::serialize::binary::BinEncodable;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn answer(name: &str, records: &Records, (limit, edns): (u16, bool)) -> Vec<u8> {
        let query = Query::query(Name::from_ascii(name).unwrap(), RecordType::A);
        let raw = query.to_bytes().unwrap();
        let question = Question {
            metadata: Metadata::new(77, MessageType::Query, OpCode::Query),
            query,
            raw: &raw,
            edns,
            limit,
        };
        write(&question, records)
    }

    fn read(bytes: &[u8]) -> Message {
        Message::from_vec(bytes).unwrap()
    }

    #[test]
    fn an_alias_comes_before_its_addresses() {
        let records = Records {
            extra: 2,
            addresses: vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()],
        };
        let message = read(&answer("a.com.Shop.local.", &records, (512, true)));
        let lines: Vec<_> = message.answers.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "a.com.Shop.local. 30 IN CNAME a.com.",
                "a.com. 30 IN AAAA ::1",
                "a.com. 30 IN A 127.0.0.1"
            ]
        );
        assert!(message.metadata.authoritative && !message.metadata.truncation);
        assert!(message.metadata.recursion_available && message.metadata.id == 77);
        assert_eq!(message.edns.map(|edns| edns.max_payload()), Some(1232));
    }

    #[test]
    fn no_address_is_an_answer_too() {
        let records = Records {
            extra: 2,
            addresses: Vec::new(),
        };
        let message = read(&answer("a.com.shop.local.", &records, (512, true)));
        assert_eq!(message.metadata.response_code, ResponseCode::NoError);
        assert!(message.answers.is_empty() && message.edns.is_some());
        assert!(!message.metadata.truncation);
    }

    #[test]
    fn as_many_as_fit_are_said_and_the_client_learns_that_there_are_more() {
        let many: Vec<IpAddr> = (0..5000_u32).map(|n| Ipv4Addr::from(n).into()).collect();
        let long = format!("{}.com.", vec!["x".repeat(49); 5].join("."));
        for name in ["a.com.", &long] {
            for (limit, edns) in [(512, false), (512, true), (1232, true), (65535, true)] {
                let records = Records {
                    extra: 0,
                    addresses: many.clone(),
                };
                let bytes = answer(name, &records, (limit, edns));
                let message = read(&bytes);
                let unused = usize::from(limit) - bytes.len();
                assert!(unused < 16, "{unused} of {limit} bytes are unused");
                assert!(message.metadata.truncation, "{limit}");
                assert_eq!(message.edns.is_some(), edns, "{limit}");
            }
        }
        let records = Records {
            extra: 0,
            addresses: many[..30].to_vec(),
        };
        let message = read(&answer("a.com.", &records, (512, false)));
        assert!(!message.metadata.truncation && message.answers.len() == 30);
        let records = Records {
            extra: 1,
            addresses: many[..1].to_vec(),
        };
        let message = read(&answer(&long, &records, (512, true)));
        assert!(message.metadata.truncation && message.answers.is_empty());
    }
}
