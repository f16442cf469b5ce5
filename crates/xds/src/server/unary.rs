//! Calls of other services on the same address, one request and one answer each: a mesh has its
//! certificates signed where it gets its configuration. What they mean is the caller's of
//! [`serve_guests`](crate::Server::serve_guests) to know ([`Unary`]).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::iter;
use futures::{FutureExt, StreamExt};
use http_body_util::{BodyExt, Limited};
use tonic::Status;
use tonic::body::Body;

use super::call;
use crate::caller::Credentials;

/// Flag and length before a gRPC message.
const PREFIX: usize = 5;

/// Pieces of at most so many bytes are copied behind the head of their HTTP/2 frame (where a stream
/// takes one slice at a time). A longer one is sent from where it lies, and nothing behind it, not
/// even the status, leaves together with it.
const COPIED: usize = 1023;

/// Answers calls that are no ADS.
pub trait Unary: Send + Sync + 'static {
    /// True for the paths (`/SERVICE/METHOD`) that it knows.
    fn knows(&self, path: &str) -> bool;

    /// The longest request, in bytes.
    fn longest(&self) -> usize;

    /// Answers one request of a path that it knows; both are encoded messages. Whoever answers tells
    /// first who calls.
    fn answer(
        &self,
        credentials: Credentials,
        request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, Status>>;
}

/// The answer to a call, which may take `patience` in all. It is there before anything of it is sent,
/// so head, message and status leave in one piece.
pub(super) async fn respond(
    service: Arc<dyn Unary>,
    request: http::Request<Body>,
    patience: Duration,
) -> http::Response<Body> {
    if let Err(status) = call::uncompressed(&request) {
        return status.into_http();
    }
    let credentials = Credentials::of(&request);
    let answered = async {
        let request = message(request.into_body(), service.longest()).await?;
        let answer = service.answer(credentials, request).await?;
        Ok(framed(&answer))
    };
    let answered = AssertUnwindSafe(answered).catch_unwind();
    let answer = match tokio::time::timeout(patience, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_panic)) => Err(Status::internal(
            "the control plane failed on this call; it is our bug",
        )),
        Err(_late) => Err(Status::deadline_exceeded(
            "the call was not answered in time; try again",
        )),
    };
    let pieces = match answer {
        Ok(answer) => pieces(answer).map(Ok).collect(),
        Err(status) => vec![Err(status)],
    };
    call::response(iter(pieces).boxed())
}

/// The one message of a request.
async fn message(body: Body, longest: usize) -> Result<Bytes, Status> {
    let whole = Limited::new(body, PREFIX + longest).collect().await;
    let whole = whole.map_err(|_| {
        Status::resource_exhausted(format!("a request has at most {longest} bytes"))
    })?;
    unframed(whole.to_bytes())
}

fn unframed(mut framed: Bytes) -> Result<Bytes, Status> {
    let malformed = || Status::invalid_argument("the call has no single gRPC message");
    let prefix = framed.split_to(PREFIX.min(framed.len()));
    let [0, length @ ..] = &prefix[..] else {
        return Err(malformed());
    };
    let length: [u8; 4] = length.try_into().map_err(|_| malformed())?;
    match usize::try_from(u32::from_be_bytes(length)) == Ok(framed.len()) {
        true => Ok(framed),
        false => Err(malformed()),
    }
}

fn framed(message: &Bytes) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// An answer in pieces that leave together.
fn pieces(mut answer: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let piece = answer.split_to(COPIED.min(answer.len()));
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_sum_of_its_pieces() {
        for length in [5, COPIED, COPIED + 1, 70_000] {
            let answer = Bytes::from(vec![7; length]);
            let all: Vec<Bytes> = pieces(answer.clone()).collect();
            assert_eq!(all.concat(), answer);
            assert!(all.iter().all(|piece| piece.len() <= COPIED));
        }
    }

    #[test]
    fn a_message_comes_out_of_its_frame() {
        for message in [&b""[..], b"x", &[7; 70_000]] {
            let message = Bytes::copy_from_slice(message);
            assert_eq!(unframed(framed(&message)).unwrap(), message);
        }
        let whole = framed(&Bytes::from_static(b"abc"));
        for bad in [
            Bytes::new(),
            whole.slice(..4),
            whole.slice(..7),
            Bytes::from([&whole[..], &whole[..]].concat()),
            Bytes::from([&[1], &whole[1..]].concat()),
        ] {
            let code = unframed(bad).unwrap_err().code();
            assert_eq!(code, tonic::Code::InvalidArgument);
        }
    }
}
