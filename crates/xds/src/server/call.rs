//! One gRPC call over HTTP/2: requests out of its body, pieces and a status into the answer.
//!
//! It stands in for the generated service, which would assemble each response in a buffer that
//! the stream then keeps: with many streams that was most of the memory of the control plane.

use std::convert::Infallible;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::unfold;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::StreamBody;
use tonic::body::Body;
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstDecoder;

use super::connection::Pieces;
use super::wire::Wire;

/// The service's full name.
pub(super) const SERVICE: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
/// The method of state of the world.
pub(super) const SOTW: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources";
/// The method of the incremental protocol.
pub(super) const DELTA: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// Requests are read as they are: no compression was offered.
pub(super) fn uncompressed(request: &http::Request<Body>) -> Result<(), Status> {
    match request.headers().get("grpc-encoding") {
        Some(encoding) if encoding != "identity" => Err(Status::unimplemented(
            "requests are read uncompressed; send them with grpc-encoding identity",
        )),
        Some(_) | None => Ok(()),
    }
}

/// The requests in `body`, each of at most `limit` bytes.
pub(super) fn requests<W: Wire>(body: Body, limit: usize) -> Streaming<W::Request> {
    let decoder = ProstDecoder::<W::Request>::default();
    Streaming::new_request(decoder, body, None, Some(limit))
}

/// The answer: the pieces as they come, then the status in trailers.
pub(super) fn response(pieces: Pieces) -> http::Response<Body> {
    let frames = unfold(Some(pieces), |pieces| async {
        let mut pieces = pieces?;
        let (frame, rest) = match pieces.next().await {
            Some(Ok(piece)) => (Frame::data(piece), Some(pieces)),
            Some(Err(status)) => (trailers(&status), None),
            None => (trailers(&Status::new(Code::Ok, "")), None),
        };
        Some((Ok::<_, Infallible>(frame), rest))
    });
    let mut response = http::Response::new(Body::new(StreamBody::new(frames)));
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn trailers(status: &Status) -> Frame<Bytes> {
    let mut headers = HeaderMap::new();
    if status.add_header(&mut headers).is_err() {
        // Its message cannot be written in a header; the code can.
        headers = HeaderMap::new();
        headers.insert("grpc-status", HeaderValue::from(status.code() as i32));
    }
    Frame::trailers(headers)
}
