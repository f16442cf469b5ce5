//! Files that others read at any moment: each is whole or not there.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Brings a file to these bytes and this mode; false when it was so already.
pub(super) fn put(path: &Path, bytes: &[u8], mode: u32) -> Result<bool, String> {
    let mode_of = |path: &Path| Some(path.metadata().ok()?.permissions().mode() & 0o7777);
    if std::fs::read(path).is_ok_and(|found| found == bytes) && mode_of(path) == Some(mode) {
        return Ok(false);
    }
    let why = |e: std::io::Error| format!("{}: {e}", path.display());
    let folder = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Its end is none that a runtime takes for a configuration.
    let new = folder.join(format!(".{name}.{}.new", std::process::id()));
    let written = write(&new, bytes, mode).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        // It may never have been made.
        let _left = std::fs::remove_file(&new);
    }
    written.map_err(why)?;
    // So that a node that loses power has the old file or the new one.
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(why)?;
    Ok(true)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)?;
    // The mask of this process must not count.
    file.set_permissions(PermissionsExt::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Takes a file away, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), String> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_when_it_differs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        assert_eq!(put(&path, b"1", 0o600), Ok(true));
        assert_eq!(put(&path, b"1", 0o600), Ok(false));
        assert_eq!(put(&path, b"1", 0o755), Ok(true));
        assert_eq!(put(&path, b"2", 0o755), Ok(true));
        assert_eq!(std::fs::read(&path).unwrap(), b"2");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(put(&dir.path().join("no/a"), b"1", 0o600).is_err());
        assert_eq!(remove(&path), Ok(()));
        assert_eq!(remove(&path), Ok(()));
    }
}
