//! An authority of one's own, as users plug it in: the files of `cacerts` (platform.md 4.6), by
//! Istio's names or by those of a Secret `kubernetes.io/tls`, which win.
//!
//! Some of the files but not all of them are a mistake, never another authority than before.

use crate::authority::AuthorityPem;
use crate::error::Error;
use meltemi_types::Secret;
use std::collections::BTreeMap;

const CERTIFICATE: &str = "ca-cert.pem";
const KEY: &str = "ca-key.pem";
const CHAIN: &str = "cert-chain.pem";
const ROOTS: &str = "root-cert.pem";
const CRL: &str = "ca-crl.pem";
const TLS_CERTIFICATE: &str = "tls.crt";
const TLS_KEY: &str = "tls.key";
const TLS_ROOTS: &str = "ca.crt";

/// All names of files of an authority.
pub(crate) const NAMES: [&str; 8] = [
    CERTIFICATE,
    KEY,
    CHAIN,
    ROOTS,
    CRL,
    TLS_CERTIFICATE,
    TLS_KEY,
    TLS_ROOTS,
];

/// Files by their names.
pub type Files = BTreeMap<String, Vec<u8>>;

impl AuthorityPem {
    /// What the files hold; `None` when none of them is of an authority.
    ///
    /// # Errors
    /// Some files are missing or no text.
    pub fn plugged(files: &Files) -> Result<Option<Self>, Error> {
        let has = |name: &str| files.contains_key(name);
        if has(TLS_CERTIFICATE) {
            complete(files, &[TLS_CERTIFICATE, TLS_KEY, TLS_ROOTS])?;
            let certificate = text(files, TLS_CERTIFICATE)?;
            return Ok(Some(Self {
                chain: certificate.clone(),
                certificate,
                key: Secret::new(text(files, TLS_KEY)?),
                roots: text(files, TLS_ROOTS)?,
                crl: text(files, CRL)?,
            }));
        }
        let all = [CERTIFICATE, KEY, CHAIN, ROOTS];
        if !all.iter().any(|name| has(name)) {
            return Ok(None);
        }
        complete(files, &all)?;
        Ok(Some(Self {
            certificate: text(files, CERTIFICATE)?,
            key: Secret::new(text(files, KEY)?),
            chain: text(files, CHAIN)?,
            roots: text(files, ROOTS)?,
            crl: text(files, CRL)?,
        }))
    }
}

/// An empty chain is fine: a root signs itself.
fn complete(files: &Files, names: &[&'static str]) -> Result<(), Error> {
    let lacks = |name: &&&str| {
        let file = files.get(**name);
        file.is_none_or(|bytes| bytes.is_empty() && **name != CHAIN)
    };
    let missing: Vec<&str> = names.iter().filter(lacks).copied().collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Error::Half(missing.join(", "))),
    }
}

/// A file that is not there is empty.
fn text(files: &Files, name: &'static str) -> Result<String, Error> {
    let bytes = files.get(name).cloned().unwrap_or_default();
    String::from_utf8(bytes).map_err(|why| Error::Unreadable {
        part: name,
        why: why.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Files {
        let file = |name: &&str| ((*name).to_owned(), name.as_bytes().to_vec());
        names.iter().map(file).collect()
    }

    #[test]
    fn both_namings_are_read_and_tls_wins() {
        let all = files(&[CERTIFICATE, KEY, CHAIN, ROOTS, CRL]);
        let pem = AuthorityPem::plugged(&all).unwrap().unwrap();
        assert_eq!(
            (&*pem.certificate, pem.key.expose().as_str()),
            (CERTIFICATE, KEY)
        );
        assert_eq!((&*pem.chain, &*pem.roots, &*pem.crl), (CHAIN, ROOTS, CRL));
        let both = files(&[
            CERTIFICATE,
            KEY,
            CHAIN,
            ROOTS,
            "tls.crt",
            "tls.key",
            "ca.crt",
        ]);
        let pem = AuthorityPem::plugged(&both).unwrap().unwrap();
        assert_eq!((&*pem.certificate, &*pem.chain), ("tls.crt", "tls.crt"));
        assert_eq!(
            (pem.key.expose().as_str(), &*pem.roots),
            ("tls.key", "ca.crt")
        );
        assert!(pem.crl.is_empty());
    }

    #[test]
    fn half_an_authority_is_a_mistake_and_none_is_none() {
        assert_eq!(AuthorityPem::plugged(&files(&["key.pem"])).unwrap(), None);
        for (names, missing) in [
            (&[CERTIFICATE, KEY, ROOTS][..], "cert-chain.pem"),
            (&[CHAIN], "ca-cert.pem, ca-key.pem, root-cert.pem"),
            (&["tls.crt", "tls.key"], "ca.crt"),
        ] {
            let why = AuthorityPem::plugged(&files(names)).unwrap_err();
            assert!(why.to_string().contains(missing), "{why}");
        }
        let mut empty = files(&[CERTIFICATE, KEY, CHAIN, ROOTS]);
        empty.insert(CHAIN.to_owned(), Vec::new());
        assert!(AuthorityPem::plugged(&empty).unwrap().is_some());
        empty.insert(KEY.to_owned(), Vec::new());
        assert!(AuthorityPem::plugged(&empty).is_err());
        empty.insert(KEY.to_owned(), vec![0xff]);
        assert!(AuthorityPem::plugged(&empty).is_err());
    }
}
