//! Asks the application what the kubelet asks.
//!
//! Headers of the kubelet go on; the probe's own win. Redirects are followed on the same host, and
//! one to elsewhere is a success, as the kubelet has it.

use super::probers::{Handler, Http, Prober, Probers};
use crate::exchange::{self, Body, Failed, Target, Wire};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::BodyExt;
use prost::Message;
use std::net::SocketAddr;
use std::time::Duration;

/// Redirects that are followed.
const HOPS: usize = 10;
/// What is passed on of an answer.
const MOST: usize = 10 << 10;
/// What bounds a probe that has no limit of its own.
const LONGEST: Duration = Duration::from_secs(60);

/// Headers that belong to one connection.
const OF_A_CONNECTION: [HeaderName; 5] = [
    header::CONNECTION,
    header::UPGRADE,
    header::TRANSFER_ENCODING,
    header::CONTENT_LENGTH,
    header::HOST,
];

/// The answer for the kubelet.
pub(super) async fn run(prober: &Prober, all: &Probers, headers: &HeaderMap) -> Response {
    let asked = async {
        match &prober.handler {
            Handler::Http(http) => self::http(http, all, headers).await,
            Handler::Tcp(port) => tcp(all, *port).await,
            Handler::Grpc { port, service } => grpc(all, *port, service).await,
        }
    };
    let longest = prober.timeout.unwrap_or(LONGEST);
    let answer = tokio::time::timeout(longest, asked).await;
    match answer.unwrap_or(Err(Failed::Late)) {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(%error, "a probe of the application failed");
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
        }
    }
}

fn target(all: &Probers, port: u16, wire: Wire) -> Target {
    Target {
        address: SocketAddr::new(all.destination, port),
        from: all.from,
        wire,
    }
}

async fn tcp(all: &Probers, port: u16) -> Result<Response, Failed> {
    exchange::connect(&target(all, port, Wire::Plain)).await?;
    Ok(StatusCode::OK.into_response())
}

async fn http(http: &Http, all: &Probers, headers: &HeaderMap) -> Result<Response, Failed> {
    let mut place = Place {
        tls: http.tls,
        port: http.port,
        path: http.path.clone(),
    };
    let (headers, host) = sent(http, headers);
    for _ in 0..=HOPS {
        let wire = match (place.tls, all.http2) {
            (false, _) => Wire::Plain,
            (true, false) => Wire::Tls,
            (true, true) => Wire::TlsHttp2,
        };
        let target = target(all, place.port, wire);
        let host = host.clone().unwrap_or_else(|| target.address.to_string());
        let scheme = if place.tls { "https" } else { "http" };
        let response = exchange::send(&target, request(&place, (scheme, &host), &headers)?).await?;
        if !response.status().is_redirection() {
            return passed_on(response).await;
        }
        let next = response.headers().get(header::LOCATION);
        let next = next.and_then(|value| value.to_str().ok());
        match next.and_then(|text| place.redirected(text, &host)) {
            Some(next) => place = next,
            None => return Ok(StatusCode::OK.into_response()),
        }
    }
    Ok(StatusCode::OK.into_response())
}

fn request(
    place: &Place,
    (scheme, host): (&str, &str),
    headers: &HeaderMap,
) -> Result<Request<Body>, Failed> {
    let uri = format!("{scheme}://{host}{}", place.path);
    let mut request = Request::builder().uri(uri).body(Body::default())?;
    *request.headers_mut() = headers.clone();
    let host = HeaderValue::from_str(host).map_err(http::Error::from)?;
    request.headers_mut().insert(header::HOST, host);
    Ok(request)
}

async fn passed_on(response: http::Response<hyper::body::Incoming>) -> Result<Response, Failed> {
    let status = response.status();
    let (body, _) = exchange::read(response.into_body(), MOST).await?;
    Ok((status, body).into_response())
}

/// The headers of the question, and its host: the probe's, else the kubelet's with the
/// application's port.
fn sent(http: &Http, incoming: &HeaderMap) -> (HeaderMap, Option<String>) {
    let mut headers = incoming.clone();
    for name in OF_A_CONNECTION {
        headers.remove(name);
    }
    let mut host = incoming.get(header::HOST).and_then(|value| {
        let (name, _) = value.to_str().ok()?.rsplit_once(':')?;
        Some(format!("{name}:{}", http.port))
    });
    for (name, _) in &http.headers {
        headers.remove(name.as_str());
    }
    for (name, value) in &http.headers {
        if name.eq_ignore_ascii_case("host") {
            host = Some(value.clone());
            continue;
        }
        let name = name.parse::<HeaderName>();
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    (headers, host)
}

/// Where a question goes inside of the pod.
#[derive(Clone, Debug, PartialEq)]
struct Place {
    tls: bool,
    port: u16,
    path: String,
}

impl Place {
    /// Where a redirect leads, if that is the same host.
    fn redirected(&self, location: &str, host: &str) -> Option<Self> {
        let uri: Uri = location.parse().ok()?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let Some(authority) = uri.authority() else {
            let path = match path.starts_with('/') {
                true => path.to_owned(),
                false => format!("/{path}"),
            };
            return Some(Self {
                path,
                ..self.clone()
            });
        };
        let own: Uri = format!("http://{host}/").parse().ok()?;
        if own.host() != Some(authority.host()) {
            return None;
        }
        let tls = uri.scheme_str() == Some("https");
        let usual = if tls { 443 } else { 80 };
        Some(Self {
            tls,
            port: authority.port_u16().unwrap_or(usual),
            path: path.to_owned(),
        })
    }
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `SERVING` of gRPC's health protocol.
const SERVING: i32 = 1;
/// The prefix of a gRPC message: whether it is compressed, and how long it is.
const PREFIX: usize = 5;

async fn grpc(all: &Probers, port: u16, service: &str) -> Result<Response, Failed> {
    let target = target(all, port, Wire::Http2);
    let question = HealthCheckRequest {
        service: service.to_owned(),
    };
    let request = Request::builder()
        .method("POST")
        .uri(format!(
            "http://{}/grpc.health.v1.Health/Check",
            target.address
        ))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(Body::new(framed(&question.encode_to_vec())))?;
    let response = exchange::send(&target, request).await?;
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data()
            && bytes.len() + data.len() <= MOST
        {
            bytes.extend_from_slice(&data);
        }
    }
    let answer = bytes.get(PREFIX..).unwrap_or_default();
    match HealthCheckResponse::decode(answer) {
        Ok(answer) if !bytes.is_empty() && answer.status == SERVING => {
            Ok(StatusCode::OK.into_response())
        }
        Ok(_) | Err(_) => {
            let text = "the application is not serving\n";
            Ok((StatusCode::INTERNAL_SERVER_ERROR, text).into_response())
        }
    }
}

fn framed(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(PREFIX + message.len());
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).unwrap_or_default());
    bytes.put_slice(message);
    bytes.freeze()
}

#[cfg(test)]
mod tests;
