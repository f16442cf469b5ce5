//! What the agent is made of: who the workload is, how Envoy gets to know it, and what stands between
//! Envoy and the control plane. The program wires them.
//!
//! * [`identity`]: key and certificate, from an authority or from files, renewed before they end.
//! * [`sds`]: gives them to Envoy.
//! * [`ads`]: forwards Envoy's streams to the control plane, and answers while that is away.
//! * [`dns`]: answers the workload's DNS questions from the names of the mesh.
//! * [`trust`]: whom the workload believes beside who signs for it.
//! * [`upstream`]: a gRPC server that must prove who it is before it is told anything.
//! * [`files`]: hears of files that were replaced.
#![deny(missing_docs)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        reason = "a test panics when it fails"
    )
)]

pub mod ads;
#[cfg(test)]
mod authority_double;
mod backoff;
pub mod dns;
pub mod families;
pub mod files;
pub mod identity;
pub mod sds;
mod socket;
pub mod trust;
pub mod upstream;
