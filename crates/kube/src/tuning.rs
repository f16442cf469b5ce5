//! How patient the source is. Tests are less patient than clusters.

use std::time::Duration;

/// Times and sizes of the conversation with the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// How long the API server is asked to keep a watch open; up to twice that, so that watches
    /// do not end together. Default 60 s.
    pub watch: Duration,
    /// How long after its end a watch that says nothing is taken for dead, and how long the API
    /// server may be away before somebody should know. Default 15 s.
    pub grace: Duration,
    /// How long a streaming list may pause before pages are tried instead. Default 20 s.
    pub initial: Duration,
    /// How long an answer to a request may take to begin, and a page to arrive. Default 30 s.
    pub answer: Duration,
    /// The first wait after a failure; doubles. Default 200 ms.
    pub retry: Duration,
    /// The longest wait after failures. Default 10 s.
    pub retry_longest: Duration,
    /// How often a kind that is not installed is looked for. Default 4 s.
    pub absent: Duration,
    /// How long a kind must be missing before it is taken for gone. Default 10 s.
    pub confirm: Duration,
    /// How often everything is listed and compared with what watches said. Default 10 min.
    pub compare: Duration,
    /// How often the API server is asked whether it has gone back in time. Default 30 s.
    pub probe: Duration,
    /// Objects of a page. Default 500.
    pub page: u32,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            watch: Duration::from_secs(60),
            grace: Duration::from_secs(15),
            initial: Duration::from_secs(20),
            answer: Duration::from_secs(30),
            retry: Duration::from_millis(200),
            retry_longest: Duration::from_secs(10),
            absent: Duration::from_secs(4),
            confirm: Duration::from_secs(10),
            compare: Duration::from_secs(600),
            probe: Duration::from_secs(30),
            page: 500,
        }
    }
}
