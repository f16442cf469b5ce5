//! The lists of revoked certificates, when Envoy can be told of them (platform.md 3.11).
//!
//! The surprise: with a list, Envoy refuses every certificate whose issuer has none, and everything
//! once a list has ended. So lists are told when each root has one in force, itself or by who signs
//! for it; else none is, and it is said why. A mesh that believes too much beats one that is down.

use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;

const LIST: &str = "X509 CRL";

/// Why no list is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Gap {
    /// It is no list.
    #[error("it holds what is no list of revoked certificates; put PEM of X509 CRL there")]
    Unreadable,
    /// Envoy would refuse everybody.
    #[error("the list of {0} has ended, or has not begun; publish a new one")]
    Ended(String),
    /// Envoy would refuse all whom this one vouches for.
    #[error("there is no list of {0}; publish one, which may be empty")]
    Missing(String),
}

/// Of whom on the path from a certificate to a root a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Of who has signed the certificate.
    Leaf,
    /// Of everybody.
    Path,
}

/// The lists of `pem`, as PEM and nothing else; `None` when it holds none. They must speak for all of
/// `roots`, and for who signed the first certificate of `chain`, which is our own and like those of
/// our peers; the others of it are what is between.
///
/// # Errors
/// They do not, so Envoy would refuse those who are not revoked.
pub(super) fn lists(
    pem: &[u8],
    (roots, chain): (&[u8], &[u8]),
    (depth, now): (Depth, SystemTime),
) -> Result<Option<Vec<u8>>, Gap> {
    let blocks = pem::parse_many(pem).map_err(|_| Gap::Unreadable)?;
    let blocks: Vec<_> = blocks.iter().filter(|one| one.tag() == LIST).collect();
    if blocks.is_empty() {
        return match pem.trim_ascii().is_empty() {
            true => Ok(None),
            false => Err(Gap::Unreadable),
        };
    }
    let mut lists = Vec::new();
    for block in &blocks {
        let read = CertificateRevocationList::from_der(block.contents());
        let (_, list) = read.map_err(|_| Gap::Unreadable)?;
        if !in_force(&list, now) {
            return Err(Gap::Ended(list.issuer().to_string()));
        }
        lists.push(list);
    }
    let (roots, chain) = (blocks_of(roots), blocks_of(chain));
    let issuers = (certificates(&roots), certificates(&chain));
    speak_for(&lists, (&issuers.0, &issuers.1), depth)?;
    let line_end = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    let text = blocks
        .iter()
        .map(|block| pem::encode_config(block, line_end));
    Ok(Some(text.collect::<String>().into_bytes()))
}

fn in_force(list: &CertificateRevocationList<'_>, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let now = ASN1Time::from_timestamp(i64::try_from(now).unwrap_or(i64::MAX));
    now.is_ok_and(|now| {
        list.last_update() <= now && list.next_update().is_none_or(|until| now <= until)
    })
}

fn blocks_of(pem: &[u8]) -> Vec<pem::Pem> {
    pem::parse_many(pem).unwrap_or_default()
}

fn certificates(blocks: &[pem::Pem]) -> Vec<X509Certificate<'_>> {
    let read = blocks
        .iter()
        .map(|block| X509Certificate::from_der(block.contents()));
    read.flatten().map(|(_, read)| read).collect()
}

/// Whether `issuer` has signed `certificate`.
fn signed(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    let named = certificate.issuer().as_raw() == issuer.subject().as_raw();
    named
        && certificate
            .verify_signature(Some(issuer.public_key()))
            .is_ok()
}

