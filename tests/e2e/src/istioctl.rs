//! The real istioctl, which `cargo xtask e2e` builds.

use anyhow::{Result, ensure};
use meltemi_testkit::cluster::places;
use std::path::PathBuf;

/// The binary: `MELTEMI_ISTIOCTL`, else the one that `tests/cluster/istioctl` pins.
///
/// # Errors
/// It has not been built; the error names the command that does it.
pub fn find() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("MELTEMI_ISTIOCTL").filter(|value| !value.is_empty()) {
        let path = PathBuf::from(named);
        ensure!(
            path.is_file(),
            "MELTEMI_ISTIOCTL: {} is no file",
            path.display()
        );
        return Ok(path);
    }
    let path = places::istioctl()?;
    ensure!(
        path.is_file(),
        "istioctl has not been built; build it and run its test: cargo xtask e2e istioctl"
    );
    Ok(path)
}
