//! Rules for opaque TCP connections.

use super::RouteDestination;
use crate::message::message;
use std::collections::BTreeMap;

message! {
    /// One rule for TCP connections.
    pub struct TcpRoute {
        /// Alternatives; a connection must satisfy one of them. Default: every connection.
        #[serde(rename = "match")]
        pub matches: Vec<L4MatchAttributes>,
        /// The destinations, split by weight. Required.
        pub route: Vec<RouteDestination>,
    }
}

message! {
    /// Conditions on a TCP connection; all that are set must hold.
    pub struct L4MatchAttributes {
        /// Destination addresses, single or as CIDR.
        pub destination_subnets: Vec<String>,
        /// The port that the client connects to, 1 to 65535.
        pub port: Option<u32>,
        /// Reserved by Istio, without effect.
        pub source_subnet: Option<String>,
        /// Labels that the client's workload must carry.
        pub source_labels: BTreeMap<String, String>,
        /// Gateways that the condition is for; replaces the VirtualService's list.
        pub gateways: Vec<String>,
        /// The namespace that the client's workload must be in.
        pub source_namespace: Option<String>,
    }
}
