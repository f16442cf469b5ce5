//! What is signed, read back by another library than the one that wrote it.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, Issuer, KeyPair};
use std::collections::BTreeSet;
use std::time::UNIX_EPOCH;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::authority::{AuthorityPem, ROOT_LIFETIME};
use meltemi_types::Secret;

const ID: &str = "spiffe://cluster.local/ns/shop/sa/reviews";

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn id() -> SpiffeId {
    ID.parse().unwrap()
}

fn authority() -> Authority {
    let pem = Authority::self_signed(&"cluster.local".parse().unwrap(), now()).unwrap();
    Authority::read(pem, now()).unwrap()
}

fn request(change: impl FnOnce(&mut CertificateParams)) -> Request {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    change(&mut params);
    Request::read(&params.serialize_request(&key).unwrap().pem().unwrap()).unwrap()
}

fn plain() -> Request {
    request(|_| ())
}

fn day() -> (SystemTime, Duration) {
    (now(), Lifetimes::default().default)
}

#[test]
fn a_certificate_is_of_the_callers_identity_and_has_exactly_our_extensions() {
    // What the request asks for beyond its key is nobody's wish.
    let greedy = request(|params| {
        let other = "spiffe://cluster.local/ns/bank/sa/admin";
        let names = ["istiod.istio-system.svc".to_owned()];
        params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
        let other = SanType::URI(other.try_into().unwrap());
        params.subject_alt_names.push(other);
        params.distinguished_name.push(DnType::CommonName, "admin");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    });
    let authority = authority();
    let issued = authority.issue((&greedy, &id()), day()).unwrap();
    let (_, read) = X509Certificate::from_der(&issued.leaf).unwrap();
    assert_eq!(read.subject().to_string(), "");
    let names = read.subject_alternative_name().unwrap().unwrap();
    assert!(names.critical, "an identity without a subject is critical");
    assert_eq!(names.value.general_names, [GeneralName::URI(ID)]);
    let basic = read.basic_constraints().unwrap().unwrap();
    assert!(!basic.value.ca);
    let usage = read.key_usage().unwrap().unwrap().value;
    assert_eq!(usage.to_string(), "Digital Signature, Key Encipherment");
    let uses = read.extended_key_usage().unwrap().unwrap().value;
    assert!(uses.server_auth && uses.client_auth && !uses.code_signing && !uses.any);
    let kinds: BTreeSet<_> = read
        .extensions()
        .iter()
        .map(|one| one.oid.to_string())
        .collect();
    // Key identifiers, key usage, names, basic constraints, extended key usage.
    let ours = [14, 15, 17, 19, 35, 37].map(|kind| format!("2.5.29.{kind}"));
    assert_eq!(kinds, ours.into());
    assert_eq!(*read.public_key().raw, *greedy.spki);
    let (_, root) = X509Certificate::from_der(&authority.roots()[0]).unwrap();
    assert!(read.verify_signature(Some(root.public_key())).is_ok());
}

#[test]
fn a_chain_has_the_leaf_first_and_all_roots_last() {
    let issued = authority().issue((&plain(), &id()), day()).unwrap();
    let [leaf, roots] = &issued.chain[..] else {
        panic!("{} certificates", issued.chain.len());
    };
    assert!(leaf.starts_with("-----BEGIN CERTIFICATE-----\n") && leaf.ends_with('\n'));
    assert_ne!(leaf, roots);
}

#[test]
fn no_two_certificates_have_one_number() {
    let (authority, request) = (authority(), plain());
    let serials = (0..64).map(|_| {
        let issued = authority.issue((&request, &id()), day()).unwrap();
        let (_, read) = X509Certificate::from_der(&issued.leaf).unwrap();
        let written: String = read
            .raw_serial()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        // A number has no leading zeros.
        let printed = issued.serial.to_string();
        assert_eq!(
            written.trim_start_matches("00"),
            printed.trim_start_matches("00")
        );
        assert!(read.raw_serial()[0] < 0x80, "negative: {written}");
        printed
    });
    assert_eq!(serials.collect::<BTreeSet<_>>().len(), 64);
}

