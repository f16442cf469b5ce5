//! Stands between Envoy and the control plane: ADS on a Unix socket, forwarded over TLS.

use meltemi_types::Secret;
use std::path::PathBuf;

/// Where it listens and what it forwards to.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The socket, made with mode 0600.
    pub(crate) socket: PathBuf,
    /// The control plane, `host:port`.
    pub(crate) upstream: String,
    /// The name that its certificate must have, when it is not the host.
    pub(crate) san: Option<String>,
    /// The file with the roots of its certificate; `None`: plaintext (a laptop).
    pub(crate) roots: Option<PathBuf>,
    /// The file with the token that is shown; `None`: the workload's certificate is.
    pub(crate) token: Option<PathBuf>,
    /// Headers to add, as `XDS_HEADER_` variables set them.
    pub(crate) headers: Vec<(String, Secret<String>)>,
}

/// What is known of the conversation, for readiness and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Course {
    /// The control plane is connected now.
    pub(crate) connected: bool,
    /// Clusters were delivered to Envoy at least once.
    pub(crate) clusters: bool,
    /// Listeners were delivered to Envoy at least once.
    pub(crate) listeners: bool,
}
