//! Certificates of one run: an authority, a server, a client.

use anyhow::{Context, Result, bail};
use meltemi_testkit::paths::Scratch;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Files of certificates and keys.
#[derive(Debug)]
pub struct Certificates {
    dir: Scratch,
}

impl Certificates {
    /// Makes them with the `openssl` command.
    ///
    /// # Errors
    /// It is not installed or fails.
    pub fn make() -> Result<Self> {
        let dir = Scratch::new("certificates")?;
        let made = Self { dir };
        // One certificate is enough: it is its own authority, and both sides show it.
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=mesh",
            "-addext",
            "subjectAltName=DNS:mesh,URI:spiffe://cluster.local/ns/default/sa/default",
            "-keyout",
            &shown(&made.key()),
            "-out",
            &shown(&made.certificate()),
        ])?;
        Ok(made)
    }

    /// The certificate, also of the authority.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn openssl(words: &[&str]) -> Result<()> {
    let out = Command::new("openssl").args(words).output();
    let out = out.context("openssl cannot be run; install it: apt-get install openssl")?;
    if !out.status.success() {
        bail!(
            "openssl {words:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
    Ok(())
}
