//! How a process lives: tracing, metrics, readiness, drain, supervised tasks.
//!
//! * [`trace`]: log lines, as text or with Istio's JSON keys.
//! * [`metrics`]: exact names for Prometheus, with help and chosen buckets.
//! * [`ready`]: named conditions that must all hold before traffic is welcome.
//! * [`drain`]: one signal that tells everything to finish.
//! * [`tasks`]: tasks with names; a critical one that ends, ends the process.
#![deny(missing_docs)]

pub mod drain;
pub mod metrics;
pub mod ready;
pub mod tasks;
pub mod trace;
