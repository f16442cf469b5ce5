//! A WebSocket that sends every message back (RFC 6455): whole and split frames, ping, close.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The constant of RFC 6455 section 1.3.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The largest frame that is accepted, in bytes.
const FRAME_LIMIT: u64 = 1 << 20;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// True for a request that wants to become a WebSocket.
pub(crate) fn is_asked(request: &Request<Incoming>) -> bool {
    let upgrade = request
        .headers()
        .get(UPGRADE)
        .and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
        && request.headers().contains_key(SEC_WEBSOCKET_KEY)
}

/// Answers 101 and echoes frames once the connection has changed hands.
pub(crate) fn accept(mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let key = request
        .headers()
        .get(SEC_WEBSOCKET_KEY)
        .map(HeaderValue::as_bytes);
    let proof = accept_key(key.unwrap_or_default());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(stream) = upgrade.await {
            let _closed = frames(TokioIo::new(stream)).await;
        }
    });
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(proof) = HeaderValue::from_str(&proof) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, proof);
    }
    reply
}

fn accept_key(key: &[u8]) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(MAGIC).finalize();
    BASE64_STANDARD.encode(digest)
}

/// Sends data frames back as they are (so a split message stays split), until a close.
async fn frames(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    loop {
        let (head, payload) = read_frame(&mut stream).await?;
        match head & 0x0f {
            PING => write_frame(&mut stream, 0x80 | PONG, &payload).await?,
            PONG => {}
            CLOSE => return write_frame(&mut stream, 0x80 | CLOSE, &payload).await,
            _ => write_frame(&mut stream, head, &payload).await?,
        }
    }
}

async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(u8, Vec<u8>)> {
    let head = stream.read_u8().await?;
    let second = stream.read_u8().await?;
    let length = match second & 0x7f {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        short => u64::from(short),
    };
    if length > FRAME_LIMIT {
        return Err(std::io::Error::other("frame too large"));
    }
    let mut mask = [0; 4];
    if second & 0x80 != 0 {
        stream.read_exact(&mut mask).await?;
    }
    let mut payload = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
    stream.read_exact(&mut payload).await?;
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    Ok((head, payload))
}

async fn write_frame(
    stream: &mut (impl AsyncWrite + Unpin),
    head: u8,
    payload: &[u8],
) -> std::io::Result<()> {
    let mut frame = vec![head];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..126), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    stream.write_all(&frame).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_rfc() {
        assert_eq!(
            accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[tokio::test]
    async fn masked_frames_come_back_unmasked() {
        let (mut client, server) = tokio::io::duplex(1024);
        let task = tokio::spawn(frames(server));
        let masked = [
            0x81,
            0x82,
            1,
            2,
            3,
            4,
            b'h' ^ 1,
            b'i' ^ 2,
            0x88,
            0x80,
            0,
            0,
            0,
            0,
        ];
        client.write_all(&masked).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, [0x81, 2, b'h', b'i', 0x88, 0]);
        task.await.unwrap().unwrap();
    }
}
