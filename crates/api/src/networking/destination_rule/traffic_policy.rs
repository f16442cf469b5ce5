//! The policies of a host, a subset or a port.

use super::{ClientTlsSettings, ConnectionPoolSettings, LoadBalancerSettings, OutlierDetection};
use crate::duration::Duration;
use crate::message::{choice, message};
use crate::networking::virtual_service::PortSelector;
use crate::percent::Decimal;

message! {
    /// Policies for the traffic to a host or a subset.
    pub struct TrafficPolicy {
        /// How an endpoint is chosen. Default: least requests.
        pub load_balancer: Option<LoadBalancerSettings>,
        /// Limits on connections and requests.
        pub connection_pool: Option<ConnectionPoolSettings>,
        /// When failing endpoints are left out.
        pub outlier_detection: Option<OutlierDetection>,
        /// TLS towards the host. Default: chosen automatically.
        pub tls: Option<ClientTlsSettings>,
        /// Policies by service port. An entry replaces the four blocks above as a whole.
        pub port_level_settings: Vec<PortTrafficPolicy>,
        /// Tunnels TCP connections through an HTTP proxy.
        pub tunnel: Option<TunnelSettings>,
        /// The PROXY protocol header sent to the host.
        pub proxy_protocol: Option<ProxyProtocol>,
        /// Limits retries in relation to the requests that are active.
        pub retry_budget: Option<RetryBudget>,
    }
}

message! {
    /// Policies for the traffic to one service port.
    pub struct PortTrafficPolicy {
        /// The service port. Required.
        pub port: Option<PortSelector>,
        /// How an endpoint is chosen. Default: least requests.
        pub load_balancer: Option<LoadBalancerSettings>,
        /// Limits on connections and requests.
        pub connection_pool: Option<ConnectionPoolSettings>,
        /// When failing endpoints are left out.
        pub outlier_detection: Option<OutlierDetection>,
        /// TLS towards the host. Default: chosen automatically.
        pub tls: Option<ClientTlsSettings>,
    }
}

message! {
    /// A tunnel for TCP connections.
    pub struct TunnelSettings {
        /// How the tunnel is opened: `CONNECT` or `POST`. Default `CONNECT`.
        pub protocol: Option<String>,
        /// The host at the far end. Required.
        pub target_host: String,
        /// The port at the far end, 1 to 65535. Required.
        pub target_port: u32,
    }
}

message! {
    /// The PROXY protocol towards the host.
    pub struct ProxyProtocol {
        /// The version of the header. Default `V1`.
        pub version: Option<ProxyProtocolVersion>,
    }
}

choice! {
    /// A version of the PROXY protocol.
    pub enum ProxyProtocolVersion {
        /// The text header.
        V1,
        /// The binary header.
        V2,
    }
}

message! {
    /// Limits concurrent retries.
    pub struct RetryBudget {
        /// The share of active and pending requests that may be retries, 0 to 100. Default 20.
        pub percent: Option<Decimal>,
        /// The time over which requests are counted.
        pub budget_interval: Option<Duration>,
        /// Retries that are always allowed at once. Default 3.
        pub min_retry_concurrency: Option<u32>,
    }
}
