//! Stands between Envoy and the control plane: ADS on a Unix socket, forwarded over TLS.

use meltemi_types::Secret;
use std::path::PathBuf;

/// Where it listens and what it forwards to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The socket, made with mode 0600.
    pub socket: PathBuf,
    /// The control plane, `host:port`.
    pub upstream: String,
    /// The name that its certificate must have, when it is not the host.
    pub san: Option<String>,
    /// The file with the roots of its certificate; `None`: plaintext (a laptop).
    pub roots: Option<PathBuf>,
    /// The file with the token that is shown; `None`: the workload's certificate is.
    pub token: Option<PathBuf>,
    /// Headers to add, as `XDS_HEADER_` variables set them.
    pub headers: Vec<(String, Secret<String>)>,
    /// Asks for the names of the mesh, for a DNS proxy.
    pub name_table: bool,
}

/// What is known of the conversation, for readiness and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// The control plane is connected now.
    pub connected: bool,
    /// Clusters were delivered to Envoy at least once.
    pub clusters: bool,
    /// Listeners were delivered to Envoy at least once.
    pub listeners: bool,
}
