//! The ADS server over real sockets, with a hand-made assignment instead of a translation.
//!
//! * [`Desk`]: a source whose state a test edits, and that keeps what was reported.
//! * [`mesh`]: the fewest resources with which an Envoy routes a request.
//! * [`Proxy`]: a real Envoy as a child that dies with its owner.

mod desk;
pub mod mesh;
mod proxy;

pub use desk::{Desk, Serving};
pub use proxy::{Proxy, Stats};
