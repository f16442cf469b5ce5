//! SHA-256, by the `sha256sum` that every Linux has: no package of ours is needed for it.

use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The digest of a file, in hexadecimal.
pub(in super::super) fn of_file(path: &Path) -> Result<String> {
    let file =
        std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut command = Command::new("sha256sum");
    let out = command
        .stdin(file)
        .output()
        .context("cannot run sha256sum")?;
    first(&out)
}

/// The digest of some bytes, in hexadecimal.
pub(in super::super) fn of_bytes(bytes: &[u8]) -> Result<String> {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run sha256sum")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(bytes)?;
    }
    first(&child.wait_with_output()?)
}

fn first(out: &std::process::Output) -> Result<String> {
    let text = String::from_utf8_lossy(&out.stdout);
    let digest = text.split_whitespace().next().unwrap_or_default();
    ensure!(
        digest.len() == 64,
        "sha256sum ended with {}: {text}",
        out.status
    );
    Ok(digest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_bytes_agree() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(of_bytes(b"").unwrap(), empty);
        assert_eq!(of_file(Path::new("/dev/null")).unwrap(), empty);
    }
}
