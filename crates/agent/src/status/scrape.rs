//! One part of the merged metrics: asked for, bounded, passed on as it comes.

use super::gzip::{Coding, Gone, Sink};
use crate::exchange::{self, Body, Failed, Target};
use axum::http::{HeaderMap, Request, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::net::SocketAddr;
use tokio::time::{Instant, timeout_at};

/// The most that is passed on of one part, unpacked, in bytes.
const MOST: usize = 10 << 20;
/// The end of OpenMetrics.
pub(super) const END: &str = "# EOF\n";
/// The end with the end of the line before.
const HELD: usize = END.len() + 1;
/// What is asked for where Prometheus understands both.
const BOTH: &str =
    "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5";
/// What is asked for else.
const TEXT: &str = "text/plain;version=0.0.4";

/// What is asked.
pub(super) struct Question<'a> {
    pub(super) address: SocketAddr,
    pub(super) path: &'a str,
    /// Of the scrape that asks.
    pub(super) headers: &'a HeaderMap,
    pub(super) deadline: Instant,
}

/// An answer whose body is still to come.
pub(super) struct Part {
    kind: &'static str,
    /// Its content type.
    pub(super) format: String,
    body: Incoming,
    coding: Coding,
    is_over: bool,
    deadline: Instant,
}

/// Asks; `None` when it failed, which is counted.
pub(super) async fn open(kind: &'static str, question: Question<'_>) -> Option<Part> {
    let deadline = question.deadline;
    let opened = timeout_at(deadline, ask(kind, &question)).await;
    match opened.unwrap_or(Err(Failed::Late)) {
        Ok(part) => Some(part),
        Err(error) => {
            failed(kind, &error);
            None
        }
    }
}

fn failed(kind: &'static str, error: &Failed) {
    metrics::counter!("istio_agent_scrape_failures_total", "type" => kind).increment(1);
    tracing::debug!(kind, %error, "a part of the metrics failed");
}

async fn ask(kind: &'static str, question: &Question<'_>) -> Result<Part, Failed> {
    let Question {
        address,
        path,
        headers,
        deadline,
    } = question;
    let accepted = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    let open =
        kind != "envoy" && accepted.is_some_and(|a| a.contains("application/openmetrics-text"));
    let mut request = Request::builder()
        .uri(*path)
        .header(header::HOST, address.to_string())
        .header(header::ACCEPT, if open { BOTH } else { TEXT });
    for name in ["user-agent", "x-prometheus-scrape-timeout-seconds"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    let response = exchange::send(&Target::plain(*address), request.body(Body::default())?).await?;
    if response.status() != StatusCode::OK {
        return Err(Failed::Status(response.status().as_u16()));
    }
    let format = response.headers().get(header::CONTENT_TYPE);
    let format = format.and_then(|value| value.to_str().ok());
    Ok(Part {
        kind,
        format: format.unwrap_or("text/plain; version=0.0.4").to_owned(),
        coding: Coding::of(response.headers(), MOST)?,
        is_over: false,
        body: response.into_body(),
        deadline: *deadline,
    })
}

impl Part {
    /// Passes the body on, up to the limit and the deadline, without its end.
    pub(super) async fn write(mut self, to: &mut Sink) -> Result<(), Gone> {
        let mut tail = Tail::default();
        loop {
            match self.next().await {
                Ok(Some(data)) => to.send(tail.push(&data)).await?,
                Ok(None) => return to.send(tail.finish()).await,
                Err(error) => {
                    failed(self.kind, &error);
                    // What was cut would be half of a line.
                    return to.send(tail.cut()).await;
                }
            }
        }
    }

    /// Some more of the text; `None` after the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Failed> {
        while !self.is_over {
            let frame = timeout_at(self.deadline, self.body.frame());
            match frame.await.map_err(|_| Failed::Late)? {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        return self.coding.push(data, MOST).map(Some);
                    }
                }
                None => {
                    self.is_over = true;
                    return self.coding.end(MOST).map(Some);
                }
            }
        }
        Ok(None)
    }
}

