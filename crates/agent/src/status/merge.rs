//! Metrics of the agent, of Envoy and of the application in one answer, in this order.
//!
//! Follows Istio: the answer is 200 whatever fails, failures are counted, and the format is the
//! application's. The surprise: an application that writes OpenMetrics ends with `# EOF`, which may
//! stand at the very end only, so it is taken out of each part and put back once.

use super::gzip::{self, Gone, Sink};
use super::scrape::{self, Part, Question};
use crate::args::Role;
use crate::env::Env;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures::future;
use meltemi_runtime::metrics::Metrics;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

/// The variable of the injector.
const VARIABLE: &str = "ISTIO_PROMETHEUS_ANNOTATIONS";
/// The format where the application says nothing else.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How long a scrape may take when Prometheus does not say.
const LONGEST: Duration = Duration::from_secs(10);
/// Pieces of an answer that wait for a slow reader.
const AHEAD: usize = 4;

/// Where the parts are.
#[derive(Clone, Debug)]
pub(crate) struct Merge {
    /// Envoy's admin interface; `None`: without Envoy's statistics.
    envoy: Option<SocketAddr>,
    /// Where the application is scraped.
    app: Vec<(SocketAddr, String)>,
}

/// Where things are in this pod.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) role: Role,
    /// The address of everything inside of the pod.
    pub(crate) local: IpAddr,
    pub(crate) admin: u16,
    /// Ports that are no application's.
    pub(crate) reserved: Vec<u16>,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(default)]
    scrape: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    port: String,
    #[serde(default)]
    targets: Vec<OneTarget>,
}

#[derive(Deserialize)]
struct OneTarget {
    #[serde(default)]
    port: String,
    #[serde(default)]
    path: String,
}

impl Merge {
    /// Reads the injector's variable.
    pub(crate) fn of(env: &Env, place: &Place) -> Result<Self, String> {
        let envoy = env.flag_or_on("PILOT_AGENT_MERGE_ENVOY_STATS")?;
        let text = env.text(VARIABLE).filter(|_| place.role == Role::Sidecar);
        let app = match text {
            Some(text) => targets(text, place)?,
            None => Vec::new(),
        };
        Ok(Self {
            envoy: envoy.then(|| SocketAddr::new(place.local, place.admin)),
            app,
        })
    }

    /// The merged answer, as a stream.
    pub(super) async fn answer(
        &self,
        query: Option<&str>,
        headers: &HeaderMap,
        own: Metrics,
    ) -> Response {
        metrics::counter!("istio_agent_scrapes_total").increment(1);
        let deadline = Instant::now() + longest(headers);
        let ask = |kind, address, path| {
            scrape::open(
                kind,
                Question {
                    address,
                    path,
                    headers,
                    deadline,
                },
            )
        };
        let path = match query {
            Some(query) => format!("/stats/prometheus?{query}"),
            None => "/stats/prometheus".to_owned(),
        };
        let envoy = self
            .envoy
            .map(|address| ask("envoy", address, path.as_str()));
        let app = self.app.iter();
        let app = app.map(|(address, path)| ask("application", *address, path.as_str()));
        let (envoy, app) = future::join(future::join_all(envoy), future::join_all(app)).await;
        let app: Vec<Part> = app.into_iter().flatten().collect();
        let format = format(&app);
        let parts: Vec<Part> = envoy.into_iter().flatten().chain(app).collect();
        let (sender, receiver) = mpsc::channel(AHEAD);
        let first = scrape::prefixed(&own.render());
        let last = is_open(&format).then_some(scrape::END);
        let is_packed = gzip::is_wanted(headers);
        let sink = Sink::new(sender, is_packed);
        tokio::spawn(async move {
            // Whoever scrapes may go away; then there is nothing left to do.
            let _gone = write(sink, (first, last), parts).await;
        });
        let body = ReceiverStream::new(receiver).map(Ok::<_, std::convert::Infallible>);
        let vary = (header::VARY, "accept-encoding");
        let head = [(header::CONTENT_TYPE, format.as_str()), vary];
        let mut response = (head, Body::from_stream(body)).into_response();
        if is_packed {
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_ENCODING, gzip::NAME);
        }
        response
    }
}

