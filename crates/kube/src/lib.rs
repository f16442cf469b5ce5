//! The only door to the API server: typed changes in; status, leases and token reviews out.
//!
//! * [`connect()`]: a client with the timeouts that a control plane needs.
//! * [`TokenReviewer`]: who shows a service account's token.
//! * [`secret`]: the authority's key, which all replicas share.
//! * [`RootPublisher`]: the root certificate, put where workloads find it.
#![deny(missing_docs)]

mod connect;
mod roots;
pub mod secret;
mod token;
mod token_review;

pub use connect::{Access, ConnectError, connect};
pub use kube::Client;
pub use roots::RootPublisher;
pub use token::{BoundPod, TokenError, TokenUser};
pub use token_review::{Patience, TokenReviewer};
