//! A real one-node Kubernetes for tests: API server, controllers, scheduler, kubelet, kube-proxy,
//! containerd and CoreDNS in a network and a mount namespace of their own.
//!
//! The components outlive whoever started them. Everything that belongs to a cluster is found by
//! what it lives in (its network namespace, its control group, its run directory), never by a list
//! that somebody kept, so [`down`] also clears away what a killed start left. The binaries come
//! from `cargo xtask cluster build`; see docs/how-to/play-with-a-cluster.md.

pub mod access;
mod cgroups;
mod components;
mod config;
pub mod image;
mod inside;
mod needs;
mod node;
pub mod places;
mod space;
mod store;

pub use components::Component;
pub use needs::{Unavailable, check as check_needs};
pub use node::{Cluster, Lifetime, Options, down, sweep};
pub use store::EtcdCopy;

/// The version of every Kubernetes component: the last line that talks to containerd 1.x and whose
/// kubelet starts on cgroup v1. The same as in tests/cluster/kubernetes/go.mod.
pub const KUBERNETES: &str = "v1.35.4";
/// The node's address, in its own network namespace.
pub const ADDRESS: &str = "10.100.0.1";