/// Each root has a list, or signs who has one; who signed the leaf has one itself.
fn speak_for(
    lists: &[CertificateRevocationList<'_>],
    (roots, chain): (&[X509Certificate<'_>], &[X509Certificate<'_>]),
    depth: Depth,
) -> Result<(), Gap> {
    // Names are not enough: the next root has that of the one before, and another key.
    let listed = |issuer: &X509Certificate<'_>| {
        lists.iter().any(|list| {
            let named = list.issuer().as_raw() == issuer.subject().as_raw();
            named && list.verify_signature(issuer.public_key()).is_ok()
        })
    };
    let missing = |of: &X509Certificate<'_>| Err(Gap::Missing(of.subject().to_string()));
    let (leaf, between) = match chain {
        [leaf, between @ ..] => (Some(leaf), between),
        [] => (None, chain),
    };
    if depth == Depth::Path
        && let Some(one) = roots.iter().chain(between).find(|one| !listed(one))
    {
        return missing(one);
    }
    for root in roots {
        let through = between.iter().any(|one| signed(one, root) && listed(one));
        if !listed(root) && !through {
            return missing(root);
        }
    }
    let issuer = leaf.and_then(|leaf| {
        let mut all = between.iter().chain(roots);
        all.find(|issuer| signed(leaf, issuer))
    });
    match issuer {
        Some(issuer) if !listed(issuer) => missing(issuer),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
        KeyIdMethod, KeyPair, KeyUsagePurpose, date_time_ymd,
    };
    use std::time::Duration;

    const NOW: u64 = 1_800_000_000;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW)
    }

    struct Signer {
        pem: String,
        issuer: Issuer<'static, KeyPair>,
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    impl Signer {
        fn root(name: &str) -> Self {
            let (params, key) = (params(name), KeyPair::generate().unwrap());
            let pem = params.self_signed(&key).unwrap().pem();
            let issuer = Issuer::new(params, key);
            Self { pem, issuer }
        }

        fn under(&self, name: &str) -> Self {
            let (params, key) = (params(name), KeyPair::generate().unwrap());
            let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
            let issuer = Issuer::new(params, key);
            Self { pem, issuer }
        }

        fn leaf(&self) -> String {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::default();
            params.signed_by(&key, &self.issuer).unwrap().pem()
        }

        /// A list for a day from so many seconds after now on.
        fn list(&self, from: i64) -> String {
            let begin = date_time_ymd(1970, 1, 1)
                + Duration::from_secs(NOW.checked_add_signed(from).unwrap());
            let params = CertificateRevocationListParams {
                this_update: begin,
                next_update: begin + Duration::from_secs(86_400),
                crl_number: 1u64.into(),
                issuing_distribution_point: None,
                revoked_certs: Vec::new(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            params.signed_by(&self.issuer).unwrap().pem().unwrap()
        }
    }

    fn told(pem: &str, roots: &str, chain: &str) -> Result<bool, String> {
        told_of(Depth::Leaf, pem, (roots, chain))
    }

    fn told_of(depth: Depth, pem: &str, of: (&str, &str)) -> Result<bool, String> {
        let (roots, chain) = of;
        let of = (roots.as_bytes(), chain.as_bytes());
        let told = lists(pem.as_bytes(), of, (depth, now()));
        told.map(|lists| lists.is_some())
            .map_err(|gap| gap.to_string())
    }

    #[test]
    fn each_root_needs_a_list() {
        let (a, b) = (Signer::root("a"), Signer::root("b"));
        let both = format!("{}{}", a.pem, b.pem);
        assert_eq!(told("", &a.pem, &a.leaf()), Ok(false));
        assert_eq!(told(&a.list(0), &a.pem, &a.leaf()), Ok(true));
        let gap = told(&a.list(0), &both, &a.leaf()).unwrap_err();
        assert!(gap.contains("no list of CN=b"), "{gap}");
        let lists = format!("{}{}", a.list(0), b.list(0));
        assert_eq!(told(&lists, &both, &b.leaf()), Ok(true));
    }

    #[test]
    fn a_name_alone_is_nobody() {
        let (before, after) = (Signer::root("mesh"), Signer::root("mesh"));
        assert!(told(&before.list(0), &after.pem, "").is_err());
    }

    #[test]
    fn who_signs_for_a_root_has_the_list() {
        let root = Signer::root("root");
        let between = root.under("between");
        let chain = format!("{}{}", between.leaf(), between.pem);
        assert_eq!(told(&between.list(0), &root.pem, &chain), Ok(true));
        let gap = told(&root.list(0), &root.pem, &chain).unwrap_err();
        assert!(gap.contains("no list of CN=between"), "{gap}");
        // Where everybody on the path is asked for, neither is enough.
        for list in [between.list(0), root.list(0)] {
            told_of(Depth::Path, &list, (&root.pem, &chain)).unwrap_err();
        }
        let both = format!("{}{}", root.list(0), between.list(0));
        let told = told_of(Depth::Path, &both, (&root.pem, &chain));
        assert_eq!(told, Ok(true));
    }

    #[test]
    fn what_does_not_count_now_is_not_told() {
        let a = Signer::root("a");
        for from in [-90_000, 60] {
            let gap = told(&a.list(from), &a.pem, "").unwrap_err();
            assert!(gap.contains("has ended"), "{gap}");
        }
        for junk in [
            "junk",
            a.pem.as_str(),
            "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        ] {
            let gap = told(junk, &a.pem, "").unwrap_err();
            assert!(gap.contains("no list"), "{gap}");
        }
    }
}
