//! What proxies read: generated Envoy messages and their descriptors, no logic.
//!
//! The modules `envoy`, `google`, `xds`, `udpa`, `cel`, `istio` and so on mirror the packages:
//! `meltemi_proto::envoy::config::cluster::v3::Cluster`. Maps are `BTreeMap`, so equal messages
//! encode to equal bytes. The hand-written modules beside them pack messages into `Any`, show and
//! read them as JSON, carry encoded resources, and check the
//! validation rules that come with the descriptors.

pub mod any;
pub mod canonical;
pub mod pool;
pub mod resource;
pub mod rules;
pub mod sensitive;
pub mod urls;
mod wellknown;

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    unreachable_pub,
    dead_code,
    deprecated,
    rustdoc::all,
    reason = "generated"
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/modules.rs"));
}

pub use generated::*;
