//! Messages inside `google.protobuf.Any`, always addressed as `type.googleapis.com/NAME`.

use prost::{Message, Name};

use crate::{google::protobuf::Any, urls};

/// Why an `Any` could not be opened as the wanted message.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It holds another message.
    #[error("expected a {expected} but the type address is {found:?}")]
    OtherType {
        /// Full name of the wanted message.
        expected: String,
        /// The type address found.
        found: String,
    },
    /// Its bytes are no such message.
    #[error("the bytes are not a {name}: {source}")]
    Malformed {
        /// Full name of the wanted message.
        name: String,
        /// What the decoder said.
        source: prost::DecodeError,
    },
}

/// The message with its type address.
#[must_use]
pub fn pack<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: type_url::<M>(),
        value: message.encode_to_vec().into(),
    }
}

/// The message inside; the part of the type address before the last slash is not looked at.
///
/// # Errors
/// When another message or none is inside.
pub fn unpack<M: Message + Name + Default>(any: &Any) -> Result<M, UnpackError> {
    let expected = M::full_name();
    if urls::message_name(&any.type_url) != expected {
        return Err(UnpackError::OtherType {
            expected,
            found: any.type_url.clone(),
        });
    }
    M::decode(any.value.clone()).map_err(|source| UnpackError::Malformed {
        name: expected,
        source,
    })
}

/// `type.googleapis.com/` and the full name of the message.
#[must_use]
pub fn type_url<M: Name>() -> String {
    format!("{}{}", urls::PREFIX, M::full_name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envoy::config::{cluster::v3::Cluster, listener::v3::Listener};

    #[test]
    fn what_was_packed_is_unpacked() {
        let cluster = Cluster {
            name: "a".to_owned(),
            ..Default::default()
        };
        let any = pack(&cluster);
        assert_eq!(any.type_url, urls::CLUSTER);
        assert_eq!(unpack::<Cluster>(&any).unwrap(), cluster);
    }

    #[test]
    fn another_type_is_refused() {
        let error = unpack::<Listener>(&pack(&Cluster::default())).unwrap_err();
        assert!(matches!(error, UnpackError::OtherType { .. }), "{error}");
    }

    #[test]
    fn malformed_bytes_are_refused() {
        let any = Any {
            type_url: urls::CLUSTER.to_owned(),
            value: vec![0xff].into(),
        };
        let error = unpack::<Cluster>(&any).unwrap_err();
        assert!(matches!(error, UnpackError::Malformed { .. }), "{error}");
    }
}
