//! A serving certificate that somebody else has signed and mounted, as cert-manager's istio-csr does
//! (platform.md 4.8): checked whole before it is shown.

use crate::authority::{Leaf, certificates, parse, unreadable};
use crate::error::Error;
use crate::path;
use crate::validity::unix;
use meltemi_types::Secret;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::time::SystemTime;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const ROOTS: &str = "root-cert.pem";

/// A serving certificate with the roots of the mesh.
#[derive(Debug)]
pub struct Mounted {
    /// The certificate with its key.
    pub leaf: Leaf,
    /// Whom clients are believed by.
    pub roots: Vec<CertificateDer<'static>>,
}

impl Mounted {
    /// Reads them, all in PEM: a root vouches for the certificate, which counts now. Whether the key
    /// is its own is seen when it is shown.
    ///
    /// # Errors
    /// One of that is not so.
    pub fn read(
        chain: &str,
        key: &Secret<String>,
        roots: &str,
        now: SystemTime,
    ) -> Result<Self, Error> {
        let chain = certificates(CERTIFICATE, chain)?;
        let roots = certificates(ROOTS, roots)?;
        let [first, rest @ ..] = &chain[..] else {
            return Err(unreadable(CERTIFICATE, "there is no certificate in it"));
        };
        let parsed = parse(CERTIFICATE, first)?;
        let (between, _) = path::between(first, rest.to_vec(), &roots)?;
        let validity = path::validity(&parsed, &between)?;
        if !validity.holds(now) {
            let (from, until) = (unix(validity.from), unix(validity.until));
            return Err(Error::NotNow { from, until });
        }
        let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes());
        let key = key.map_err(|why| unreadable(KEY, why))?;
        Ok(Self {
            leaf: Leaf {
                chain,
                key: Secret::new(key),
                validity,
            },
            roots,
        })
    }

    /// The roots in PEM, and nothing that somebody put beside them.
    #[must_use]
    pub fn pem(&self) -> String {
        self.roots.iter().map(path::pem_of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, Revoked, SERVING_LIFETIME, Tls};
    use std::time::{Duration, UNIX_EPOCH};

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn authority() -> Authority {
        let pem = Authority::self_signed(&"cluster.local".parse().unwrap(), now());
        Authority::read(pem.unwrap(), now()).unwrap()
    }

    fn files(authority: &Authority) -> (String, Secret<String>) {
        let names = ["istiod.istio-system.svc".to_owned()];
        let leaf = authority.sign_serving(&names, (now(), SERVING_LIFETIME));
        let leaf = leaf.unwrap();
        let key = leaf.key.expose().secret_der().to_vec();
        let key = pem::encode(&pem::Pem::new("PRIVATE KEY", key));
        (path::pem_of(&leaf.chain[0]), Secret::new(key))
    }

    #[test]
    fn what_is_mounted_is_shown_when_a_root_vouches_for_it() {
        let (one, other) = (authority(), authority());
        let (chain, key) = files(&one);
        let beside = format!("{}{}", key.expose(), one.pem().roots);
        let good = Mounted::read(&chain, &key, &beside, now()).unwrap();
        assert_eq!(good.pem(), one.pem().roots, "a key goes nowhere");
        let tls = Tls::trusting(&good.leaf, (&good.roots, &Revoked::default())).unwrap();
        let strange = Mounted::read(&chain, &key, &other.pem().roots, now());
        assert!(matches!(strange, Err(Error::NoRoot)));
        let late = Mounted::read(&chain, &key, &one.pem().roots, now() + 2 * SERVING_LIFETIME);
        assert!(matches!(late, Err(Error::NotNow { .. })));
        let (_, wrong) = files(&one);
        let wrong = Mounted::read(&chain, &wrong, &one.pem().roots, now()).unwrap();
        assert!(
            tls.show(&wrong.leaf).is_err(),
            "key and certificate are no pair"
        );
        let none = Secret::new(String::new());
        assert!(Mounted::read(&chain, &none, &one.pem().roots, now()).is_err());
        assert!(Mounted::read("", &key, &one.pem().roots, now()).is_err());
    }
}
