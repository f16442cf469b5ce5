//! Where things are: the repository, the target directory, built binaries, scratch directories.
//!
//! Cargo tells one package nothing about the binaries of another, so they are looked for beside
//! the running executable, and a missing one is an error that names the command that builds it.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The root of the repository this was built from.
#[must_use]
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The directory of the running profile, `target/debug` say.
///
/// # Errors
/// The running executable cannot be found.
pub fn profile() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("cannot find the running executable")?;
    let dir = exe
        .parent()
        .context("the running executable has no directory")?;
    match (dir.ends_with("deps"), dir.parent()) {
        (true, Some(profile)) => Ok(profile.to_path_buf()),
        _ => Ok(dir.to_path_buf()),
    }
}

/// The target directory.
///
/// # Errors
/// The running executable is not inside of one.
pub fn target() -> Result<PathBuf> {
    let profile = profile()?;
    let target = profile
        .parent()
        .context("the executable is not in a target directory")?;
    Ok(target.to_path_buf())
}

/// A binary of ours: in `MELTEMI_BIN_DIR`, else beside the running executable.
///
/// # Errors
/// It has not been built; the error names the command that builds it.
pub fn binary(name: &str) -> Result<PathBuf> {
    let dir = match std::env::var_os("MELTEMI_BIN_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => profile()?,
    };
    binary_in(&dir, name)
}

/// A binary of ours in `dir`.
///
/// # Errors
/// It has not been built; the error names the command that builds it.
pub fn binary_in(dir: &Path, name: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    if !path.is_file() {
        let dir = dir.display();
        bail!("{name} is not in {dir}; build it: cargo build --workspace --bins");
    }
    Ok(path)
}

/// A directory below `target/tmp` that goes away with the value, unless the test fails.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// A new empty directory whose name starts with `name`.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let unique = format!("{name}-{}-{count}", std::process::id());
        Self::at(target()?.join("tmp").join(unique))
    }

    /// Exactly this directory, emptied.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn at(path: PathBuf) -> Result<Self> {
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        let why = || format!("cannot make the directory {}", path.display());
        std::fs::create_dir_all(&path).with_context(why)?;
        Ok(Self { path, keep: false })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the directory behind.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep || std::thread::panicking() {
            return;
        }
        // What cannot be removed stays below target/tmp, where `cargo clean` finds it.
        let _left_behind = std::fs::remove_dir_all(&self.path);
    }
}
