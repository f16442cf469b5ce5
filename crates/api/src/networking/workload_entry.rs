//! WorkloadEntry: a workload that is no Pod, a virtual machine for example; also an endpoint of a
//! ServiceEntry.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/workload-entry/>.

mod check;

use crate::message::message;
use std::collections::BTreeMap;

pub(crate) use check::UNIX;

message! {
    /// One workload.
    pub struct WorkloadEntry {
        /// An IP address, a DNS name (of a service with DNS resolution), or `unix://` and the
        /// absolute path of a socket (`unix://@NAME` for an abstract one). May be left out when
        /// `network` is set: the workload is then reached through that network's gateway.
        pub address: Option<String>,
        /// Port numbers by the names of the service's ports. Default: the service's target port.
        /// Not with a Unix socket.
        pub ports: BTreeMap<String, u32>,
        /// Labels that services and subsets select by.
        pub labels: BTreeMap<String, String>,
        /// The network that the address belongs to. Default: the mesh's flat one.
        pub network: Option<String>,
        /// Where it runs: `REGION/ZONE/SUBZONE`, or the front of it.
        pub locality: Option<String>,
        /// Share of the traffic relative to other endpoints. Default 1.
        pub weight: Option<u32>,
        /// The service account of the workload, when a sidecar runs beside it; of the namespace
        /// of the object.
        pub service_account: Option<String>,
    }
}