async fn write(
    mut to: Sink,
    (first, last): (String, Option<&'static str>),
    parts: Vec<Part>,
) -> Result<(), Gone> {
    to.send(first.into()).await?;
    for part in parts {
        part.write(&mut to).await?;
    }
    if let Some(last) = last {
        to.send(last.into()).await?;
    }
    to.end().await
}

fn targets(text: &str, place: &Place) -> Result<Vec<(SocketAddr, String)>, String> {
    let wrong = |why: String| format!("{VARIABLE}: {why}; correct the annotations of the pod");
    let annotations: Result<Annotations, _> = serde_json::from_str(text);
    let annotations = annotations.map_err(|e| wrong(e.to_string()))?;
    let Annotations {
        scrape,
        path,
        port,
        mut targets,
    } = annotations;
    if scrape == "false" {
        return Ok(Vec::new());
    }
    if targets.is_empty() {
        targets.push(OneTarget { port, path });
    }
    let found = targets.into_iter().map(|target| {
        let port = match target.port.as_str() {
            "" => 80,
            text => text
                .parse()
                .map_err(|_| wrong(format!("{text:?} is no port")))?,
        };
        if port == 0 || place.reserved.contains(&port) {
            return Err(wrong(format!("port {port} is the proxy's own")));
        }
        let path = match target.path.as_str() {
            "" => "/metrics".to_owned(),
            path if path.starts_with('/') => path.to_owned(),
            path => format!("/{path}"),
        };
        Ok((SocketAddr::new(place.local, port), path))
    });
    found.collect()
}

/// How long Prometheus waits.
fn longest(headers: &HeaderMap) -> Duration {
    let text = headers.get("x-prometheus-scrape-timeout-seconds");
    let seconds = text.and_then(|text| text.to_str().ok()?.parse::<f64>().ok());
    let given = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    given.map_or(LONGEST, |given| given.min(LONGEST * 12))
}

/// The format of the whole: the application's, text when there are several.
fn format(app: &[Part]) -> String {
    let mut formats = app.iter().map(|part| part.format.as_str());
    match formats.next() {
        Some(first) if formats.all(|other| is_open(other) == is_open(first)) => first.to_owned(),
        Some(_) | None => TEXT.to_owned(),
    }
}

/// True for OpenMetrics.
fn is_open(format: &str) -> bool {
    format.starts_with("application/openmetrics-text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(json: &str, role: Role) -> Result<Merge, String> {
        let place = Place {
            role,
            local: [127, 0, 0, 1].into(),
            admin: 15000,
            reserved: vec![15020],
        };
        Merge::of(&Env::from([(VARIABLE, json)]), &place)
    }

    #[test]
    fn the_injectors_variable_is_read() {
        let one = merge(r#"{"scrape": "true", "port": "9090"}"#, Role::Sidecar).unwrap();
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(one.app, [(at(9090), "/metrics".to_owned())]);
        let two = r#"{"targets": [{"port": "1", "path": "a"}, {"port": "2"}]}"#;
        let two = merge(two, Role::Sidecar).unwrap();
        assert_eq!(two.app, [(at(1), "/a".into()), (at(2), "/metrics".into())]);
        let none = merge(r#"{"scrape": "false"}"#, Role::Sidecar).unwrap();
        assert!(none.app.is_empty());
        let router = merge(r#"{"port": "9090"}"#, Role::Router).unwrap();
        assert!(router.app.is_empty());
    }

    #[test]
    fn the_agent_does_not_scrape_itself() {
        let error = merge(r#"{"port": "15020"}"#, Role::Sidecar).unwrap_err();
        assert!(error.contains("15020 is the proxy's own"), "{error}");
    }

    #[test]
    fn prometheus_says_how_long() {
        let mut headers = HeaderMap::new();
        assert_eq!(longest(&headers), LONGEST);
        let value = axum::http::HeaderValue::from_static("0.5");
        headers.insert("x-prometheus-scrape-timeout-seconds", value);
        assert_eq!(longest(&headers), Duration::from_millis(500));
    }
}
