//! What keeps a source from being read at all.

use std::io;
use std::path::PathBuf;

/// A file or directory named by the user that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is nothing of that name (exit code 66).
    #[error("{} does not exist; create it, or name another", path.display())]
    Missing {
        /// As the user named it.
        path: PathBuf,
    },
    /// A file where a directory belongs.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// As the user named it.
        path: PathBuf,
    },
    /// It is there but cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// As the user named it.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn new(path: PathBuf, source: io::Error) -> Self {
        let kind = source.kind();
        if kind == io::ErrorKind::NotFound {
            return Self::Missing { path };
        }
        if kind == io::ErrorKind::NotADirectory {
            return Self::NotADirectory { path };
        }
        Self::Unreadable { path, source }
    }
}

/// A directory cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The thread that follows it could not be started.
    #[error("the thread that follows a directory cannot start")]
    Thread(#[source] io::Error),
    /// The thread that follows it ended by itself: a bug.
    #[error("the thread that follows a directory ended")]
    Ended,
}
