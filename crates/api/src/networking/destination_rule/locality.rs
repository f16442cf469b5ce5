//! Preferences by region, zone and subzone.

use crate::message::message;
use std::collections::BTreeMap;

message! {
    /// Load balancing by locality. At most one of `distribute`, `failover` and, together with
    /// either, none is set; `failoverPriority` may go with `failover`.
    pub struct LocalityLbSetting {
        /// Explicit shares by the client's locality.
        pub distribute: Vec<Distribute>,
        /// Which region takes over for which.
        pub failover: Vec<Failover>,
        /// Labels that decide how near an endpoint is, the most important first.
        pub failover_priority: Vec<String>,
        /// Whether localities matter. Default: mesh config's, true.
        pub enabled: Option<bool>,
    }
}

message! {
    /// Shares of traffic that starts in one locality.
    pub struct Distribute {
        /// The client's locality: `region/zone/subzone`, each part may be `*`.
        pub from: String,
        /// Localities and their shares in percent; the sum is 100.
        pub to: BTreeMap<String, u32>,
    }
}

message! {
    /// One region takes over for another.
    pub struct Failover {
        /// The region that fails.
        pub from: String,
        /// The region that takes over.
        pub to: String,
    }
}

message! {
    /// Zone-aware load balancing.
    pub struct ZoneAwareLbSetting {
        /// Whether it is on.
        pub enabled: Option<bool>,
        /// Which region takes over for which.
        pub failover: Vec<Failover>,
        /// Labels that decide how near an endpoint is, the most important first.
        pub failover_priority: Vec<String>,
        /// Endpoints that must be there for zones to matter; at least 1. Default 6.
        pub min_cluster_size: Option<u64>,
    }
}
