//! Rules for TLS connections that are passed through, by server name.

use super::RouteDestination;
use crate::message::message;
use std::collections::BTreeMap;

message! {
    /// One rule for TLS connections.
    pub struct TlsRoute {
        /// Alternatives; a connection must satisfy one of them. Required.
        #[serde(rename = "match")]
        pub matches: Vec<TlsMatchAttributes>,
        /// The destinations, split by weight. Required.
        pub route: Vec<RouteDestination>,
    }
}

message! {
    /// Conditions on a TLS connection; all that are set must hold.
    pub struct TlsMatchAttributes {
        /// Server names, exact or with a leading `*`; each must be covered by a host of the
        /// VirtualService. Required.
        pub sni_hosts: Vec<String>,
        /// Destination addresses, single or as CIDR.
        pub destination_subnets: Vec<String>,
        /// The port that the client connects to, 1 to 65535.
        pub port: Option<u32>,
        /// Labels that the client's workload must carry.
        pub source_labels: BTreeMap<String, String>,
        /// Gateways that the condition is for; replaces the VirtualService's list.
        pub gateways: Vec<String>,
        /// The namespace that the client's workload must be in.
        pub source_namespace: Option<String>,
    }
}
