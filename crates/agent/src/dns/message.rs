//! What a packet asks, and the packets that are made of others: refusals, answers that are cut.
//! Pure, for any bytes: nothing here is longer than what it answers.

use hickory_proto::op::{Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

/// The length of a header.
const HEADER: usize = 12;
/// The most that every client takes over UDP.
const SMALLEST: u16 = 512;
/// The bit of the third byte that says "this is an answer".
const RESPONSE: u8 = 0x80;
/// The bits of the third byte that a refusal keeps: the operation, and "recursion desired".
const KEPT: u8 = 0x79;
/// The bit of the third byte that says "this was cut".
const CUT: u8 = 0x02;

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Udp,
    Tcp,
}

/// What a packet is.
#[derive(Debug)]
pub(super) enum Read<'a> {
    /// Nothing that may be answered.
    Silence,
    /// A question that is answered with this.
    Refusal(Vec<u8>),
    Question(Question<'a>),
}

/// One question.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) metadata: Metadata,
    pub(super) query: Query,
    /// As it was written: name, type and class.
    pub(super) raw: &'a [u8],
    /// The client knows EDNS.
    pub(super) edns: bool,
    /// The longest answer that the client takes, in bytes.
    pub(super) limit: u16,
}

/// Reads a packet.
pub(super) fn read(packet: &[u8], carrier: Carrier) -> Read<'_> {
    let Ok(header) = Header::read(&mut BinDecoder::new(packet)) else {
        return Read::Silence;
    };
    // An answer to an answer would be the begin of a loop.
    if header.metadata.message_type != MessageType::Query {
        return Read::Silence;
    }
    let refuse = |code| Read::Refusal(refusal(packet, code));
    if header.metadata.op_code != OpCode::Query {
        return refuse(ResponseCode::NotImp);
    }
    let Ok(message) = Message::from_vec(packet) else {
        return refuse(ResponseCode::FormErr);
    };
    let mut queries = message.queries.into_iter();
    let query = match (queries.next(), queries.next()) {
        (Some(query), None) => query,
        (None, _) => return refuse(ResponseCode::ServFail),
        (Some(_), Some(_)) => return refuse(ResponseCode::FormErr),
    };
    let raw = question_end(packet).and_then(|end| packet.get(HEADER..end));
    let Some(raw) = raw else {
        return refuse(ResponseCode::FormErr);
    };
    let limit = match (carrier, &message.edns) {
        (Carrier::Tcp, _) => u16::MAX,
        (Carrier::Udp, None) => SMALLEST,
        (Carrier::Udp, Some(edns)) => edns.max_payload().max(SMALLEST),
    };
    Read::Question(Question {
        metadata: header.metadata,
        query,
        raw,
        edns: message.edns.is_some(),
        limit,
    })
}

/// A header that refuses a question, and the question if it can be read.
pub(super) fn refusal(packet: &[u8], code: ResponseCode) -> Vec<u8> {
    let end = question_end(packet).unwrap_or(HEADER);
    let mut out = head(packet, end);
    if let [_, _, flags, codes, ..] = out.as_mut_slice() {
        *flags = (*flags & KEPT) | RESPONSE;
        *codes = code.low() & 0x0f;
    }
    out
}

/// An answer of somebody else without its records, because it is too long.
pub(super) fn cut(packet: &[u8]) -> Vec<u8> {
    let end = question_end(packet).unwrap_or(HEADER);
    let mut out = head(packet, end);
    if let [_, _, flags, ..] = out.as_mut_slice() {
        *flags |= CUT;
    }
    out
}

/// A packet up to `end`, without records.
fn head(packet: &[u8], end: usize) -> Vec<u8> {
    let mut out = packet.get(..end).unwrap_or_default().to_vec();
    let questions = u8::from(end > HEADER);
    if let Some(counts) = out.get_mut(4..HEADER) {
        counts.copy_from_slice(&[0, questions, 0, 0, 0, 0, 0, 0]);
    }
    out
}

/// Where the first question ends; `None` when there is none that is whole.
fn question_end(packet: &[u8]) -> Option<usize> {
    if packet.get(4..6)? == [0, 0] {
        return None;
    }
    let mut at = HEADER;
    loop {
        let length = usize::from(*packet.get(at)?);
        match length {
            0 => break,
            1..=63 => at += 1 + length,
            // A pointer has nothing to point to yet.
            _ => return None,
        }
    }
    let end = at + 5;
    (end <= packet.len()).then_some(end)
}

/// The identifier of a packet.
pub(super) fn id(packet: &[u8]) -> Option<[u8; 2]> {
    packet.first_chunk::<2>().copied()
}

/// The packet with another identifier.
pub(super) fn with_id(packet: &[u8], id: [u8; 2]) -> Vec<u8> {
    let mut out = packet.to_vec();
    if let Some(first) = out.first_chunk_mut::<2>() {
        *first = id;
    }
    out
}

