//! Gives Envoy its certificates: the secret discovery service on a Unix socket.

use std::path::PathBuf;

/// Where it listens.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The socket, made with mode 0600.
    pub(crate) socket: PathBuf,
}
