//! Answers the workload's DNS questions: names of the mesh from the control plane's table,
//! everything else from the servers of resolv.conf (platform.md 3.14).
//!
//! The table outlives the control plane; before the first one nothing is answered, because a name of
//! the mesh would be answered wrongly. Nothing is cached: what is forwarded passes byte by byte.

mod answer;
mod desk;
mod forward;
mod listen;
mod lot;
mod message;
mod resolv;
mod table;

pub use listen::{DnsError, Proxy};
pub use resolv::Resolv;

use std::net::SocketAddr;
use std::time::Duration;

/// Where it listens, whom it asks, and what short names mean here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// UDP and TCP addresses to listen on.
    pub addresses: Vec<SocketAddr>,
    /// Who is asked for names that the mesh has not, in the order of resolv.conf.
    pub servers: Vec<SocketAddr>,
    /// The first search domain of the pod, lower case, without dots around it.
    pub search: Option<String>,
    /// The domain of the proxy: `NAMESPACE.svc.cluster.local`.
    pub domain: String,
    /// How several servers are asked.
    pub order: Order,
    /// How long one server may take.
    pub timeout: Duration,
    /// What happens to questions before the first table.
    pub early: Early,
}

/// How several servers are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// In a random order, the next one when one fails or is silent for a second.
    InTurn,
    /// All at once; the first answer counts.
    AtOnce,
}

/// What happens to questions before the first table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// They fail, and are asked again.
    Fail,
    /// They are forwarded: the whole machine asks us, and must find the control plane.
    Forward,
}