/// True when `answer` is one to `question`: the same identifier and question, whatever its case. A
/// server that could not read the question may leave it out.
pub(super) fn answers(question: &[u8], answer: &[u8]) -> bool {
    let is_answer = answer.get(2).is_some_and(|flags| flags & RESPONSE != 0);
    if answer.len() < HEADER || id(answer) != id(question) || !is_answer {
        return false;
    }
    let asked = question_end(question).and_then(|end| question.get(HEADER..end));
    match question_end(answer) {
        Some(end) => {
            let repeated = answer.get(HEADER..end);
            let equal = |(a, b): (&[u8], &[u8])| a.eq_ignore_ascii_case(b);
            asked.zip(repeated).is_some_and(equal)
        }
        None => answer.get(3).is_some_and(|codes| codes & 0x0f != 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::Edns;
    use hickory_proto::rr::{Name, RecordType};

    fn packet(change: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        let name = Name::from_ascii("a.Example.com.").unwrap();
        message.add_query(Query::query(name, RecordType::A));
        change(&mut message);
        message.to_vec().unwrap()
    }

    fn refused(packet: &[u8]) -> Message {
        let Read::Refusal(bytes) = read(packet, Carrier::Udp) else {
            panic!("{packet:?} is not refused");
        };
        assert!(bytes.len() <= packet.len(), "amplified");
        let message = Message::from_vec(&bytes).unwrap();
        assert_eq!(message.metadata.message_type, MessageType::Response);
        assert_eq!(message.metadata.id, 0x1234);
        message
    }

    fn limit(size: Option<u16>, carrier: Carrier) -> u16 {
        let packet = packet(|message| {
            if let Some(size) = size {
                message.set_edns(Edns::new().set_max_payload(size).clone());
            }
        });
        match read(&packet, carrier) {
            Read::Question(question) => question.limit,
            other @ (Read::Silence | Read::Refusal(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_client_says_how_long_an_answer_may_be() {
        assert_eq!(limit(None, Carrier::Udp), 512);
        assert_eq!(limit(Some(100), Carrier::Udp), 512);
        assert_eq!(limit(Some(1232), Carrier::Udp), 1232);
        assert_eq!(limit(Some(1232), Carrier::Tcp), 65535);
    }

    #[test]
    fn what_asks_nothing_is_refused_and_what_answers_is_not_answered() {
        let none = packet(|message| message.queries.clear());
        assert_eq!(
            refused(&none).metadata.response_code,
            ResponseCode::ServFail
        );
        let two = packet(|message| {
            let again = message.queries.clone();
            message.add_queries(again);
        });
        assert_eq!(refused(&two).metadata.response_code, ResponseCode::FormErr);
        let update = packet(|message| message.metadata.op_code = OpCode::Notify);
        let refusal = refused(&update);
        assert_eq!(refusal.metadata.response_code, ResponseCode::NotImp);
        assert!(refusal.metadata.recursion_desired && refusal.queries.len() == 1);
        let answer = packet(|message| message.metadata.message_type = MessageType::Response);
        assert!(matches!(read(&answer, Carrier::Udp), Read::Silence));
        assert!(matches!(read(&[0; 11], Carrier::Udp), Read::Silence));
    }

    /// A question and its prefixes, with every single byte set to some values that mean something.
    #[test]
    fn broken_packets_are_refused_and_never_answered_with_more() {
        let whole = packet(|message| {
            message.set_edns(Edns::new());
        });
        let mut broken: Vec<_> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
        for at in 0..whole.len() {
            for value in [0, 1, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                broken.push(bytes);
            }
        }
        // Pointers that point at themselves and forward.
        for target in [12, 13, 20, 0xff] {
            let mut bytes = whole[..12].to_vec();
            bytes.extend([0xc0, target, 0, 1, 0, 1]);
            broken.push(bytes);
        }
        for bytes in broken {
            for carrier in [Carrier::Udp, Carrier::Tcp] {
                if let Read::Refusal(refusal) = read(&bytes, carrier) {
                    assert!(refusal.len() <= bytes.len(), "{bytes:?}");
                }
            }
            assert!(cut(&bytes).len() <= bytes.len());
            answers(&whole, &bytes);
            answers(&bytes, &whole);
        }
    }

    #[test]
    fn an_answer_must_repeat_the_question() {
        let question = packet(|_| {});
        let answer = |change: fn(&mut Message)| {
            packet(|message| {
                message.metadata.message_type = MessageType::Response;
                change(message);
            })
        };
        assert!(answers(&question, &answer(|_| {})));
        assert!(!answers(&question, &question));
        assert!(!answers(&question, &answer(|m| m.metadata.id = 1)));
        assert!(answers(
            &question,
            &answer(|m| m.queries[0].name = Name::from_ascii("A.example.COM.").unwrap())
        ));
        assert!(!answers(
            &question,
            &answer(|m| m.queries[0].name = Name::from_ascii("b.example.com.").unwrap())
        ));
        assert!(!answers(
            &question,
            &answer(|m| m.queries[0].query_type = RecordType::AAAA)
        ));
        assert!(!answers(&question, &answer(|m| m.queries.clear())));
        assert!(answers(
            &question,
            &answer(|m| {
                m.queries.clear();
                m.metadata.response_code = ResponseCode::FormErr;
            })
        ));
    }
}
