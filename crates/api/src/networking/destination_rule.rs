//! DestinationRule: what happens to traffic once its destination is chosen.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/destination-rule/>.

mod check;
mod connection_pool;
mod load_balancer;
mod locality;
mod outlier;
mod tls;
mod traffic_policy;

pub use connection_pool::{
    ConnectionPoolSettings, H2UpgradePolicy, Http2KeepAlive, HttpSettings, TcpKeepalive,
    TcpSettings,
};
pub use load_balancer::{
    ConsistentHashLb, CookieAttribute, HttpCookie, LoadBalancerSettings, Maglev, RingHash,
    SimpleLb, WarmupConfiguration,
};
pub use locality::{Distribute, Failover, LocalityLbSetting, ZoneAwareLbSetting};
pub use outlier::OutlierDetection;
pub use tls::{ClientTlsSettings, TlsMode};
pub use traffic_policy::{
    PortTrafficPolicy, ProxyProtocol, ProxyProtocolVersion, RetryBudget, TrafficPolicy,
    TunnelSettings,
};

use crate::message::message;
use crate::selector::WorkloadSelector;
use std::collections::BTreeMap;

message! {
    /// Policies for the traffic to one host, and the subsets of it.
    pub struct DestinationRule {
        /// The service's host name, or one with a leading `*`; a short name is completed with
        /// the namespace of the object. Required.
        pub host: String,
        /// Policies for all traffic to the host.
        pub traffic_policy: Option<TrafficPolicy>,
        /// Named parts of the host's endpoints.
        pub subsets: Vec<Subset>,
        /// The namespaces that see the rule: names, `.` (the own one) or `*` (all). Default:
        /// mesh config's `defaultDestinationRuleExportTo`.
        pub export_to: Vec<String>,
        /// The client workloads that use the rule, in the rule's namespace. Default: all.
        pub workload_selector: Option<WorkloadSelector>,
    }
}

message! {
    /// A named part of a host's endpoints.
    pub struct Subset {
        /// The name that routes refer to. Required, unique in the rule.
        pub name: String,
        /// Labels that an endpoint must carry, all of them. Empty selects every endpoint.
        pub labels: BTreeMap<String, String>,
        /// Policies that replace those of the rule, block by block.
        pub traffic_policy: Option<TrafficPolicy>,
    }
}
