//! One byte form for equal messages that were built by reflection.
//!
//! Generated messages keep their maps sorted, but the maps of a dynamic message are hash maps and
//! encode in a random order. Here the entries of every map field are sorted by key in the encoded
//! bytes, inside nested messages and known `Any`s too. All else keeps its place.

use prost::encoding::{decode_varint, encode_varint};
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage};

use crate::{pool, urls};

const ANY: &str = "google.protobuf.Any";
const LENGTH_DELIMITED: u64 = 2;

/// Nothing below this many nested messages is touched.
const MAX_DEPTH: usize = 100;

/// The message as bytes, equal for equal messages.
#[must_use]
pub fn encode(message: &DynamicMessage) -> Vec<u8> {
    let bytes = prost::Message::encode_to_vec(message);
    sort(&message.descriptor(), &bytes, 0).unwrap_or(bytes)
}

/// The bytes of a message with its map entries sorted; bytes that are no message stay as they are.
fn sort(message: &MessageDescriptor, bytes: &[u8], depth: usize) -> Option<Vec<u8>> {
    if depth > MAX_DEPTH {
        return None;
    }
    let any = if message.full_name() == ANY {
        Some(inner(bytes)?)
    } else {
        None
    };
    let mut out = Vec::with_capacity(bytes.len());
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut open: Option<u32> = None;
    let mut rest = bytes;
    while !rest.is_empty() {
        let (number, wire, body) = field(&mut rest)?;
        if open != Some(number) {
            flush(&mut out, open.take(), &mut entries);
        }
        if wire != LENGTH_DELIMITED {
            encode_varint(key(number, wire), &mut out);
            out.extend_from_slice(body);
            continue;
        }
        let descriptor = message.get_field(number);
        let nested = match (&any, descriptor.as_ref().and_then(nested)) {
            (Some(inner), _) if number == 2 => inner.clone(),
            (_, nested) => nested,
        };
        let body = nested
            .and_then(|nested| sort(&nested, body, depth + 1))
            .unwrap_or_else(|| body.to_vec());
        if descriptor.is_some_and(|descriptor| descriptor.is_map()) {
            open = Some(number);
            entries.push((entry_key(&body), body));
        } else {
            put(&mut out, number, &body);
        }
    }
    flush(&mut out, open, &mut entries);
    Some(out)
}

/// Takes one field off: its number, its wire type and its payload (for a varint, its bytes).
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u32, u64, &'a [u8])> {
    let key = decode_varint(rest).ok()?;
    let number = u32::try_from(key >> 3).ok()?;
    let length = match key & 7 {
        0 => rest.iter().position(|byte| byte & 0x80 == 0)? + 1,
        1 => 8,
        LENGTH_DELIMITED => usize::try_from(decode_varint(rest).ok()?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (body, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some((number, key & 7, body))
}

/// The message inside the bytes of an `Any`, if the pool knows it.
fn inner(any: &[u8]) -> Option<Option<MessageDescriptor>> {
    let mut rest = any;
    while !rest.is_empty() {
        if let (1, LENGTH_DELIMITED, url) = field(&mut rest)? {
            let name = urls::message_name(std::str::from_utf8(url).ok()?);
            return Some(pool::pool().get_message_by_name(name));
        }
    }
    Some(None)
}

fn nested(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    field.kind().as_message().cloned()
}

/// The payload of field 1 of a map entry; empty for the default key.
fn entry_key(entry: &[u8]) -> Vec<u8> {
    let mut rest = entry;
    while !rest.is_empty() {
        match field(&mut rest) {
            Some((1, _, body)) => return body.to_vec(),
            Some(_) => {}
            None => break,
        }
    }
    Vec::new()
}

fn flush(out: &mut Vec<u8>, open: Option<u32>, entries: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    let Some(number) = open else { return };
    entries.sort();
    for (_, entry) in entries.drain(..) {
        put(out, number, &entry);
    }
}

fn put(out: &mut Vec<u8>, number: u32, body: &[u8]) {
    encode_varint(key(number, LENGTH_DELIMITED), out);
    encode_varint(body.len() as u64, out);
    out.extend_from_slice(body);
}

fn key(number: u32, wire: u64) -> u64 {
    (u64::from(number) << 3) | wire
}
