//! Changes of HTTP headers.

use crate::message::message;
use std::collections::BTreeMap;

message! {
    /// Changes of headers, on the way there and back.
    pub struct Headers {
        /// Applied to requests before they are forwarded.
        pub request: Option<HeaderOperations>,
        /// Applied to responses before they are returned.
        pub response: Option<HeaderOperations>,
    }
}

message! {
    /// Changes of one set of headers: `remove`, `set` and `add`.
    pub struct HeaderOperations {
        /// Headers that replace those of the same name.
        pub set: BTreeMap<String, String>,
        /// Values appended to what is there.
        pub add: BTreeMap<String, String>,
        /// Names of headers to drop.
        pub remove: Vec<String>,
    }
}
