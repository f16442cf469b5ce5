//! A response as pieces of one gRPC message, made when the transport can take them.
//!
//! Resources are encoded already and shared by every stream, so a response is never assembled: a
//! stream holds one piece at a time, whatever the size of what it is being sent. Framing follows
//! the gRPC over HTTP/2 page; field numbers are those of `service/discovery/v3`, where both kinds
//! of response keep their resources in field 2.

use std::sync::Arc;
use std::vec;

use bytes::{BufMut, Bytes, BytesMut};
use meltemi_proto::envoy::config::core::v3::ControlPlane;
use meltemi_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryResponse, DiscoveryResponse, Resource,
};
use meltemi_proto::google::protobuf::Any;
use meltemi_proto::resource::Encoded;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::session::{Flavor, Push, set_version};

/// Pieces are filled to about this many bytes.
const PIECE: usize = 16 << 10;
/// A body at least this large is not copied into a piece but is one.
const WHOLE: usize = 8 << 10;
/// `resources` of both kinds of response; `resource` of a `Resource`; `value` of an `Any`.
const FIELD: u32 = 2;
/// Flag and length before each gRPC message.
const PREFIX: usize = 5;

/// The pieces of one response.
#[derive(Debug)]
pub(crate) struct Frames {
    flavor: Flavor,
    /// The prefix and all fields but the resources.
    head: BytesMut,
    resources: vec::IntoIter<Arc<Encoded>>,
    /// The body whose beginning was just sent.
    body: Option<Bytes>,
}

impl Frames {
    /// The pieces of `push` in the protocol `flavor`.
    pub(crate) fn new(flavor: Flavor, push: Push) -> Self {
        let fields = fields(flavor, &push);
        let mut scratch = BytesMut::new();
        let mut length = fields.len();
        for resource in &push.resources {
            scratch.clear();
            open(flavor, resource, &mut scratch);
            length += scratch.len() + resource.body.len();
        }
        let mut head = BytesMut::with_capacity(PREFIX + fields.len());
        head.put_u8(0);
        head.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        head.put_slice(&fields);
        Self {
            flavor,
            head,
            resources: push.resources.into_iter(),
            body: None,
        }
    }
}

impl Iterator for Frames {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(body) = self.body.take() {
            return Some(body);
        }
        let mut piece = std::mem::take(&mut self.head);
        while piece.len() < PIECE {
            let Some(resource) = self.resources.next() else {
                break;
            };
            open(self.flavor, &resource, &mut piece);
            if resource.body.len() >= WHOLE {
                self.body = Some(resource.body.clone());
                break;
            }
            piece.put_slice(&resource.body);
        }
        (!piece.is_empty()).then(|| piece.freeze())
    }
}

/// Everything of a response but its resources.
fn fields(flavor: Flavor, push: &Push) -> Vec<u8> {
    let (type_url, nonce) = (push.row.url.to_owned(), push.nonce.to_string());
    let control_plane = push.control_plane.as_ref().map(|identifier| ControlPlane {
        identifier: identifier.to_string(),
    });
    match flavor {
        Flavor::Sotw => DiscoveryResponse {
            version_info: set_version(push.resources.iter()),
            type_url,
            nonce,
            control_plane,
            ..DiscoveryResponse::default()
        }
        .encode_to_vec(),
        Flavor::Delta => DeltaDiscoveryResponse {
            removed_resources: push.removed.iter().map(ToString::to_string).collect(),
            type_url,
            nonce,
            control_plane,
            ..DeltaDiscoveryResponse::default()
        }
        .encode_to_vec(),
    }
}

