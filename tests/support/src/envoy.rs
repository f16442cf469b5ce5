//! A real Envoy 1.40: find it, let it judge a configuration, run it.
//!
//! It runs with `--disable-hot-restart`: many Envoys run side by side without base ids, and one
//! that is killed leaves no shared memory behind, which `--use-dynamic-base-id` does.

pub mod admin;
pub mod health;

use crate::http::Client;
use crate::process::{Process, Spec};
use crate::{paths, wait};
use admin::Admin;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The only version that is accepted.
pub const VERSION: &str = "1.40";
const START: Duration = Duration::from_secs(20);

/// Envoy's binary: `MELTEMI_ENVOY`, else `target/tools/envoy`, else the first `envoy` on `PATH`
/// that reports 1.40.
///
/// # Errors
/// There is none; the error names the command that fetches it.
pub fn find() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("MELTEMI_ENVOY") {
        let path = PathBuf::from(path);
        check(&path).context("MELTEMI_ENVOY must name an Envoy 1.40")?;
        return Ok(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fetched = paths::target().map(|target| target.join("tools/envoy"));
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("envoy"));
    let mut candidates = fetched.into_iter().chain(on_path);
    let found = candidates.find(|path| path.is_file() && check(path).is_ok());
    found
        .context("no Envoy 1.40 found; `cargo xtask test` fetches it, or name one in MELTEMI_ENVOY")
}

/// Makes sure that `binary` runs here and is of the right version.
///
/// # Errors
/// It does not run, or reports another version.
pub fn check(binary: &Path) -> Result<()> {
    let out = Command::new(binary).arg("--version").output();
    let out = out.with_context(|| format!("cannot run {}", binary.display()))?;
    let text = String::from_utf8_lossy(&out.stdout);
    if !out.status.success() || !text.contains(&format!("/{VERSION}.")) {
        let first = text.trim().lines().next().unwrap_or_default();
        bail!("{} reports {first:?}, not {VERSION}", binary.display());
    }
    Ok(())
}

/// Asks Envoy whether it would accept a bootstrap.
///
/// # Errors
/// It would not; the error is Envoy's own.
pub fn validate(binary: &Path, bootstrap: &Value, dir: &Path) -> Result<()> {
    let config = dir.join("validate.json");
    std::fs::write(&config, bootstrap.to_string())?;
    let mut command = Command::new(binary);
    command
        .args([
            "--mode",
            "validate",
            "--log-level",
            "error",
            "--config-path",
        ])
        .arg(&config);
    let out = command
        .output()
        .with_context(|| format!("cannot run {}", binary.display()))?;
    if !out.status.success() {
        let why = String::from_utf8_lossy(&out.stderr);
        bail!("envoy refuses {}: {}", config.display(), why.trim());
    }
    Ok(())
}

/// How to run an Envoy.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names its files and errors.
    pub name: String,
    /// Worker threads.
    pub concurrency: u32,
    /// Where bootstrap, log and pid file go.
    pub dir: PathBuf,
}

/// A running Envoy. Dropping it kills it.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: Admin,
}

impl Envoy {
    /// Starts Envoy on a bootstrap and waits until its admin interface answers; it is not live
    /// before its configuration has arrived, see [`Admin::wait_live`].
    ///
    /// # Errors
    /// It does not start.
    pub fn start(binary: &Path, bootstrap: &Value, options: &Options) -> Result<Self> {
        let Options {
            name,
            concurrency,
            dir,
        } = options;
        let config = dir.join(format!("{name}.json"));
        let address_file = dir.join(format!("{name}.admin"));
        std::fs::write(&config, serde_json::to_string_pretty(bootstrap)?)?;
        if address_file.exists() {
            std::fs::remove_file(&address_file)?;
        }
        let spec = Spec::new(name, binary, dir)
            .option("--config-path", &config)
            .option("--admin-address-path", &address_file)
            .option("--concurrency", concurrency.to_string())
            .option("--drain-time-s", "1")
            .option("--parent-shutdown-time-s", "2")
            .option("--log-level", "info")
            .arg("--disable-hot-restart");
        let mut process = Process::start(&spec)?;
        let address = wait::until(&format!("the admin address of {name}"), START, || {
            process.expect_running()?;
            Ok(std::fs::read_to_string(&address_file)
                .ok()
                .and_then(|text| text.parse().ok()))
        })?;
        let admin = Admin::new(address, Client::new(Duration::from_secs(10)));
        Ok(Self { process, admin })
    }

    /// The admin interface.
    #[must_use]
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// The address of the admin interface.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// The process.
    #[must_use]
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Asks it to quit and waits until it has.
    ///
    /// # Errors
    /// It does not end in time; then it is killed.
    pub fn quit(&mut self) -> Result<()> {
        self.admin.post("/quitquitquit")?;
        wait::until("envoy to quit", Duration::from_secs(10), || {
            self.process.ended()
        })?;
        Ok(())
    }
}
