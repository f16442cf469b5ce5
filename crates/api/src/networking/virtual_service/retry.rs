//! Retries of failed requests.

use crate::duration::Duration;
use crate::message::message;

message! {
    /// How failed requests are tried again.
    pub struct HttpRetry {
        /// Tries after the first one. Default 0, which turns retries off.
        pub attempts: Option<i64>,
        /// How long one try may take, the first one included; at least 1ms. Default: the
        /// timeout of the route.
        pub per_try_timeout: Option<Duration>,
        /// What is retried: Envoy's conditions and HTTP status codes, separated by commas.
        pub retry_on: Option<String>,
        /// Whether endpoints of other localities are tried too. Default false.
        pub retry_remote_localities: Option<bool>,
        /// Whether a retry avoids endpoints that failed before. Default true.
        pub retry_ignore_previous_hosts: Option<bool>,
        /// The shortest wait between tries; at least 1ms. Default 25ms.
        pub backoff: Option<Duration>,
    }
}
