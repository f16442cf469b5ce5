//! What the live tests share: a small shop to run, a client inside of it, a steady load.
//!
//! Each test starts a mesh of its own (the real `meltemid`, a real Envoy beside each workload) on
//! addresses that it leases, so tests run side by side. Nothing sleeps; every wait has a deadline.
//! When a test fails, its directory with all logs stays and the error names it.
#![deny(missing_docs)]

pub mod citadel;
pub mod load;
pub mod scenario;
pub mod scene;
pub mod secured;
pub mod shop;
