//! The identity in a client certificate. The handshake has proved that a root of ours vouches for
//! it and that the client owns its key; here it is only read.
//!
//! Exactly one URI, of a trust domain that is accepted: compared as parsed, never as text. It is read
//! for each call, and a connection may be older than a list of revoked ones, or than the last moment.

use meltemi_types::{SpiffeId, TrustDomain};
use rustls::pki_types::CertificateDer;
use std::time::SystemTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::path::may_sign;
use crate::revoked::Revoked;
use crate::validity::Validity;

/// Who a certificate is for, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The identity.
    pub id: SpiffeId,
    /// The last moment at which it counts.
    pub until: SystemTime,
}

/// Why a certificate names nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Nobody {
    /// It cannot be read.
    #[error("the client certificate cannot be read")]
    Unreadable,
    /// None or several identities.
    #[error("the client certificate has {0} URIs; exactly one is an identity")]
    NotOne(usize),
    /// The URI is no identity.
    #[error("the client certificate: {0}")]
    NoIdentity(#[from] meltemi_types::Invalid),
    /// It is an authority's, which signs and never calls.
    #[error("the client certificate is an authority's; show one of a workload")]
    Authority,
    /// It counted once.
    #[error("the client certificate has ended; connect with a new one, or with a token")]
    Ended,
    /// It was taken back.
    #[error("the client certificate was revoked")]
    Revoked,
    /// It is of another mesh.
    #[error("the client certificate is of trust domain {0}, which is not accepted here")]
    Foreign(TrustDomain),
}

/// Whose certificates count.
#[derive(Clone, Copy, Debug)]
pub struct Accepted<'a> {
    /// Of these trust domains.
    pub domains: &'a [TrustDomain],
    /// But none of these.
    pub revoked: &'a Revoked,
    /// At this moment: a connection outlives the certificate that it began with.
    pub now: SystemTime,
}

/// Reads the identity of a client certificate that counts.
///
/// # Errors
/// It names nobody who is known here.
pub fn identify(
    certificate: &CertificateDer<'_>,
    accepted: Accepted<'_>,
) -> Result<Certified, Nobody> {
    let Accepted {
        domains,
        revoked,
        now,
    } = accepted;
    if revoked.holds(certificate) {
        return Err(Nobody::Revoked);
    }
    let parsed = X509Certificate::from_der(certificate);
    let (_, certificate) = parsed.map_err(|_| Nobody::Unreadable)?;
    if may_sign(&certificate) {
        return Err(Nobody::Authority);
    }
    let names = certificate.subject_alternative_name();
    let names = names.map_err(|_| Nobody::Unreadable)?;
    let names = names.map_or(&[][..], |names| &names.value.general_names[..]);
    let uris = names.iter().filter_map(|name| {
        if let GeneralName::URI(uri) = name {
            Some(*uri)
        } else {
            None
        }
    });
    let uris: Vec<&str> = uris.collect();
    let [uri] = uris[..] else {
        return Err(Nobody::NotOne(uris.len()));
    };
    let id: SpiffeId = uri.parse()?;
    if !domains.contains(&id.trust_domain) {
        return Err(Nobody::Foreign(id.trust_domain));
    }
    let until = Validity::of(&certificate).until;
    if until < now {
        return Err(Nobody::Ended);
    }
    Ok(Certified { id, until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::parameters;
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
        KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, date_time_ymd,
    };
    use std::time::{Duration, UNIX_EPOCH};

    const GOOD: &str = "spiffe://cluster.local/ns/shop/sa/reviews";

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn domains() -> [TrustDomain; 1] {
        ["cluster.local".parse().unwrap()]
    }

    fn params(uris: &[&str]) -> CertificateParams {
        let mut params = parameters(Validity::starting(now(), Duration::from_secs(60)));
        let name = |uri: &&str| SanType::URI((*uri).try_into().unwrap());
        params.subject_alt_names = uris.iter().map(name).collect();
        params
    }

    fn certificate(uris: &[&str]) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        params(uris).self_signed(&key).unwrap().der().clone()
    }

    fn at(certificate: &CertificateDer<'_>, now: SystemTime) -> Result<Certified, Nobody> {
        let accepted = Accepted {
            domains: &domains(),
            revoked: &Revoked::default(),
            now,
        };
        identify(certificate, accepted)
    }

    #[test]
    fn exactly_one_identity_of_an_accepted_domain() {
        let read = |uris: &[&str]| at(&certificate(uris), now());
        assert_eq!(read(&[GOOD]).unwrap().id.to_string(), GOOD);
        assert_eq!(read(&[]), Err(Nobody::NotOne(0)));
        assert_eq!(read(&[GOOD, GOOD]), Err(Nobody::NotOne(2)));
        // A part of an accepted name is another name, and so is another case.
        for foreign in ["evil.cluster.local", "local", "cluster.local.evil"] {
            let foreign = read(&[&GOOD.replace("cluster.local", foreign)]);
            assert!(matches!(foreign, Err(Nobody::Foreign(_))));
        }
        for no in [
            "ns/shop,other/sa/reviews",
            "ns/../sa/reviews",
            "ns/shop%2f/sa/reviews",
        ] {
            let no = read(&[&format!("spiffe://cluster.local/{no}")]);
            assert!(matches!(no, Err(Nobody::NoIdentity(_))));
        }
        let upper = read(&["spiffe://Cluster.Local/ns/shop/sa/reviews"]);
        assert!(matches!(upper, Err(Nobody::NoIdentity(_))));
        let junk = CertificateDer::from(vec![1, 2, 3]);
        assert!(at(&junk, now()).is_err());
    }

    #[test]
    fn what_has_ended_or_signs_is_nobody() {
        let one = certificate(&[GOOD]);
        let last = now() + Duration::from_secs(60);
        assert_eq!(at(&one, last).unwrap().until, last);
        assert_eq!(at(&one, last + Duration::from_secs(1)), Err(Nobody::Ended));
        let mut signs = params(&[GOOD]);
        signs.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let signs = signs.self_signed(&key).unwrap().der().clone();
        assert_eq!(at(&signs, now()), Err(Nobody::Authority));
    }

    #[test]
    fn what_was_revoked_is_nobody() {
        let mut root = parameters(Validity::starting(now(), Duration::from_secs(60)));
        root.distinguished_name.push(DnType::CommonName, "root");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = Issuer::new(root, KeyPair::generate().unwrap());
        let leaf = |number: u64| {
            let mut params = params(&[GOOD]);
            params.serial_number = Some(number.into());
            let key = KeyPair::generate().unwrap();
            params.signed_by(&key, &root).unwrap().der().clone()
        };
        let moment = |seconds| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
        let list = CertificateRevocationListParams {
            this_update: moment(1_800_000_000),
            next_update: moment(1_800_000_001),
            crl_number: 1u64.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: 7u64.into(),
                revocation_time: moment(1_800_000_000),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&root).unwrap().pem().unwrap();
        let revoked = Revoked::read(&list).unwrap();
        let domains = domains();
        let accepted = Accepted {
            domains: &domains,
            revoked: &revoked,
            now: now(),
        };
        assert_eq!(identify(&leaf(7), accepted), Err(Nobody::Revoked));
        assert!(identify(&leaf(8), accepted).is_ok());
    }
}
