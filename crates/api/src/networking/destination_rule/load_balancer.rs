//! How an endpoint is chosen.

use super::{LocalityLbSetting, ZoneAwareLbSetting};
use crate::duration::Duration;
use crate::message::{choice, message};
use crate::percent::Decimal;

message! {
    /// How an endpoint is chosen. At most one of `simple` and `consistentHash` is set.
    pub struct LoadBalancerSettings {
        /// A simple algorithm. Default `LEAST_REQUEST`.
        pub simple: Option<SimpleLb>,
        /// Sends equal keys to the same endpoint, as far as possible.
        pub consistent_hash: Option<ConsistentHashLb>,
        /// Preferences by locality; replaces mesh config's setting.
        pub locality_lb_setting: Option<LocalityLbSetting>,
        /// Preference for the own zone as long as it has capacity.
        pub zone_aware_lb_setting: Option<ZoneAwareLbSetting>,
        /// Deprecated: how long new endpoints get less traffic. Use `warmup`.
        pub warmup_duration_secs: Option<Duration>,
        /// Gives new endpoints less traffic at first.
        pub warmup: Option<WarmupConfiguration>,
    }
}

choice! {
    /// The simple load balancing algorithms.
    pub enum SimpleLb {
        /// Istio's default, which is `LEAST_REQUEST`.
        Unspecified,
        /// Deprecated name of `LEAST_REQUEST`.
        LeastConn,
        /// A random healthy endpoint.
        Random,
        /// The address that the client asked for, whatever it is.
        Passthrough,
        /// One after the other.
        RoundRobin,
        /// The one with fewer active requests of two random picks.
        LeastRequest,
    }
}

message! {
    /// Consistent hashing. Exactly one key must be set.
    pub struct ConsistentHashLb {
        /// Key: this request header.
        pub http_header_name: Option<String>,
        /// Key: this cookie, made by the proxy when it is missing and has a `ttl`.
        pub http_cookie: Option<HttpCookie>,
        /// Key: the client's address.
        pub use_source_ip: Option<bool>,
        /// Key: this query parameter.
        pub http_query_parameter_name: Option<String>,
        /// The ring hash algorithm. The default.
        pub ring_hash: Option<RingHash>,
        /// The Maglev algorithm.
        pub maglev: Option<Maglev>,
        /// Deprecated: the size of the ring. Use `ringHash`.
        pub minimum_ring_size: Option<u64>,
    }
}

message! {
    /// Ring hash.
    pub struct RingHash {
        /// The smallest number of points on the ring, at most 8388608. Default 1024.
        pub minimum_ring_size: Option<u64>,
    }
}

message! {
    /// Maglev.
    pub struct Maglev {
        /// The size of the table, a prime number, at most 5000011. Default 65537.
        pub table_size: Option<u64>,
    }
}

message! {
    /// A cookie as hash key.
    pub struct HttpCookie {
        /// Its name. Required.
        pub name: String,
        /// The path to set on a cookie that the proxy makes.
        pub path: Option<String>,
        /// How long a cookie lives that the proxy makes; 0 for a session cookie. Default: none
        /// is made.
        pub ttl: Option<Duration>,
        /// Further attributes of a cookie that the proxy makes.
        pub attributes: Vec<CookieAttribute>,
    }
}

message! {
    /// An attribute of a cookie, for example `SameSite=Strict`.
    pub struct CookieAttribute {
        /// The name. Required.
        pub name: String,
        /// The value. Default: none.
        pub value: Option<String>,
    }
}

message! {
    /// Gives new endpoints less traffic at first.
    pub struct WarmupConfiguration {
        /// How long the warm-up takes; at least 1ms. Required.
        pub duration: Option<Duration>,
        /// The share of its weight that an endpoint starts with, 0 to 100. Default 10.
        pub minimum_percent: Option<Decimal>,
        /// How the share grows: 1 is linear, more is slower at first. Default 1.
        pub aggression: Option<Decimal>,
    }
}
