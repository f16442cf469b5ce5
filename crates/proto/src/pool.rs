//! The descriptors of all messages, and messages as JSON by name.
//!
//! JSON is the protobuf mapping in `snake_case`: unset fields left out, enums by name, 64-bit
//! integers as strings, an `Any` opened under `@type`. An `Any` of a message that is not compiled
//! in shows its bytes under `value` instead of failing the whole output. Reading accepts both
//! spellings of a field and refuses unknown ones.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;

use crate::canonical;

mod json;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let set: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
    // The set is a build product; a test opens it, so the empty pool is never seen.
    DescriptorPool::decode(set).unwrap_or_default()
});

/// How deep JSON or messages (an `Any` inside counts too) may be nested.
pub const MAX_DEPTH: usize = 100;

/// Why a message could not be shown or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is not in the pool.
    #[error("unknown message {0}")]
    UnknownMessage(String),
    /// The bytes are no such message.
    #[error("the bytes are not a {name}: {source}")]
    Malformed {
        /// Full name of the message.
        name: String,
        /// What the decoder said.
        source: prost::DecodeError,
    },
    /// The JSON is no such message.
    #[error("the value is not a {name}: {source}")]
    NotThisMessage {
        /// Full name of the message.
        name: String,
        /// What is wrong, with the field's name.
        source: serde_json::Error,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// The descriptors of every message compiled in, with their validation rules.
#[must_use]
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

/// The descriptor of a message, by full name.
///
/// # Errors
/// When it is not compiled in.
pub fn descriptor(type_name: &str) -> Result<MessageDescriptor, Error> {
    POOL.get_message_by_name(type_name)
        .ok_or_else(|| Error::UnknownMessage(type_name.to_owned()))
}

/// Opens bytes by reflection.
///
/// # Errors
/// When the message is not compiled in or the bytes are not one.
pub fn decode(type_name: &str, bytes: &[u8]) -> Result<DynamicMessage, Error> {
    DynamicMessage::decode(descriptor(type_name)?, bytes).map_err(|source| Error::Malformed {
        name: type_name.to_owned(),
        source,
    })
}

/// The message as JSON, its keys sorted.
///
/// # Errors
/// When the message is not compiled in, the bytes are not one, or it is nested too deep.
pub fn to_json(type_name: &str, bytes: &[u8]) -> Result<Value, Error> {
    json::write(&decode(type_name, bytes)?)
}

/// A message opened by reflection as JSON, its keys sorted.
///
/// # Errors
/// When it is nested too deep or an `Any` inside holds bytes that are not its message.
pub fn message_to_json(message: &DynamicMessage) -> Result<Value, Error> {
    json::write(message)
}

/// The bytes of the message written as JSON; equal values give equal bytes.
///
/// # Errors
/// When the message is not compiled in, the value has an unknown field or a wrong type, or it is
/// nested too deep.
pub fn from_json(type_name: &str, value: &Value) -> Result<Vec<u8>, Error> {
    Ok(canonical::encode(&message_from_json(type_name, value)?))
}

/// As [`from_json`], but opened by reflection.
///
/// # Errors
/// As [`from_json`].
pub fn message_from_json(type_name: &str, value: &Value) -> Result<DynamicMessage, Error> {
    json::check_depth(value, 0)?;
    DynamicMessage::deserialize(descriptor(type_name)?, value).map_err(|source| {
        Error::NotThisMessage {
            name: type_name.to_owned(),
            source,
        }
    })
}
