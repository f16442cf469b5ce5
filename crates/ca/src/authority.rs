//! The authority: a self-signed root as Istio makes it (platform.md 4.5), or one that is read; and
//! the certificate it signs for the control plane itself.
//!
//! Other than Istio's its key is P-256, not RSA 2048; both are read. Randomness comes from the
//! cryptographic library; the time is an argument.

use crate::error::Error;
use crate::path::{self, Anchor};
use crate::revoked::Revoked;
use crate::tls::verifier;
use crate::validity::{Validity, unix};
use meltemi_types::{Secret, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// How long a root of ours counts: ten years, as Istio's.
pub const ROOT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How long the control plane's certificate counts; it is renewed long before.
pub const SERVING_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);

/// The parts of an authority in PEM, by Istio's keys of the Secret `istio-ca-secret`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityPem {
    /// `ca-cert.pem`: what signs.
    pub certificate: String,
    /// `ca-key.pem`: its key, PKCS #8, PKCS #1 or SEC 1.
    pub key: Secret<String>,
    /// `cert-chain.pem`: what is between it and the roots, the nearest first, with or without the
    /// certificate itself; empty where a root has signed it.
    pub chain: String,
    /// `root-cert.pem`: whom everybody trusts.
    pub roots: String,
    /// `ca-crl.pem`: certificates that count no more; may be empty.
    pub crl: String,
}

/// An authority that may sign.
pub struct Authority {
    pem: AuthorityPem,
    issuer: Issuer<'static, KeyPair>,
    validity: Validity,
    roots: Vec<CertificateDer<'static>>,
    /// The root that vouches for it.
    anchor: Anchor,
    revoked: Arc<Revoked>,
    /// The certificates that proxies show behind their own, in PEM.
    intermediates: Vec<String>,
    /// Its key in DER.
    public_key: Vec<u8>,
}

/// A certificate that was signed, with its key.
#[derive(Debug)]
pub struct Leaf {
    /// The certificate; its root is not part of it.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: Secret<PrivateKeyDer<'static>>,
    /// When it counts.
    pub validity: Validity,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("pem", &self.pem)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a root for a trust domain, for [`ROOT_LIFETIME`].
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn self_signed(domain: &TrustDomain, now: SystemTime) -> Result<AuthorityPem, Error> {
        Self::self_signed_for(domain, (now, ROOT_LIFETIME))
    }

