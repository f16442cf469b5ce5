//! The store behind the API server: copied, and brought back to an older copy as after a disaster.

use super::components::Component;
use super::node::Cluster;
use super::space;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What etcd held at one moment. It lies below the cluster's run directory and goes with it.
#[derive(Debug)]
pub struct EtcdCopy(PathBuf);

impl Cluster {
    /// Copies what etcd holds. It is down for that moment, as its files are whole only then.
    ///
    /// # Errors
    /// etcd cannot be stopped or started, or there is no space.
    pub fn copy_of_etcd(&self) -> Result<EtcdCopy> {
        let copy = self.places().run().join("etcd-copy");
        self.kill(Component::Etcd)?;
        replace(&self.etcd(), &copy)?;
        self.start(Component::Etcd)?;
        Ok(EtcdCopy(copy))
    }

    /// Stops API server and etcd, puts the copy in place and starts both. Versions go back, and
    /// what was written since is gone. Wait for the API server before the next request.
    ///
    /// # Errors
    /// One of them cannot be stopped or started.
    pub fn restore_etcd(&self, copy: &EtcdCopy) -> Result<()> {
        self.kill(Component::ApiServer)?;
        self.kill(Component::Etcd)?;
        replace(&copy.0, &self.etcd())?;
        self.start(Component::Etcd)?;
        self.start(Component::ApiServer)
    }

    fn etcd(&self) -> PathBuf {
        self.places().run().join("etcd")
    }
}

/// Makes `to` what `from` is.
fn replace(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        let cannot = || format!("cannot remove {}", to.display());
        std::fs::remove_dir_all(to).with_context(cannot)?;
    }
    space::run(Command::new("cp").arg("-a").arg(from).arg(to))?;
    Ok(())
}
