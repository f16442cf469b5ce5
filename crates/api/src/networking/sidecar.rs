//! Sidecar: what a workload's proxy listens on, and which services it can reach.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/sidecar/>.

mod check;

use super::destination_rule::ConnectionPoolSettings;
use super::server_tls::ServerTlsSettings;
use super::virtual_service::Destination;
use crate::message::{choice, message};
use std::collections::BTreeMap;

message! {
    /// The listeners and the reach of sidecars.
    pub struct Sidecar {
        /// The workloads meant, in the object's namespace. Default: all that no other Sidecar
        /// selects.
        pub workload_selector: Option<WorkloadSelector>,
        /// Listeners for inbound traffic; replaces those made from the workload's services.
        pub ingress: Vec<IstioIngressListener>,
        /// Listeners for outbound traffic. Default: everything that is visible.
        pub egress: Vec<IstioEgressListener>,
        /// Limits on inbound connections and requests.
        pub inbound_connection_pool: Option<ConnectionPoolSettings>,
        /// What happens to traffic to unknown destinations. Default: mesh config's.
        pub outbound_traffic_policy: Option<OutboundTrafficPolicy>,
    }
}

message! {
    /// Selects workloads by their labels.
    pub struct WorkloadSelector {
        /// Labels that a workload must carry, all of them. Empty selects every workload.
        pub labels: BTreeMap<String, String>,
    }
}

message! {
    /// A listener for inbound traffic.
    pub struct IstioIngressListener {
        /// The port and its protocol. Required, each port once.
        pub port: Option<SidecarPort>,
        /// The IP address to bind. Default: the workload's.
        pub bind: Option<String>,
        /// How traffic gets to the listener. Default: as the proxy is set up.
        pub capture_mode: Option<CaptureMode>,
        /// Where the traffic goes: `127.0.0.1:PORT`, `0.0.0.0:PORT`, `[::1]:PORT`,
        /// `[::]:PORT` or `unix:///PATH`. Default: the port of the workload itself.
        pub default_endpoint: Option<String>,
        /// TLS termination for clients outside of the mesh.
        pub tls: Option<ServerTlsSettings>,
        /// Limits on connections and requests of this port.
        pub connection_pool: Option<ConnectionPoolSettings>,
    }
}

message! {
    /// A listener for outbound traffic.
    pub struct IstioEgressListener {
        /// The port and its protocol. Default: any port of the services imported.
        pub port: Option<SidecarPort>,
        /// The IP address or Unix socket (`unix:///PATH`) to bind; needs `port`.
        pub bind: Option<String>,
        /// How traffic gets to the listener. Default: as the proxy is set up.
        pub capture_mode: Option<CaptureMode>,
        /// The services imported, as `NAMESPACE/HOST`: the namespace a name, `.` (the own one),
        /// `*` (all) or `~` (none), the host a name, one with a leading `*`, or `*`. Required.
        pub hosts: Vec<String>,
    }
}

choice! {
    /// How traffic gets to a listener.
    pub enum CaptureMode {
        /// As the proxy is set up.
        Default,
        /// By redirection.
        Iptables,
        /// The application connects to it.
        None,
    }
}

message! {
    /// What happens to traffic to unknown destinations.
    pub struct OutboundTrafficPolicy {
        /// Whether it is let out. Default `REGISTRY_ONLY`.
        pub mode: Option<OutboundTrafficPolicyMode>,
        /// A service that all of it is sent to, with `ALLOW_ANY`.
        pub egress_proxy: Option<Destination>,
    }
}

choice! {
    /// Whether traffic to unknown destinations is let out.
    pub enum OutboundTrafficPolicyMode {
        /// No: only what the registry knows.
        RegistryOnly,
        /// Yes.
        AllowAny,
    }
}

message! {
    /// A port of a listener.
    pub struct SidecarPort {
        /// The port number, 1 to 65535. Required.
        pub number: u32,
        /// The protocol, for example `HTTP`. Default: told by the name, else by looking.
        pub protocol: Option<String>,
        /// A name.
        pub name: Option<String>,
        /// Without effect here.
        pub target_port: Option<u32>,
    }
}
