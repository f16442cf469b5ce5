//! The real istioctl. It takes minutes of two processors to build and one test needs it, so it is
//! built by that test, once, and kept in the cache of the cluster's programs.

use anyhow::{Context, Result, ensure};
use meltemi_testkit::cluster::places::{cache, sources};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The binary: `MELTEMI_ISTIOCTL`, else the one that `tests/cluster/istioctl` pins.
///
/// # Errors
/// There is no Go, or it cannot build it.
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
    let folder = sources().join("istioctl");
    let mut hash = DefaultHasher::new();
    for file in ["go.mod", "go.sum"] {
        let path = folder.join(file);
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        text.hash(&mut hash);
    }
    let dir = cache()?
        .join("cluster")
        .join(format!("istioctl-{:016x}", hash.finish()));
    let binary = dir.join("istioctl");
    if !binary.is_file() {
        std::fs::create_dir_all(&dir)?;
        build(&folder, &binary)?;
    }
    Ok(binary)
}

fn build(folder: &Path, binary: &Path) -> Result<()> {
    eprintln!("building istioctl: once, about 10 minutes");
    // By its final name it is complete.
    let partial = binary.with_extension(std::process::id().to_string());
    let local = Path::new("/usr/local/go/bin/go");
    let go = if local.is_file() {
        local
    } else {
        Path::new("go")
    };
    let status = Command::new(go)
        .args(["build", "-trimpath", "-buildvcs=false", "-mod=readonly"])
        .args(["-ldflags", "-s -w", "-o"])
        .arg(&partial)
        .arg("istio.io/istio/istioctl/cmd/istioctl")
        .current_dir(folder)
        .env("CGO_ENABLED", "0")
        .status()
        .context("cannot run Go 1.26; install it: https://go.dev/doc/install")?;
    ensure!(status.success(), "Go could not build istioctl: {status}");
    std::fs::rename(&partial, binary)?;
    Ok(())
}
