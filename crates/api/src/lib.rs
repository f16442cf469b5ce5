//! What users write: one file per kind, schema, defaults and checks that need only that object;
//! and how objects arrive.
//!
//! * [`networking`], [`security`], [`telemetry`], [`extensions`]: Istio's kinds, with [`duration`], [`percent`],
//!   [`selector`] and [`string_match`] as their words.
//! * [`kinds`]: the table of kinds: groups, versions, names.
//! * [`object`], [`meta`], [`status`]: every watched kind behind one enum, with metadata and
//!   positions.
//! * [`check`], [`regex`]: what is wrong with an object by itself.
//! * [`change`]: what a source says; the same type for a directory and an API server.
//! * [`mesh_config`], [`mesh_networks`]: settings of the whole mesh and of its proxies.
//! * [`kubernetes`]: from the API server's typed objects to ours.
//! * [`stored`]: objects as an API server gives them.
//! * [`yaml`]: what users write, with every mistake at its line.
#![deny(missing_docs)]

pub mod change;
pub mod check;
pub mod duration;
pub mod extensions;
pub mod kinds;
pub mod kubernetes;
pub mod mesh_config;
pub mod mesh_networks;
mod message;
pub mod meta;
pub mod networking;
pub mod object;
pub mod percent;
pub mod regex;
pub mod security;
pub mod selector;
pub mod status;
pub mod stored;
pub mod string_match;
pub mod telemetry;
pub mod yaml;

pub use change::{Broken, Change};
pub use check::{Check, Finding, Findings};
pub use kinds::Kind;
pub use meta::{Meta, Positions};
pub use object::{Object, Resource};
