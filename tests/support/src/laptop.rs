//! What stands for a kubelet where there is no cluster: tokens of the development authority, by the
//! real `meltemi token`.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name in the control plane's certificate.
pub const PLANE: &str = "istiod.istio-system.svc";

/// What clients of the control plane on the directory `config` trust.
#[must_use]
pub fn roots(config: &Path) -> PathBuf {
    config.join(".meltemi/root-cert.pem")
}

/// The words that ask for the token of a pod: namespace, service account, name.
#[must_use]
pub fn pod<'a>((namespace, account, name): (&'a str, &'a str, &'a str)) -> [&'a str; 6] {
    [
        "--namespace",
        namespace,
        "--service-account",
        account,
        "--pod",
        name,
    ]
}

/// What `meltemi token` answers for the directory `config`.
///
/// # Errors
/// It cannot be run, or refuses; the error holds what it says.
pub fn token(meltemi: &Path, config: &Path, words: &[&str]) -> Result<String> {
    let mut command = Command::new(meltemi);
    command.args(["token", "--config-dir"]).arg(config);
    let ran = command.args(words).output();
    let ran = ran.with_context(|| format!("cannot run {}", meltemi.display()))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(
        ran.status.success(),
        "meltemi token: {}: {said}",
        ran.status
    );
    Ok(String::from_utf8(ran.stdout)?.trim().to_owned())
}
