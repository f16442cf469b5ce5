//! Key and certificate that somebody else puts into files: `/etc/certs`, `PROV_CERT`, or the files of
//! a credential provider.

use super::material::{Material, Unusable};
use crate::upstream::read;
use meltemi_types::Secret;
use std::io;
use std::path::{Path, PathBuf};

/// Where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The certificate and those between it and a root, PEM.
    pub chain: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The roots that peers are held to, PEM.
    pub roots: PathBuf,
}

/// Why the files are not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum MountedError {
    #[error("{path}: {why}")]
    Read { path: String, why: io::Error },
    #[error("{chain}: {why}; replace certificate, key and roots together")]
    Unusable { chain: String, why: Unusable },
}

impl Mounted {
    pub(super) fn paths(&self) -> [&Path; 3] {
        [&self.chain, &self.key, &self.roots]
    }

    pub(super) fn read(&self) -> Result<Material, MountedError> {
        let read = |path: &Path| {
            read(path).map_err(|why| MountedError::Read {
                path: path.display().to_string(),
                why,
            })
        };
        let (chain, key, roots) = (read(&self.chain)?, read(&self.key)?, read(&self.roots)?);
        Material::new(chain, Secret::new(key), roots).map_err(|why| MountedError::Unusable {
            chain: self.chain.display().to_string(),
            why,
        })
    }
}
