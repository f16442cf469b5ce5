//! The port file: which addresses are served, written whole by rename once everything listens.

use serde::Serialize;
use std::net::SocketAddr;
use std::path::Path;

/// The addresses; an empty text is "not served".
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ports {
    pid: u32,
    grpc: String,
    secure_grpc: String,
    http: String,
    monitoring: String,
    webhook: String,
}

impl Ports {
    /// What this process serves today.
    pub(crate) fn new(
        (grpc, secure): (Option<SocketAddr>, Option<SocketAddr>),
        (http, monitoring): (Option<SocketAddr>, Option<SocketAddr>),
        webhook: Option<SocketAddr>,
    ) -> Self {
        let text = |address: Option<SocketAddr>| address.map(|a| a.to_string()).unwrap_or_default();
        Self {
            pid: std::process::id(),
            grpc: text(grpc),
            secure_grpc: text(secure),
            http: text(http),
            monitoring: text(monitoring),
            webhook: text(webhook),
        }
    }

    /// Writes the file beside its name first, so that nobody reads half of it.
    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        let json = serde_json::to_vec(self)?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", self.pid));
        std::fs::write(&beside, json)?;
        std::fs::rename(&beside, path)
    }
}