/// The field `resources` with one resource, up to where the resource's body begins.
fn open(flavor: Flavor, resource: &Encoded, out: &mut BytesMut) {
    let packed = Any {
        type_url: resource.type_url.to_owned(),
        value: Bytes::new(),
    };
    let mut any = BytesMut::with_capacity(packed.encoded_len() + 16);
    any.put_slice(&packed.encode_to_vec());
    begin(&mut any, resource.body.len());
    let any_length = any.len() + resource.body.len();
    match flavor {
        Flavor::Sotw => begin(out, any_length),
        Flavor::Delta => {
            let named = Resource {
                name: resource.name.to_string(),
                version: resource.version.to_string(),
                ..Resource::default()
            };
            let mut wrapped = BytesMut::with_capacity(named.encoded_len() + 16);
            wrapped.put_slice(&named.encode_to_vec());
            begin(&mut wrapped, any_length);
            begin(out, wrapped.len() + any_length);
            out.put_slice(&wrapped);
        }
    }
    out.put_slice(&any);
}

/// Key and length of a field of `length` bytes that follow.
fn begin(out: &mut BytesMut, length: usize) {
    encode_key(FIELD, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

/// The message of a response, for tests: what a client reads behind the prefix.
#[cfg(test)]
pub(crate) fn message(flavor: Flavor, push: Push) -> Bytes {
    let mut all = BytesMut::new();
    for piece in Frames::new(flavor, push) {
        all.put_slice(&piece);
    }
    let message = all.split_off(PREFIX);
    let length = u32::try_from(message.len()).unwrap();
    assert_eq!(all[0], 0, "not compressed");
    assert_eq!(
        all[1..],
        length.to_be_bytes(),
        "the prefix tells the length"
    );
    message.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TABLE;

    fn push(sizes: &[usize]) -> Push {
        let row = &TABLE[0];
        let resource = |(at, size): (usize, &usize)| {
            Arc::new(Encoded::new(format!("r{at}"), row.url, vec![7; *size]))
        };
        Push {
            row,
            nonce: "n-1".into(),
            resources: sizes.iter().enumerate().map(resource).collect(),
            removed: vec!["gone".into()],
            control_plane: None,
        }
    }

    #[test]
    fn pieces_are_the_message() {
        for sizes in [
            &[][..],
            &[0],
            &[1, 200, 8191, 8192, 100_000, 3],
            &[3000; 40],
        ] {
            let push = push(sizes);
            let any = |resource: &Arc<Encoded>| Any {
                type_url: push.row.url.to_owned(),
                value: resource.body.clone(),
            };
            let named = |resource: &Arc<Encoded>| Resource {
                name: resource.name.to_string(),
                version: resource.version.to_string(),
                resource: Some(any(resource)),
                ..Resource::default()
            };
            let delta = DeltaDiscoveryResponse {
                resources: push.resources.iter().map(named).collect(),
                removed_resources: vec!["gone".to_owned()],
                type_url: push.row.url.to_owned(),
                nonce: "n-1".to_owned(),
                ..DeltaDiscoveryResponse::default()
            };
            let sent = message(Flavor::Delta, push.clone());
            assert_eq!(DeltaDiscoveryResponse::decode(sent).unwrap(), delta);
            let sotw = DiscoveryResponse {
                version_info: set_version(push.resources.iter()),
                resources: push.resources.iter().map(any).collect(),
                type_url: push.row.url.to_owned(),
                nonce: "n-1".to_owned(),
                ..DiscoveryResponse::default()
            };
            let sent = message(Flavor::Sotw, push.clone());
            assert_eq!(DiscoveryResponse::decode(sent).unwrap(), sotw);
        }
    }

    #[test]
    fn no_piece_is_much_larger_than_wanted() {
        let small = Frames::new(Flavor::Delta, push(&[3000; 100]));
        let largest = small.map(|piece| piece.len()).max().unwrap();
        assert!(largest < PIECE + WHOLE, "{largest}");
    }

    /// Large bodies are those of the resource, for every stream the same memory.
    #[test]
    fn large_bodies_are_shared() {
        let push = push(&[10, 50_000, 10]);
        let body = push.resources[1].body.clone();
        let mut pieces = Frames::new(Flavor::Sotw, push);
        assert!(pieces.any(|piece| piece.as_ptr() == body.as_ptr()));
    }
}
