//! The files of an authority of one's own in a directory (`ROOT_CA_DIR`, platform.md 4.6), as a
//! Secret that is mounted or a provider of secrets puts them there.
//!
//! Only the files of an authority are read. A read while they are replaced yields a mixture, which
//! is found out when it is checked, and is read again.

use crate::plugged::{Files, NAMES};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Why the files cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}; correct ROOT_CA_DIR or what may read it")]
pub struct DirectoryError {
    /// What.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Reads them; what is not there is left out, also the directory itself.
///
/// # Errors
/// One is there and cannot be read, or is longer than a mebibyte.
pub fn files(dir: &Path) -> Result<Files, DirectoryError> {
    let mut files = Files::new();
    for name in NAMES {
        let path = dir.join(name);
        match read(&path) {
            Ok(bytes) => {
                files.insert(name.to_owned(), bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(DirectoryError { path, source }),
        }
    }
    Ok(files)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let about = fs::metadata(path)?;
    if about.len() > LONGEST {
        return Err(io::Error::other(format!("more than {LONGEST} bytes")));
    }
    fs::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_an_authority_are_read_and_no_others() {
        let dir = std::env::temp_dir().join(format!("meltemi-rootca-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for name in ["ca-cert.pem", "notes.txt"] {
            fs::write(dir.join(name), name).unwrap();
        }
        let read = files(&dir).unwrap();
        assert_eq!(read.keys().collect::<Vec<_>>(), ["ca-cert.pem"]);
        let long = vec![b'x'; usize::try_from(LONGEST).unwrap() + 1];
        fs::write(dir.join("ca-key.pem"), long).unwrap();
        let why = files(&dir).unwrap_err().to_string();
        assert!(why.contains("ca-key.pem") && why.contains("bytes"), "{why}");
        fs::remove_dir_all(&dir).unwrap();
        assert!(files(&dir).unwrap().is_empty());
    }
}