/// Holds back the last line, which may be the end of OpenMetrics or half of a line.
#[derive(Debug, Default)]
struct Tail {
    held: BytesMut,
}

impl Tail {
    /// What can be passed on: everything up to the last line end that is not near the end.
    fn push(&mut self, data: &[u8]) -> Bytes {
        self.held.extend_from_slice(data);
        let sure = self.held.len().saturating_sub(HELD);
        let lines = self.held.get(..sure).unwrap_or_default();
        let whole = lines.iter().rposition(|byte| *byte == b'\n');
        self.held.split_to(whole.map_or(0, |at| at + 1)).freeze()
    }

    /// The whole lines of what is left.
    fn cut(mut self) -> Bytes {
        let whole = self.held.iter().rposition(|byte| *byte == b'\n');
        self.held.split_to(whole.map_or(0, |at| at + 1)).freeze()
    }

    /// What is left, without the end, closed by a line end.
    fn finish(mut self) -> Bytes {
        if !self.held.is_empty() && self.held.last() != Some(&b'\n') {
            self.held.extend_from_slice(b"\n");
        }
        let end = END.as_bytes();
        let rest = self.held.strip_suffix(end).map(<[u8]>::len);
        if let Some(length) = rest
            && (length == 0 || self.held.get(length - 1) == Some(&b'\n'))
        {
            self.held.truncate(length);
        }
        self.held.freeze()
    }
}

/// The agent's own metrics, each named as the agent's: an application may have `process_*` too.
pub(super) fn prefixed(text: &str) -> String {
    const PREFIX: &str = "istio_agent_";
    let mut out = String::with_capacity(text.len() * 5 / 4);
    for line in text.lines().filter(|line| !line.is_empty()) {
        let comment = ["# HELP ", "# TYPE "];
        let comment = comment.into_iter().find(|start| line.starts_with(start));
        let comment = comment.unwrap_or_default();
        let rest = line.strip_prefix(comment).unwrap_or(line);
        out.push_str(comment);
        if !rest.starts_with(PREFIX) && !line.starts_with("# EOF") {
            out.push_str(PREFIX);
        }
        out.push_str(rest);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(parts: &[&str]) -> String {
        let mut tail = Tail::default();
        let mut out = String::new();
        for part in parts {
            out.push_str(std::str::from_utf8(&tail.push(part.as_bytes())).unwrap());
        }
        out.push_str(std::str::from_utf8(&tail.finish()).unwrap());
        out
    }

    #[test]
    fn the_end_is_taken_out_however_it_is_cut() {
        let whole = "a 1\nb{x=\"# EOF\"} 2\n# EOF\n";
        for at in 0..whole.len() {
            let (left, right) = whole.split_at(at);
            assert_eq!(through(&[left, right]), "a 1\nb{x=\"# EOF\"} 2\n", "{at}");
        }
        assert_eq!(through(&["# EOF\n"]), "");
        assert_eq!(through(&["a 1\n# EOF"]), "a 1\n");
        assert_eq!(through(&["a 1"]), "a 1\n");
        assert_eq!(through(&[]), "");
        assert_eq!(through(&["a# EOF\n"]), "a# EOF\n");
    }

    #[test]
    fn half_of_a_line_is_never_passed_on() {
        let mut tail = Tail::default();
        let first = tail.push(b"first 1\nsecond 2\nthird 333333333333");
        assert_eq!(first, "first 1\nsecond 2\n");
        assert_eq!(tail.cut(), "");
    }

    #[test]
    fn the_agents_metrics_carry_its_name() {
        let text = "# HELP process_open_fds N.\n# TYPE process_open_fds gauge\n\
                    process_open_fds 3\n\nistio_agent_scrapes_total 1\n";
        let found = prefixed(text);
        assert!(found.contains("# TYPE istio_agent_process_open_fds gauge\n"));
        assert!(found.contains("\nistio_agent_process_open_fds 3\n"));
        assert!(
            found.ends_with("\nistio_agent_scrapes_total 1\n"),
            "{found}"
        );
    }
}
