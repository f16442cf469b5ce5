//! The words of the mesh: a validated newtype for every identity, name and number.
//!
//! * [`host`]: exact hostnames and wildcard patterns.
//! * [`names`]: namespaces, object names, service accounts, clusters, networks, revisions.
//! * [`net`]: ports, protocols, IP families, localities.
//! * [`labels`]: label sets and selectors.
//! * [`xds`]: type URLs, versions, node identifiers.
//! * [`object`]: which object, which field, which line: [`Origin`].
//! * [`diagnostic`]: what is wrong with what a user wrote, and the stable codes.
//! * [`secret`]: values that never reach a log.
//! * [`spiffe`]: who a workload is, in a certificate.
#![deny(missing_docs)]

pub mod diagnostic;
pub mod host;
pub mod labels;
pub mod names;
pub mod net;
pub mod object;
pub mod secret;
pub mod spiffe;
mod text;
pub mod xds;

pub use diagnostic::{Code, Diagnostic, Severity};
pub use host::{HostPattern, Hostname};
pub use labels::{Labels, Selector};
pub use names::{
    ClusterId, Namespace, NetworkId, ObjectName, PortName, Revision, ServiceAccount, TrustDomain,
};
pub use net::{IpFamilies, Locality, Port, Protocol};
pub use object::{FieldPath, Location, ObjectRef, Origin};
pub use secret::Secret;
pub use spiffe::SpiffeId;
pub use text::Invalid;
pub use xds::{NodeId, Nonce, ProxyKind, TypeUrl, Version};
