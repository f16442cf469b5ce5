//! What must not be shown: fields that the API marks with `udpa.annotations.sensitive`, such as
//! private keys and passwords.
//!
//! Text and bytes become `[redacted]`, other values are left out, also in the messages inside, as
//! Envoy does it in its own dumps: what was covered here and there is equal.

use std::sync::LazyLock;

use prost_reflect::{DynamicMessage, ExtensionDescriptor, FieldDescriptor, ReflectMessage, Value};

use crate::{canonical, pool, urls};

static SENSITIVE: LazyLock<Option<ExtensionDescriptor>> =
    LazyLock::new(|| pool::pool().get_extension_by_name("udpa.annotations.sensitive"));

/// What stands where something is not shown.
const COVER: &str = "[redacted]";
const ANY: &str = "google.protobuf.Any";

/// The message of that type address without what is sensitive in it; `None` when there is nothing
/// of the kind, so that it can be shown as it is.
///
/// # Errors
/// When the message is not compiled in, the bytes are not one, or it is nested too deep.
pub fn cover(type_url: &str, bytes: &[u8]) -> Result<Option<Vec<u8>>, pool::Error> {
    let mut message = pool::decode(urls::message_name(type_url), bytes)?;
    let mut walk = Walk {
        covered: false,
        depth: 0,
    };
    walk.message(&mut message, false)?;
    Ok(walk.covered.then(|| canonical::encode(&message)))
}

struct Walk {
    covered: bool,
    /// How many messages the walk is in.
    depth: usize,
}

impl Walk {
    /// `inside` says that the message is the value of a sensitive field.
    fn message(&mut self, message: &mut DynamicMessage, inside: bool) -> Result<(), pool::Error> {
        if self.depth > pool::MAX_DEPTH {
            return Err(pool::Error::TooDeep);
        }
        self.depth += 1;
        if message.descriptor().full_name() == ANY {
            self.any(message, inside)?;
        } else {
            let set: Vec<FieldDescriptor> = message.fields().map(|(field, _)| field).collect();
            for field in set {
                let inside = inside || is_sensitive(&field);
                let mut value = message.get_field(&field).into_owned();
                let before = self.covered;
                self.covered = false;
                if !self.value(&mut value, inside)? {
                    message.clear_field(&field);
                    self.covered = true;
                } else if self.covered {
                    message.set_field(&field, value);
                }
                self.covered |= before;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// False when the value cannot be covered and has to go.
    fn value(&mut self, value: &mut Value, inside: bool) -> Result<bool, pool::Error> {
        match value {
            Value::Message(message) => self.message(message, inside)?,
            Value::List(list) => {
                for one in list {
                    if !self.value(one, inside)? {
                        return Ok(false);
                    }
                }
            }
            Value::Map(map) => {
                for one in map.values_mut() {
                    if !self.value(one, inside)? {
                        return Ok(false);
                    }
                }
            }
            Value::String(text) if inside => {
                COVER.clone_into(text);
                self.covered = true;
            }
            Value::Bytes(bytes) if inside => {
                *bytes = COVER.as_bytes().into();
                self.covered = true;
            }
            Value::String(_) | Value::Bytes(_) => {}
            Value::Bool(_)
            | Value::I32(_)
            | Value::I64(_)
            | Value::U32(_)
            | Value::U64(_)
            | Value::F32(_)
            | Value::F64(_)
            | Value::EnumNumber(_) => return Ok(!inside),
        }
        Ok(true)
    }

    /// Opens the message inside; one that is not known stays as it is, unless it is sensitive.
    fn any(&mut self, any: &mut DynamicMessage, inside: bool) -> Result<(), pool::Error> {
        let url = any.get_field_by_name("type_url");
        let url = url.and_then(|v| v.as_str().map(str::to_owned));
        let url = url.unwrap_or_default();
        let Some(body) = any.get_field_by_name("value") else {
            return Ok(());
        };
        let Ok(mut message) = pool::decode(
            urls::message_name(&url),
            body.as_bytes().map_or(&[][..], |b| b),
        ) else {
            if inside {
                any.clear_field_by_name("value");
                self.covered = true;
            }
            return Ok(());
        };
        let before = self.covered;
        self.covered = false;
        self.message(&mut message, inside)?;
        if self.covered {
            let bytes = canonical::encode(&message);
            any.set_field_by_name("value", Value::Bytes(bytes.into()));
        }
        self.covered |= before;
        Ok(())
    }
}

fn is_sensitive(field: &FieldDescriptor) -> bool {
    SENSITIVE.as_ref().is_some_and(|extension| {
        let options = field.options();
        options.get_extension(extension).as_bool() == Some(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

    #[test]
    fn keys_are_covered_wherever_they_are() {
        let socket = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": "a.example",
                "common_tls_context": { "tls_certificates": [{
                    "certificate_chain": { "inline_string": "public" },
                    "private_key": { "inline_string": "secret" },
                }]},
            },
        });
        let cluster = json!({ "name": "a", "transport_socket": socket });
        let bytes = pool::from_json("envoy.config.cluster.v3.Cluster", &cluster).unwrap();
        let covered = cover(CLUSTER, &bytes).unwrap().unwrap();
        let shown = pool::to_json("envoy.config.cluster.v3.Cluster", &covered).unwrap();
        let text = shown.to_string();
        assert!(!text.contains("secret"), "{text}");
        let mut expected = cluster;
        *expected
            .pointer_mut("/transport_socket/typed_config/common_tls_context/tls_certificates/0/private_key/inline_string")
            .unwrap() = json!("[redacted]");
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_has_no_secret_stays() {
        let bytes =
            pool::from_json("envoy.config.cluster.v3.Cluster", &json!({"name": "a"})).unwrap();
        assert!(cover(CLUSTER, &bytes).unwrap().is_none());
    }
}
