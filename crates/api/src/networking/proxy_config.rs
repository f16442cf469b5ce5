//! ProxyConfig: settings of proxies that are read when they start, by workload.
//!
//! Follows <https://istio.io/latest/docs/reference/config/networking/proxy-config/>. Mesh config
//! has a larger message of the same name: [`crate::mesh_config`].

use crate::check::value::{not_negative, selector};
use crate::check::{Check, Findings};
use crate::message::message;
use crate::selector::WorkloadSelector;
use meltemi_types::FieldPath;
use std::collections::BTreeMap;

message! {
    /// Settings that a proxy reads when it starts.
    pub struct ProxyConfig {
        /// The workloads meant. Default: the namespace, or the mesh in the root namespace.
        pub selector: Option<WorkloadSelector>,
        /// The number of worker threads; 0 for one per CPU. Default: by the CPU limit.
        pub concurrency: Option<i32>,
        /// Environment variables of the proxy.
        pub environment_variables: BTreeMap<String, String>,
        /// The image of the proxy.
        pub image: Option<ProxyImage>,
    }
}

message! {
    /// The image of the proxy.
    pub struct ProxyImage {
        /// The flavour, for example `distroless`. Default: the one that is installed.
        pub image_type: Option<String>,
    }
}

impl Check for ProxyConfig {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        let Self {
            selector: workloads,
            concurrency,
            environment_variables: _,
            image: _,
        } = self;
        if let Some(workloads) = workloads {
            let at = at.field("selector").field("matchLabels");
            selector(&at, &workloads.match_labels, out);
        }
        let concurrency = concurrency.map(i64::from);
        not_negative(&at.field("concurrency"), concurrency, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::table;

    #[test]
    fn threads_are_counted_from_nought() {
        table::<ProxyConfig>(&[
            ("{}", ""),
            ("{concurrency: 0}", ""),
            ("{concurrency: -1}", "OutOfRange spec.concurrency"),
        ]);
    }
}
