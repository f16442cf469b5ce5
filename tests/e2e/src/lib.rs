//! What the tests on a real Kubernetes share: the cluster, images, and a look at the machine that
//! tells whether a cluster left anything behind.

pub mod caller;
pub mod calls;
pub mod golden;
pub mod https;
pub mod inventory;
pub mod istioctl;
pub mod load;
mod machine;
pub mod mesh;
pub mod replica;
pub mod shop;
mod target;
pub mod town;
pub mod webhooks;
pub mod wire;

pub use machine::Machine;
pub use target::Target;

use anyhow::{Context, Result, ensure};
use std::path::PathBuf;

/// The archive of an image of ours.
///
/// # Errors
/// It has not been made; the error names the command that does it.
pub fn image(name: &str) -> Result<PathBuf> {
    let hint = "these tests are run by `cargo xtask e2e`, which makes the images first";
    let dir = std::env::var_os("MELTEMI_E2E_IMAGES").context(hint)?;
    let path = PathBuf::from(dir).join(format!("{name}.tar"));
    ensure!(path.is_file(), "there is no image {name}: {hint}");
    Ok(path)
}
