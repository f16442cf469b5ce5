//! What becomes of a packet: answered from the table, refused, or somebody else's to answer.

use super::Early;
use super::answer::{self, Records};
use super::lot::shuffle;
use super::message::{self, Carrier, Question, Read};
use super::table::{Found, Table};
use crate::families;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, Name, RecordType};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// The table as it is now; `None` before the first one.
pub(super) type Tables = watch::Receiver<Option<Arc<Table>>>;

/// Decides.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) tables: Tables,
    pub(super) early: Early,
}

/// What becomes of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is not answered.
    Silence,
    /// It is answered with this.
    Answer(Vec<u8>),
    /// Somebody else knows; the client takes answers of that length.
    Forward(u16),
}

impl Desk {
    /// Decides about a packet.
    pub(super) fn decide(&self, packet: &[u8], carrier: Carrier) -> Verdict {
        let question = match message::read(packet, carrier) {
            Read::Silence => return Verdict::Silence,
            Read::Refusal(bytes) => {
                metrics::counter!(families::DNS_REQUESTS).increment(1);
                return Verdict::Answer(bytes);
            }
            Read::Question(question) => question,
        };
        metrics::counter!(families::DNS_REQUESTS).increment(1);
        let table = self.tables.borrow().clone();
        let Some(table) = table else {
            return match self.early {
                Early::Fail => Verdict::Answer(message::refusal(packet, ResponseCode::ServFail)),
                Early::Forward => Verdict::Forward(question.limit),
            };
        };
        match records(&table, &question) {
            None => Verdict::Forward(question.limit),
            Some(records) => Verdict::Answer(answer::write(&question, &records)),
        }
    }
}

/// What the table says; `None`: it does not know, or it is no question for addresses.
fn records(table: &Table, question: &Question<'_>) -> Option<Records> {
    let query = &question.query;
    if query.query_class != DNSClass::IN {
        return None;
    }
    let is_v4 = query.query_type == RecordType::A;
    if !is_v4 && query.query_type != RecordType::AAAA {
        return None;
    }
    let Found { addresses, extra } = table.find(&key(&query.name)?)?;
    let mut addresses: Vec<_> = match is_v4 {
        true => addresses.v4.iter().copied().map(IpAddr::V4).collect(),
        false => addresses.v6.iter().copied().map(IpAddr::V6).collect(),
    };
    shuffle(&mut addresses);
    Some(Records { extra, addresses })
}

/// A name in lower case; `None` for one that no table can have.
fn key(name: &Name) -> Option<String> {
    let mut key = String::with_capacity(name.len());
    for label in name.iter() {
        let text = std::str::from_utf8(label).ok()?;
        if text.contains('.') || !text.is_ascii() {
            return None;
        }
        if !key.is_empty() {
            key.push('.');
        }
        key.push_str(text);
    }
    key.make_ascii_lowercase();
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::super::table::Place;
    use super::*;
    use hickory_proto::op::{Message, MessageType, OpCode, Query};
    use meltemi_proto::istio::networking::nds::v1::name_table::NameInfo;
    use std::collections::{BTreeMap, BTreeSet};

    fn info(ips: &[&str]) -> NameInfo {
        NameInfo {
            ips: ips.iter().map(|ip| (*ip).to_owned()).collect(),
            ..NameInfo::default()
        }
    }

    fn desk(early: Early, known: bool) -> Desk {
        let rows = BTreeMap::from([
            ("a.com".to_owned(), info(&["10.0.0.1"])),
            (
                "*.b.com".to_owned(),
                info(&["10.0.0.2", "10.0.0.3", "10.0.0.4"]),
            ),
        ]);
        let place = Place::new("shop.svc.cluster.local", Some("shop.svc.cluster.local"));
        let table = known.then(|| Arc::new(Table::new(place, &rows)));
        Desk {
            tables: watch::channel(table).1,
            early,
        }
    }

    fn packet(name: &str, of: RecordType) -> Vec<u8> {
        let mut message = Message::new(9, MessageType::Query, OpCode::Query);
        let name = Name::from_ascii(name).unwrap();
        message.add_query(Query::query(name, of));
        message.to_vec().unwrap()
    }

    fn ask(desk: &Desk, name: &str, of: RecordType) -> Option<Message> {
        match desk.decide(&packet(name, of), Carrier::Udp) {
            Verdict::Answer(bytes) => Some(Message::from_vec(&bytes).unwrap()),
            Verdict::Forward(512) => None,
            other @ (Verdict::Silence | Verdict::Forward(_)) => panic!("{other:?}"),
        }
    }

    fn lines(message: &Message) -> Vec<String> {
        message.answers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_are_answered_and_everything_else_is_forwarded() {
        let desk = desk(Early::Fail, true);
        let found = ask(&desk, "A.com.", RecordType::A).unwrap();
        assert_eq!(lines(&found), ["A.com. 30 IN A 10.0.0.1"]);
        let none = ask(&desk, "a.com.", RecordType::AAAA).unwrap();
        assert!(none.answers.is_empty() && none.metadata.authoritative);
        assert_eq!(none.metadata.response_code, ResponseCode::NoError);
        for (name, of) in [
            ("a.com.", RecordType::TXT),
            ("a.com.", RecordType::HTTPS),
            ("c.com.", RecordType::A),
            ("b.com.", RecordType::A),
            (r"a\.com.", RecordType::A),
            (".", RecordType::A),
        ] {
            assert!(ask(&desk, name, of).is_none(), "{name} {of}");
        }
    }

    #[test]
    fn the_search_domain_is_answered_with_an_alias_in_the_same_answer() {
        let desk = desk(Early::Fail, true);
        let found = ask(&desk, "X.b.com.shop.svc.cluster.local.", RecordType::A).unwrap();
        let lines = lines(&found);
        assert_eq!(
            lines[0],
            "X.b.com.shop.svc.cluster.local. 30 IN CNAME X.b.com."
        );
        assert!(
            lines[1].starts_with("X.b.com. 30 IN A 10.0.0."),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn addresses_come_in_every_order() {
        let desk = desk(Early::Fail, true);
        let orders: BTreeSet<_> = (0..200)
            .map(|_| lines(&ask(&desk, "x.b.com.", RecordType::A).unwrap()))
            .collect();
        assert_eq!(orders.len(), 6);
    }

    #[test]
    fn before_the_first_table_questions_fail_or_pass() {
        let failed = ask(&desk(Early::Fail, false), "c.com.", RecordType::A).unwrap();
        assert_eq!(failed.metadata.response_code, ResponseCode::ServFail);
        assert!(ask(&desk(Early::Forward, false), "c.com.", RecordType::A).is_none());
    }
}