    /// Makes a root for a trust domain that counts for so long.
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn self_signed_for(
        domain: &TrustDomain,
        (now, lifetime): (SystemTime, Duration),
    ) -> Result<AuthorityPem, Error> {
        let key = KeyPair::generate()?;
        let mut params = parameters(Validity::starting(now, lifetime));
        let kind = DnType::OrganizationName;
        params.distinguished_name.push(kind, domain.as_str());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key)?.pem();
        Ok(AuthorityPem {
            roots: certificate.clone(),
            chain: String::new(),
            certificate,
            key: Secret::new(key.serialize_pem()),
            crl: String::new(),
        })
    }

    /// Reads an authority, and makes sure that what it signs will be believed: it may sign, key and
    /// certificate are a pair, a root vouches for it, it counts now.
    ///
    /// # Errors
    /// One of that is not so.
    pub fn read(pem: AuthorityPem, now: SystemTime) -> Result<Self, Error> {
        let der = certificates("ca-cert.pem", &pem.certificate)?;
        let [first, ..] = &der[..] else {
            return Err(unreadable("ca-cert.pem", "there is no certificate in it"));
        };
        let certificate = parse("ca-cert.pem", first)?;
        let key = KeyPair::from_pem(pem.key.expose());
        let key = key.map_err(|why| unreadable("ca-key.pem", why))?;
        let roots = certificates("root-cert.pem", &pem.roots)?;
        let chain = certificates("cert-chain.pem", &pem.chain)?;
        let (between, anchor) = path::between(first, chain, &roots)?;
        let validity = path::validity(&certificate, &between)?;
        if !path::may_sign(&certificate) {
            return Err(Error::NotAuthority);
        }
        if *certificate.public_key().subject_public_key.data != *key.public_key_raw() {
            return Err(Error::NotPair);
        }
        if !validity.holds(now) {
            let (from, until) = (unix(validity.from), unix(validity.until));
            return Err(Error::NotNow { from, until });
        }
        let revoked = Arc::new(Revoked::read(&pem.crl)?);
        // What the TLS server would not take is not in force at all.
        verifier(&roots, &revoked)?;
        let public_key = certificate.public_key().raw.to_vec();
        Ok(Self {
            issuer: Issuer::from_ca_cert_der(first, key)?,
            intermediates: path::shown(first, &between, &roots),
            revoked,
            anchor,
            public_key,
            validity,
            roots,
            pem,
        })
    }

    /// The parts it was read from.
    #[must_use]
    pub fn pem(&self) -> &AuthorityPem {
        &self.pem
    }

    /// Whom everybody trusts.
    #[must_use]
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// When it counts: no longer than anything between it and the roots.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// Whose certificates count no more.
    #[must_use]
    pub fn revoked(&self) -> &Arc<Revoked> {
        &self.revoked
    }

    /// When the first of the roots ends, in seconds since 1970; `None` when none can be read.
    #[must_use]
    pub fn roots_until(&self) -> Option<SystemTime> {
        let ends = self.roots.iter().filter_map(|root| {
            let root = parse("root-cert.pem", root).ok()?;
            Some(Validity::of(&root).until)
        });
        ends.min()
    }

    /// The root that vouches for it.
    pub(crate) fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// What those who are shown a certificate of ours need besides the roots, in PEM.
    pub(crate) fn intermediates(&self) -> &[String] {
        &self.intermediates
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    pub(crate) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Signs a server's certificate with a new key for DNS names and IP addresses. It counts from
    /// `now` for `lifetime`, and never longer than the authority.
    ///
    /// # Errors
    /// A name is none, or the cryptographic library fails.
    pub fn sign_serving(
        &self,
        names: &[String],
        (now, lifetime): (SystemTime, Duration),
    ) -> Result<Leaf, Error> {
        let validity = Validity::starting(now, lifetime).within(self.validity);
        let mut params = parameters(validity);
        for name in names {
            let one = CertificateParams::new([name.clone()]);
            let one = one.map_err(|_| Error::BadName(name.clone()))?;
            params.subject_alt_names.extend(one.subject_alt_names);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok(Leaf {
            chain: vec![certificate.der().clone()],
            key: Secret::new(key.into()),
            validity,
        })
    }
}

/// A certificate of nobody for nothing, in that span.
pub(crate) fn parameters(validity: Validity) -> CertificateParams {
    let epoch = date_time_ymd(1970, 1, 1);
    let moment = |at| epoch + Duration::from_secs(unix(at));
    let mut params = CertificateParams::default();
    params.not_before = moment(validity.from);
    params.not_after = moment(validity.until);
    params.distinguished_name = DistinguishedName::new();
    params
}

pub(crate) fn unreadable(part: &'static str, why: impl fmt::Display) -> Error {
    let why = why.to_string();
    Error::Unreadable { part, why }
}

/// All certificates of a PEM text.
pub(crate) fn certificates(
    part: &'static str,
    pem: &str,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all = CertificateDer::pem_slice_iter(pem.as_bytes());
    all.collect::<Result<_, _>>()
        .map_err(|why| unreadable(part, why))
}

pub(crate) fn parse<'a>(part: &'static str, der: &'a [u8]) -> Result<X509Certificate<'a>, Error> {
    let parsed = X509Certificate::from_der(der).map_err(|why| unreadable(part, why))?;
    Ok(parsed.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn pem() -> AuthorityPem {
        Authority::self_signed(&"cluster.local".parse().unwrap(), now()).unwrap()
    }

    #[test]
    fn a_root_is_like_istios() {
        let authority = Authority::read(pem(), now()).unwrap();
        let root = parse("root", &authority.roots()[0]).unwrap();
        assert_eq!(root.subject().to_string(), "O=cluster.local");
        assert!(root.is_ca() && root.key_usage().unwrap().unwrap().value.key_cert_sign());
        assert_eq!(authority.validity().until, now() + ROOT_LIFETIME);
        assert_eq!(authority.pem().roots, authority.pem().certificate);
    }

    #[test]
    fn a_serving_certificate_has_its_names_and_one_use() {
        let authority = Authority::read(pem(), now()).unwrap();
        let names = ["istiod.istio-system.svc".to_owned(), "127.0.0.1".to_owned()];
        let leaf = authority.sign_serving(&names, (now(), SERVING_LIFETIME));
        let leaf = leaf.unwrap();
        let parsed = parse("leaf", &leaf.chain[0]).unwrap();
        let alternative = parsed.subject_alternative_name().unwrap().unwrap();
        let text = format!("{:?}", alternative.value.general_names);
        assert!(text.contains("istiod.istio-system.svc") && text.contains("IPAddress"));
        assert!(!parsed.is_ca());
        let uses = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(uses.server_auth && !uses.client_auth);
        assert!(path::is_signed(&parsed, &authority.roots()[0]).unwrap());
        assert_eq!(leaf.validity.until, now() + SERVING_LIFETIME);
        assert_eq!(Validity::of(&parsed).until, leaf.validity.until);
    }

    #[test]
    fn a_leaf_does_not_outlive_its_root() {
        let authority = Authority::read(pem(), now()).unwrap();
        let late = now() + ROOT_LIFETIME - Duration::from_secs(60);
        let leaf = authority.sign_serving(&["a.b".into()], (late, SERVING_LIFETIME));
        assert_eq!(leaf.unwrap().validity.until, authority.validity().until);
    }

    #[test]
    fn what_nobody_would_believe_is_refused() {
        let (one, other) = (pem(), pem());
        let broken = |change: &dyn Fn(&mut AuthorityPem)| {
            let mut pem = one.clone();
            change(&mut pem);
            Authority::read(pem, now()).unwrap_err().to_string()
        };
        let key = broken(&|pem| pem.key = other.key.clone());
        assert!(key.contains("not the key"), "{key}");
        let root = broken(&|pem| pem.roots.clone_from(&other.roots));
        assert!(root.contains("root-cert.pem"), "{root}");
        let empty = broken(&|pem| pem.certificate.clear());
        assert!(empty.contains("ca-cert.pem"), "{empty}");
        let junk = broken(&|pem| pem.key = Secret::new("junk".into()));
        assert!(junk.contains("ca-key.pem"), "{junk}");
        let late = Authority::read(one.clone(), now() + 2 * ROOT_LIFETIME);
        assert!(matches!(late, Err(Error::NotNow { .. })));
    }

    #[test]
    fn a_certificate_that_may_not_sign_is_refused() {
        let key = KeyPair::generate().unwrap();
        let params = parameters(Validity::starting(now(), ROOT_LIFETIME));
        let certificate = params.self_signed(&key).unwrap().pem();
        let pem = AuthorityPem {
            roots: certificate.clone(),
            chain: String::new(),
            certificate,
            key: Secret::new(key.serialize_pem()),
            crl: String::new(),
        };
        assert!(matches!(
            Authority::read(pem, now()),
            Err(Error::NotAuthority)
        ));
    }

    #[test]
    fn a_bad_name_is_named() {
        let authority = Authority::read(pem(), now()).unwrap();
        let leaf = authority.sign_serving(&["ü".into()], (now(), SERVING_LIFETIME));
        assert!(leaf.unwrap_err().to_string().contains("\"ü\""));
    }

    #[test]
    fn keys_do_not_print() {
        let authority = Authority::read(pem(), now()).unwrap();
        let leaf = authority.sign_serving(&["a.b".into()], (now(), SERVING_LIFETIME));
        let text = format!("{authority:?} {:?}", leaf.unwrap());
        assert!(text.contains("[redacted]") && !text.contains("PRIVATE KEY"));
    }
}
