//! Writes a dynamic message as JSON.

use base64::{Engine, engine::general_purpose::STANDARD};
use prost_reflect::{
    DynamicMessage, Kind, MapKey, ReflectMessage, SerializeOptions, Value as Field,
};
use serde_json::{Map, Number, Value};

use super::{Error, MAX_DEPTH, pool};
use crate::urls;

const WELL_KNOWN: &str = "google.protobuf";

/// The message as JSON.
pub(super) fn write(message: &DynamicMessage) -> Result<Value, Error> {
    of_message(message, 0)
}

/// Fails when the value is nested too deep to be read safely.
pub(super) fn check_depth(value: &Value, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::TooDeep);
    }
    match value {
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| check_depth(item, depth + 1)),
        Value::Object(fields) => fields
            .values()
            .try_for_each(|item| check_depth(item, depth + 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn of_message(message: &DynamicMessage, depth: usize) -> Result<Value, Error> {
    if depth > MAX_DEPTH {
        return Err(Error::TooDeep);
    }
    let descriptor = message.descriptor();
    match descriptor.full_name() {
        "google.protobuf.Any" => of_any(message, depth),
        name if descriptor.package_name() == WELL_KNOWN => well_known(message, name),
        _ => {
            let mut object = Map::new();
            for (field, value) in message.fields() {
                let value = of_field(value, &field.kind(), depth)?;
                object.insert(field.name().to_owned(), value);
            }
            Ok(Value::Object(object))
        }
    }
}

/// Durations, structs, wrappers and the like have forms of their own and hold no `Any`.
fn well_known(message: &DynamicMessage, name: &str) -> Result<Value, Error> {
    message
        .serialize_with_options(
            serde_json::value::Serializer,
            &SerializeOptions::new().use_proto_field_name(true),
        )
        .map_err(|source| Error::NotThisMessage {
            name: name.to_owned(),
            source,
        })
}

fn of_any(message: &DynamicMessage, depth: usize) -> Result<Value, Error> {
    let text = message
        .get_field_by_number(1)
        .and_then(|url| url.as_str().map(str::to_owned));
    let url = text.unwrap_or_default();
    let value = message.get_field_by_number(2);
    let bytes = value
        .as_deref()
        .and_then(Field::as_bytes)
        .cloned()
        .unwrap_or_default();
    if url.is_empty() && bytes.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    let name = urls::message_name(&url);
    let shown = match pool().get_message_by_name(name) {
        None => Value::String(STANDARD.encode(&bytes)),
        Some(descriptor) => {
            let inner =
                DynamicMessage::decode(descriptor, bytes).map_err(|source| Error::Malformed {
                    name: name.to_owned(),
                    source,
                })?;
            let shown = of_message(&inner, depth + 1)?;
            if inner.descriptor().package_name() != WELL_KNOWN
                && let Value::Object(mut object) = shown
            {
                object.insert("@type".to_owned(), Value::String(url));
                return Ok(Value::Object(object));
            }
            shown
        }
    };
    let mut object = Map::new();
    object.insert("@type".to_owned(), Value::String(url));
    object.insert("value".to_owned(), shown);
    Ok(Value::Object(object))
}

fn of_field(value: &Field, kind: &Kind, depth: usize) -> Result<Value, Error> {
    Ok(match value {
        Field::Message(message) => of_message(message, depth + 1)?,
        Field::List(items) => items
            .iter()
            .map(|item| of_field(item, kind, depth))
            .collect::<Result<Vec<_>, _>>()?
            .into(),
        Field::Map(entries) => {
            let Kind::Message(entry) = kind else {
                return Ok(Value::Null);
            };
            let kind = entry.map_entry_value_field().kind();
            let mut object = Map::new();
            for (key, value) in entries {
                object.insert(of_key(key), of_field(value, &kind, depth)?);
            }
            Value::Object(object)
        }
        Field::EnumNumber(number) => kind
            .as_enum()
            .and_then(|names| names.get_value(*number))
            .map_or(Value::from(*number), |named| Value::from(named.name())),
        Field::Bool(value) => Value::from(*value),
        Field::I32(value) => Value::from(*value),
        Field::U32(value) => Value::from(*value),
        Field::I64(value) => Value::from(value.to_string()),
        Field::U64(value) => Value::from(value.to_string()),
        Field::F32(value) => of_float(f64::from(*value)),
        Field::F64(value) => of_float(*value),
        Field::String(value) => Value::from(value.as_str()),
        Field::Bytes(value) => Value::from(STANDARD.encode(value)),
    })
}

fn of_float(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => Value::from("NaN"),
        None if value > 0.0 => Value::from("Infinity"),
        None => Value::from("-Infinity"),
    }
}

fn of_key(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}
