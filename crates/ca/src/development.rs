//! A development authority in a directory: `DIR/.meltemi` holds the files of `cacerts` (platform.md
//! 4.6) and `token-key.pem`, which signs tokens. It is for a laptop, where there is no API server.
//!
//! It is made once and whole: written beside and renamed, so of two that make it, one wins. Only the
//! owner may read it. Its files may be replaced as those of `cacerts` may.

use crate::authority::{Authority, AuthorityPem};
use crate::error::Error;
use crate::plugged::Files;
use crate::token::TokenKey;
use meltemi_types::TrustDomain;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The directory below the one of the configuration; hidden, so it is no configuration.
pub const DIRECTORY: &str = ".meltemi";
const TOKEN_KEY: &str = "token-key.pem";
/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Why there is no development authority.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentError {
    /// The directory cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What is in it cannot be used.
    #[error("{path}: {source}; delete the directory to have it made again")]
    Unusable {
        /// What.
        path: PathBuf,
        /// Why.
        source: Error,
    },
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> DevelopmentError {
    let path = path.to_path_buf();
    move |source| DevelopmentError::Io { path, source }
}

/// Makes the authority of the configuration in `dir`, unless there is one.
///
/// # Errors
/// It cannot be written, or the cryptographic library fails.
pub fn make(dir: &Path, (domain, now): (&TrustDomain, SystemTime)) -> Result<(), DevelopmentError> {
    let home = dir.join(DIRECTORY);
    if home.exists() {
        return Ok(());
    }
    let unusable = |source| DevelopmentError::Unusable {
        path: home.clone(),
        source,
    };
    let AuthorityPem {
        certificate,
        key,
        chain,
        roots,
        crl: _, // nothing is revoked yet
    } = Authority::self_signed(domain, now).map_err(unusable)?;
    let token_key = TokenKey::generate().map_err(unusable)?;
    let beside = dir.join(format!("{DIRECTORY}.{}", std::process::id()));
    let made = DirBuilder::new().mode(0o700).create(&beside);
    made.map_err(failed(&beside))?;
    let files: [(&str, &str); 5] = [
        ("ca-cert.pem", &certificate),
        ("ca-key.pem", key.expose()),
        ("cert-chain.pem", &chain),
        ("root-cert.pem", &roots),
        (TOKEN_KEY, &token_key),
    ];
    for (name, text) in files {
        let path = beside.join(name);
        write(&path, text).map_err(failed(&path))?;
    }
    match fs::rename(&beside, &home) {
        Ok(()) => Ok(()),
        // Somebody else was quicker; theirs counts.
        Err(_) if home.exists() => fs::remove_dir_all(&beside).map_err(failed(&beside)),
        Err(error) => Err(failed(&home)(error)),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    file?.write_all(text.as_bytes())
}

/// The files of the authority of the configuration in `dir`.
///
/// # Errors
/// They cannot be read.
pub fn files(dir: &Path) -> Result<Files, DevelopmentError> {
    let home = dir.join(DIRECTORY);
    let mut files = Files::new();
    for entry in fs::read_dir(&home).map_err(failed(&home))? {
        let path = entry.map_err(failed(&home))?.path();
        let about = fs::metadata(&path).map_err(failed(&path))?;
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(name) = name.filter(|_| about.is_file() && about.len() <= LONGEST) else {
            continue;
        };
        let bytes = fs::read(&path).map_err(failed(&path))?;
        files.insert(name.to_owned(), bytes);
    }
    Ok(files)
}

/// The key that signs tokens for the configuration in `dir`.
///
/// # Errors
/// It cannot be read.
pub fn token_key(dir: &Path) -> Result<TokenKey, DevelopmentError> {
    let path = dir.join(DIRECTORY).join(TOKEN_KEY);
    let text = fs::read_to_string(&path).map_err(failed(&path))?;
    TokenKey::read(&text).map_err(|source| DevelopmentError::Unusable { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_authority_is_made_once_and_is_its_owners() {
        let dir = std::env::temp_dir().join(format!("meltemi-ca-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir).unwrap();
        let domain = "cluster.local".parse().unwrap();
        let now = SystemTime::now();
        make(&dir, (&domain, now)).unwrap();
        let first = files(&dir).unwrap();
        let pem = AuthorityPem::plugged(&first).unwrap().unwrap();
        Authority::read(pem, now).unwrap();
        token_key(&dir).unwrap();
        make(&dir, (&domain, now)).unwrap();
        assert_eq!(files(&dir).unwrap(), first);
        let mode = |name: &str| {
            let about = fs::metadata(dir.join(DIRECTORY).join(name)).unwrap();
            about.permissions().mode() & 0o777
        };
        assert_eq!(
            (mode(""), mode("ca-key.pem"), mode(TOKEN_KEY)),
            (0o700, 0o600, 0o600)
        );
        fs::remove_dir_all(&dir).unwrap();
        let why = token_key(&dir).unwrap_err().to_string();
        assert!(why.contains("token-key.pem"), "{why}");
    }
}
