//! Finds the descriptor set inside the locked `envoy-types` package.
//!
//! Cargo unpacks the package without compiling it (no target satisfies `cfg(any())`), and its
//! metadata tells where. The first try makes no connection; the second may download.

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::Command,
};

const PACKAGE: &str = "envoy-types";
const FILE: &str = "src/generated/types.bin";
const REMEDY: &str = "run `cargo fetch --locked` in the workspace with a connection to the \
                      package registry (or vendor all packages) and build again";

/// The path of the descriptor set.
pub(crate) fn descriptor_set() -> Result<PathBuf, Box<dyn Error>> {
    let manifest = match metadata("--frozen") {
        Ok(text) => text,
        Err(_) => metadata("--locked")?,
    };
    let parsed: serde_json::Value = serde_json::from_str(&manifest)?;
    let found = parsed
        .get("packages")
        .and_then(|packages| packages.as_array())
        .into_iter()
        .flatten()
        .find(|package| package.get("name").is_some_and(|name| name == PACKAGE))
        .and_then(|package| package.get("manifest_path")?.as_str())
        .and_then(|path| Path::new(path).parent())
        .map(|folder| folder.join(FILE));
    match found {
        Some(path) if path.is_file() => Ok(path),
        Some(path) => Err(format!("no descriptor set at {}: {REMEDY}", path.display()).into()),
        None => Err(format!(
            "package {PACKAGE} is not among the locked packages: keep it in crates/proto/Cargo.toml"
        )
        .into()),
    }
}

fn metadata(mode: &str) -> Result<String, Box<dyn Error>> {
    let folder = env::var("CARGO_MANIFEST_DIR")?;
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version", "1", mode, "--manifest-path"])
        .arg(Path::new(&folder).join("Cargo.toml"))
        .output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(format!("cannot find package {PACKAGE}: {REMEDY}; cargo said: {reason}").into())
}
