//! One request to a process of the same pod: a connection of its own, no pool, every wait and every
//! answer bounded by the caller.
//!
//! With TLS nothing is verified: it is how the kubelet probes, which looks at no certificate
//! either, and nothing secret is sent.

mod tls;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};

/// The body of a request.
pub(crate) type Body = Full<Bytes>;

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The address that it leaves from.
    pub(crate) from: Option<IpAddr>,
    pub(crate) wire: Wire,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// HTTP/1.1.
    Plain,
    /// HTTP/2 without TLS, as gRPC has it.
    Http2,
    /// TLS, and HTTP/1.1 in it.
    Tls,
    /// TLS, and HTTP/2 where the server can.
    TlsHttp2,
}

impl Target {
    /// HTTP/1.1, from any address.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            from: None,
            wire: Wire::Plain,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("no connection")]
    Connect(#[from] std::io::Error),
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be written")]
    Request(#[from] http::Error),
    #[error("no answer in time")]
    Late,
    #[error("the answer is longer than {0} bytes")]
    Long(usize),
    #[error("the answer is packed by {0:?}, which is not understood; send gzip, or text")]
    Coding(HeaderValue),
    #[error("the answer cannot be unpacked")]
    Packed(#[source] std::io::Error),
    #[error("status {0}")]
    Status(u16),
}

/// Connects.
pub(crate) async fn connect(target: &Target) -> std::io::Result<TcpStream> {
    let socket = match target.address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if let Some(from) = target.from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let stream = socket.connect(target.address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request and gives back the head of the answer. How long it may take is the caller's to
/// bound.
pub(crate) async fn send(
    target: &Target,
    request: Request<Body>,
) -> Result<Response<Incoming>, Failed> {
    let stream = connect(target).await?;
    match target.wire {
        Wire::Plain => over_http1(stream, request).await,
        Wire::Http2 => over_http2(stream, request).await,
        Wire::Tls | Wire::TlsHttp2 => {
            let stream = tls::connect(stream, target).await?;
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => over_http2(stream, request).await,
                Some(_) | None => over_http1(stream, request).await,
            }
        }
    }
}

/// The authority goes into the header, which the caller has set.
async fn over_http1<S>(stream: S, mut request: Request<Body>) -> Result<Response<Incoming>, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if let Some(path) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = path.into();
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer; what goes wrong is seen there.
    tokio::spawn(async move { connection.await.ok() });
    Ok(sender.send_request(request).await?)
}

async fn over_http2<S>(stream: S, request: Request<Body>) -> Result<Response<Incoming>, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
    tokio::spawn(async move { connection.await.ok() });
    Ok(sender.send_request(request).await?)
}

/// A request without a body, and its whole answer as text: `(longest time, most bytes)`.
pub(crate) async fn text(
    target: &Target,
    (method, path): (Method, &str),
    (longest, most): (Duration, usize),
) -> Result<(StatusCode, String), Failed> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, target.address.to_string())
        .body(Body::default())?;
    let whole = async {
        let response = send(target, request).await?;
        let status = response.status();
        let (body, is_whole) = read(response.into_body(), most).await?;
        match is_whole {
            true => Ok((status, String::from_utf8_lossy(&body).into_owned())),
            false => Err(Failed::Long(most)),
        }
    };
    let answer = tokio::time::timeout(longest, whole).await;
    answer.unwrap_or(Err(Failed::Late))
}

/// At most `most` bytes of a body, and whether that was all.
pub(crate) async fn read(mut body: Incoming, most: usize) -> Result<(Vec<u8>, bool), Failed> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        let room = most - whole.len();
        if data.len() > room {
            whole.extend(data.iter().take(room));
            return Ok((whole, false));
        }
        whole.extend_from_slice(&data);
    }
    Ok((whole, true))
}
