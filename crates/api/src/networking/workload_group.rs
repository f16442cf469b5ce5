//! WorkloadGroup: what the WorkloadEntries of workloads that register themselves look like.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/workload-group/>.

mod check;

use super::workload_entry::WorkloadEntry;
use crate::mesh_config::ReadinessProbe;
use crate::message::message;
use std::collections::BTreeMap;

message! {
    /// A group of workloads that are no Pods.
    pub struct WorkloadGroup {
        /// Metadata that each WorkloadEntry of the group gets.
        pub metadata: Option<ObjectMetadata>,
        /// What each WorkloadEntry of the group starts from; the address comes from the workload.
        /// Required.
        pub template: Option<WorkloadEntry>,
        /// How the workload's own proxy finds out whether it is ready. Default: always ready.
        pub probe: Option<ReadinessProbe>,
    }
}

message! {
    /// Metadata of objects to be made.
    pub struct ObjectMetadata {
        /// Labels.
        pub labels: BTreeMap<String, String>,
        /// Annotations.
        pub annotations: BTreeMap<String, String>,
    }
}
