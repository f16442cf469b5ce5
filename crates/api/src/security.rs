//! The kinds of `security.istio.io`: who may talk to a workload, and how they prove it.
//!
//! Follows <https://istio.io/latest/docs/reference/config/security/>. Each main type is the `spec`
//! of its kind.

mod authorization_policy;
pub(crate) mod check;
mod peer_authentication;
mod request_authentication;

pub use crate::selector::{PolicyTargetReference, WorkloadSelector};
pub use authorization_policy::{
    Action, AuthorizationPolicy, Condition, ExtensionProviderRef, From, Operation, Rule, Source, To,
};
pub use peer_authentication::{MutualTls, MutualTlsMode, PeerAuthentication, PortKey};
pub use request_authentication::{ClaimToHeader, JwtHeader, JwtRule, RequestAuthentication};
