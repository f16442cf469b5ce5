//! What tests, demo and benchmarks share: real Envoys, workloads, a control plane, an ADS client.
//!
//! Everything but the ADS client is blocking and needs no runtime, so `cargo xtask` stays quick to
//! build. Every process that is started here dies with the one that started it, however that ends
//! (see [`guard`]). Nothing sleeps: [`wait::until`] looks for an event and has a deadline.
#![deny(missing_docs)]

#[cfg(feature = "ads")]
pub mod ads_client;
pub mod agent;
pub mod api_server;
#[cfg(feature = "ads")]
pub mod caller;
pub mod cluster;
pub mod couple;
pub mod envoy;
pub mod guard;
pub mod helm;
pub mod http;
pub mod http2;
#[cfg(feature = "ads")]
pub mod keys;
pub mod laptop;
pub mod lease;
pub mod mesh;
pub mod openssl;
pub mod paths;
pub mod plane;
pub mod process;
pub mod reviews;
pub mod rewrite;
pub mod secrets;
pub mod wait;
#[cfg(feature = "ads")]
pub mod webhooks;
