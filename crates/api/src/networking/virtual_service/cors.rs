//! Cross-origin resource sharing.

use crate::duration::Duration;
use crate::message::{choice, message};
use crate::string_match::StringMatch;

message! {
    /// Which origins of other sites browsers let use a route.
    pub struct CorsPolicy {
        /// Deprecated: origins allowed, each exact, or `*` for all. Use `allowOrigins`.
        pub allow_origin: Vec<String>,
        /// Origins allowed: the one that matches is echoed to the browser.
        pub allow_origins: Vec<StringMatch>,
        /// HTTP methods allowed.
        pub allow_methods: Vec<String>,
        /// Request headers allowed.
        pub allow_headers: Vec<String>,
        /// Response headers that scripts may read.
        pub expose_headers: Vec<String>,
        /// How long a preflight answer may be cached; at least 1ms.
        pub max_age: Option<Duration>,
        /// Whether credentials may be sent. Default: not stated to the browser.
        pub allow_credentials: Option<bool>,
        /// What happens to a preflight request of another origin. Default `FORWARD`.
        pub unmatched_preflights: Option<UnmatchedPreflights>,
    }
}

choice! {
    /// What happens to a preflight request that matches no allowed origin.
    pub enum UnmatchedPreflights {
        /// The same as `FORWARD`.
        Unspecified,
        /// It is forwarded to the destination.
        Forward,
        /// The proxy answers it with 200, without CORS headers.
        Ignore,
    }
}
