//! Unix sockets for the proxy beside us alone.
//!
//! The socket is bound under another name, closed to everybody else, and then renamed: nobody can
//! connect in between, and what was left there by a predecessor is replaced.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use tokio::net::{UnixListener, UnixStream};

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {path}: {why}; its directory must be writable, its path below 108 bytes")]
pub struct SocketError {
    path: String,
    why: io::Error,
}

/// Listens on `path`, for this user only.
pub(crate) fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    listen(path).map_err(|why| {
        let path = path.display().to_string();
        SocketError { path, why }
    })
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(directory)?;
    }
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&fresh)?;
    fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
    fs::rename(&fresh, path)?;
    Ok(listener)
}

/// True when somebody listens on `path` already.
pub(crate) async fn is_served(path: &Path) -> bool {
    UnixStream::connect(path).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_ours_alone_and_replaces_a_stale_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/socket");
        assert!(!is_served(&path).await);
        drop(bind(&path).unwrap());
        assert!(!is_served(&path).await, "what is left does not answer");
        let _listener = bind(&path).unwrap();
        assert!(is_served(&path).await);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_path_that_cannot_be_says_so() {
        let error = bind(Path::new("/proc/none/socket")).unwrap_err();
        assert!(error.to_string().contains("/proc/none/socket"), "{error}");
    }
}
