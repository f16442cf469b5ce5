//! Writes key and certificate for others in the pod (`OUTPUT_CERTS`), each file at once.
//!
//! All of it is on the disk before the first file is replaced, so a full disk leaves the files as
//! they were. The key is for the group of the pod, not for everybody as Istio's is.

use super::Material;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Replaces what differs.
pub(super) fn write(directory: &Path, material: &Material) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    // The key first: who sees a new certificate finds its key.
    let files: [(&str, u32, &[u8]); 3] = [
        ("key.pem", 0o640, material.key.expose()),
        ("cert-chain.pem", 0o644, &material.chain),
        ("root-cert.pem", 0o644, &material.roots),
    ];
    let differs = |(name, _, bytes): &(&str, u32, &[u8])| {
        !fs::read(directory.join(name)).is_ok_and(|old| old == *bytes)
    };
    let files: Vec<_> = files.into_iter().filter(differs).collect();
    let fresh = |name: &str| directory.join(format!(".{name}.new"));
    let written = files
        .iter()
        .try_for_each(|(name, mode, bytes)| create(&fresh(name), *mode, bytes));
    if written.is_err() {
        for (name, ..) in &files {
            // What could not be made need not be removed.
            let _ = fs::remove_file(fresh(name));
        }
        return written;
    }
    for (name, ..) in &files {
        fs::rename(fresh(name), directory.join(name))?;
    }
    Ok(())
}

fn create(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
