//! Answers that need no destination (redirects, direct responses) and rewrites of requests.

use crate::message::{choice, message};

message! {
    /// Answers with a redirect.
    pub struct HttpRedirect {
        /// The new path; replaces all of it, and drops the query unless it has one.
        pub uri: Option<String>,
        /// Replaces the part of the path that the prefix match covered.
        pub prefix_rewrite: Option<String>,
        /// The new host.
        pub authority: Option<String>,
        /// The new port, 1 to 65535.
        pub port: Option<u32>,
        /// Where the new port comes from, when no number is given.
        pub derive_port: Option<RedirectPort>,
        /// The new scheme, `http` or `https`.
        pub scheme: Option<String>,
        /// The status: 301, 302, 303, 307 or 308. Default 301.
        pub redirect_code: Option<u32>,
    }
}

choice! {
    /// Where the port of a redirect comes from.
    pub enum RedirectPort {
        /// 80 for HTTP, 443 for HTTPS.
        FromProtocolDefault,
        /// The port that the request came in on.
        FromRequestPort,
    }
}

message! {
    /// Rewrites requests before they are forwarded.
    pub struct HttpRewrite {
        /// Replaces the path, or the part of it that the prefix match covered.
        pub uri: Option<String>,
        /// Replaces the `Host` or `:authority` header.
        pub authority: Option<String>,
        /// Replaces parts of the path by a regular expression. Excludes `uri`.
        pub uri_regex_rewrite: Option<RegexRewrite>,
    }
}

message! {
    /// A replacement by a regular expression.
    pub struct RegexRewrite {
        /// What is replaced, in RE2 syntax.
        #[serde(rename = "match")]
        pub matches: String,
        /// The replacement; `\1` stands for the first group.
        pub rewrite: String,
    }
}

message! {
    /// Answers with a fixed response.
    pub struct HttpDirectResponse {
        /// The HTTP status, 200 to 599. Required.
        pub status: u32,
        /// The body. Default: empty.
        pub body: Option<HttpBody>,
    }
}

message! {
    /// The body of a direct response. One field is set.
    pub struct HttpBody {
        /// Text.
        pub string: Option<String>,
        /// Bytes, in base64.
        pub bytes: Option<String>,
    }
}
