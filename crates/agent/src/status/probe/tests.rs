//! Probes over the wires that the tests with a real Envoy have no application for.

use super::*;
use crate::config::Network;
use crate::env::Env;
use http_body_util::{Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Probes of an application on loopback.
fn probers(json: &serde_json::Value) -> Probers {
    let text = json.to_string();
    let env = Env::from([
        ("INSTANCE_IP", "127.0.0.1"),
        ("ISTIO_KUBE_APP_PROBERS", &text),
    ]);
    Probers::of(&env, &Network::of(&env).unwrap()).unwrap()
}

async fn asked(probers: &Probers, path: &str) -> StatusCode {
    let prober = probers.find(path).unwrap();
    run(prober, probers, &HeaderMap::new()).await.status()
}

/// Says `SERVING` of the service `up`, `NOT_SERVING` of every other.
async fn health(
    request: Request<Incoming>,
) -> Result<http::Response<impl http_body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let question = HealthCheckRequest::decode(body.get(PREFIX..).unwrap()).unwrap();
    let status = if question.service == "up" { SERVING } else { 2 };
    let answer = framed(&HealthCheckResponse { status }.encode_to_vec());
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Ok(Frame::data(answer)), Ok(Frame::trailers(trailers))];
    Ok(http::Response::new(StreamBody::new(futures::stream::iter(
        frames,
    ))))
}

#[tokio::test]
async fn grpc_says_whether_a_service_serves() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let io = TokioIo::new(listener.accept().await.unwrap().0);
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(io, service_fn(health)));
        }
    });
    let all = probers(&serde_json::json!({
        "/app-health/a/readyz": {"grpc": {"port": port, "service": "up"}, "timeoutSeconds": 5},
        "/app-health/a/livez": {"grpc": {"port": port}, "timeoutSeconds": 5},
    }));
    assert_eq!(asked(&all, "/app-health/a/readyz").await, StatusCode::OK);
    let down = asked(&all, "/app-health/a/livez").await;
    assert_eq!(down, StatusCode::INTERNAL_SERVER_ERROR);
}

/// Answers 204 to HTTP/2 and 200 to HTTP/1.1.
async fn versioned(request: Request<Incoming>) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let mut response = http::Response::new(Full::default());
    if request.version() == axum::http::Version::HTTP_2 {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    Ok(response)
}

#[tokio::test]
async fn https_is_probed_whatever_the_certificate() {
    let made = rcgen::generate_simple_self_signed(vec!["elsewhere.example".into()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth();
    let chain = vec![made.cert.der().clone()];
    let mut config = config.with_single_cert(chain, key.unwrap()).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let stream = listener.accept().await.unwrap().0;
            let io = TokioIo::new(acceptor.accept(stream).await.unwrap());
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                server
                    .serve_connection(io, service_fn(versioned))
                    .await
                    .ok();
            });
        }
    });
    let mut all = probers(&serde_json::json!({"/app-health/a/livez":
        {"httpGet": {"port": port, "scheme": "HTTPS"}, "timeoutSeconds": 5}}));
    assert_eq!(
        asked(&all, "/app-health/a/livez").await,
        StatusCode::NO_CONTENT
    );
    all.http2 = false;
    assert_eq!(asked(&all, "/app-health/a/livez").await, StatusCode::OK);
}

fn http() -> Http {
    Http {
        port: 8080,
        path: "/up".into(),
        tls: false,
        headers: vec![("X-A".into(), "probe".into())],
    }
}

#[test]
fn the_kubelets_headers_go_on_and_the_probes_win() {
    let mut incoming = HeaderMap::new();
    for (name, value) in [
        ("host", "10.0.0.1:15020"),
        ("x-a", "kubelet"),
        ("user-agent", "kube-probe/1.33"),
        ("connection", "close"),
    ] {
        incoming.insert(name, HeaderValue::from_static(value));
    }
    let (headers, host) = sent(&http(), &incoming);
    assert_eq!(host.as_deref(), Some("10.0.0.1:8080"));
    assert_eq!(headers["x-a"], "probe");
    assert_eq!(headers["user-agent"], "kube-probe/1.33");
    assert!(!headers.contains_key("connection"));
    let mut named = http();
    named.headers.push(("Host".into(), "shop.example".into()));
    let (_, host) = sent(&named, &incoming);
    assert_eq!(host.as_deref(), Some("shop.example"));
}

#[test]
fn redirects_stay_on_the_host() {
    let place = Place {
        tls: false,
        port: 8080,
        path: "/up".into(),
    };
    let to = |location: &str| place.redirected(location, "10.0.0.1:8080");
    let relative = to("/other?x=1").unwrap();
    assert_eq!(
        (relative.port, relative.path.as_str()),
        (8080, "/other?x=1")
    );
    let secure = to("https://10.0.0.1:8443/x").unwrap();
    assert_eq!((secure.tls, secure.port), (true, 8443));
    assert_eq!(to("http://169.254.169.254/latest"), None);
    assert_eq!(to("http://10.0.0.10/"), None);
}