#[test]
fn a_lifetime_is_what_is_asked_for_up_to_the_longest() {
    let lifetimes = Lifetimes::default();
    for none in [0, -1, i64::MIN] {
        assert_eq!(lifetimes.grant(none).unwrap(), lifetimes.default);
    }
    assert_eq!(lifetimes.grant(60).unwrap().as_secs(), 60);
    let max = i64::try_from(lifetimes.max.as_secs()).unwrap();
    assert_eq!(lifetimes.grant(max).unwrap(), lifetimes.max);
    for more in [max + 1, i64::MAX] {
        let refused = lifetimes.grant(more).unwrap_err();
        assert!(refused.is_callers() && refused.to_string().contains("MAX_WORKLOAD_CERT_TTL"));
    }
}

#[test]
fn a_leaf_lies_within_its_authority() {
    let authority = authority();
    let of = authority.validity();
    let late = now() + ROOT_LIFETIME - Duration::from_secs(7200);
    for (at, lifetime) in [(now(), 60), (now(), 86_400), (late, 86_400)] {
        let lifetime = Duration::from_secs(lifetime);
        let issued = authority.issue((&plain(), &id()), (at, lifetime)).unwrap();
        let (_, read) = X509Certificate::from_der(&issued.leaf).unwrap();
        assert_eq!(Validity::of(&read), issued.validity);
        assert!(of.from <= issued.validity.from && issued.validity.until <= of.until);
        assert_eq!(issued.validity.until, (at + lifetime).min(of.until));
    }
    let last = now() + ROOT_LIFETIME - Duration::from_secs(3000);
    let refused = authority.issue((&plain(), &id()), (last, Duration::from_secs(60)));
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Refused::Ending { .. }) && !refused.is_callers());
}

#[test]
fn the_authoritys_own_key_is_not_signed() {
    let authority = authority();
    let key = KeyPair::from_pem(authority.pem().key.expose()).unwrap();
    let request = CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    let request = Request::read(&request.pem().unwrap()).unwrap();
    let refused = authority.issue((&request, &id()), day()).unwrap_err();
    assert!(matches!(refused, Refused::AuthorityKey) && refused.is_callers());
}

/// A root, what it has signed, and an authority below that: root, upper, lower.
fn plugged_in() -> (String, String, AuthorityPem) {
    let of = |name: &str, years: u32| {
        let mut params = parameters(Validity::starting(now(), ROOT_LIFETIME / 10 * years));
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        (params, KeyPair::generate().unwrap())
    };
    let ((root, root_key), (upper, upper_key), (lower, lower_key)) =
        (of("root", 10), of("upper", 2), of("lower", 5));
    let root_pem = root.self_signed(&root_key).unwrap().pem();
    let upper_pem = upper
        .signed_by(&upper_key, &Issuer::from_params(&root, &root_key))
        .unwrap()
        .pem();
    let lower_pem = lower
        .signed_by(&lower_key, &Issuer::from_params(&upper, &upper_key))
        .unwrap()
        .pem();
    let pem = AuthorityPem {
        certificate: lower_pem,
        key: Secret::new(lower_key.serialize_pem()),
        chain: String::new(),
        roots: root_pem.clone(),
        crl: String::new(),
    };
    (root_pem, upper_pem, pem)
}

#[test]
fn a_plugged_in_chain_is_shown_whole_and_in_order() {
    let (root, upper, pem) = plugged_in();
    let lower = pem.certificate.clone();
    // As Istio's scripts write it, with the root, and in the wrong order.
    for chain in [
        format!("{lower}{upper}"),
        format!("{lower}{upper}{root}"),
        format!("{root}{upper}"),
        upper.clone(),
    ] {
        let pem = AuthorityPem {
            chain,
            ..pem.clone()
        };
        let authority = Authority::read(pem, now()).unwrap();
        let issued = authority.issue((&plain(), &id()), day()).unwrap();
        assert_eq!(issued.chain.len(), 4);
        assert_eq!(
            issued.chain[1..],
            [lower.clone(), upper.clone(), root.clone()]
        );
        // The upper one ends before the lower one.
        assert_eq!(authority.validity().until, now() + ROOT_LIFETIME / 10 * 2);
    }
    let lost = Authority::read(pem, now()).unwrap_err().to_string();
    assert!(lost.contains("root-cert.pem"), "{lost}");
}
