//! Requests that ask for more than was proved, and answers that are not what was asked for.

use super::*;
use crate::authority::{Authority, AuthorityPem, ROOT_LIFETIME, parameters};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use std::time::{Duration, UNIX_EPOCH};

const HOUR: Duration = Duration::from_secs(3600);
const OTHER: &str = "spiffe://cluster.local/ns/bank/sa/admin";

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn id() -> SpiffeId {
    "spiffe://cluster.local/ns/shop/sa/web".parse().unwrap()
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn params(names: Vec<SanType>) -> CertificateParams {
    let mut params = parameters(Validity::starting(now(), HOUR));
    params.subject_alt_names = names;
    params
}

fn own() -> CertificateParams {
    params(vec![uri(&id().to_string())])
}

fn request(params: &CertificateParams, key: &KeyPair) -> String {
    params.serialize_request(key).unwrap().pem().unwrap()
}

fn forwarded(key: &KeyPair) -> Forwarded {
    Forwarded::read(&request(&own(), key), &id()).unwrap()
}

/// A signer of the cluster.
struct Signer(AuthorityPem);

impl Signer {
    fn new(name: &str) -> Self {
        Self(Authority::self_signed(&name.parse().unwrap(), now()).unwrap())
    }

    fn sign(&self, params: &CertificateParams, key: &KeyPair) -> String {
        let own = KeyPair::from_pem(self.0.key.expose()).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&self.0.certificate, own).unwrap();
        params.signed_by(key, &issuer).unwrap().pem()
    }
}

#[test]
fn a_request_asks_for_what_was_proved_and_nothing_else() {
    let key = KeyPair::generate().unwrap();
    let good = forwarded(&key);
    assert_eq!(good.id, id());
    let mut subject = own();
    subject.distinguished_name.push(DnType::CommonName, "admin");
    let mut uses = own();
    uses.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    let mut signs = own();
    signs.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let two = params(vec![uri(&id().to_string()), uri(OTHER)]);
    let dns = params(vec![
        uri(&id().to_string()),
        SanType::DnsName("istiod.istio-system.svc".try_into().unwrap()),
    ]);
    for more in [
        subject,
        uses,
        signs,
        two,
        dns,
        params(vec![uri(OTHER)]),
        params(vec![]),
    ] {
        let refused = Forwarded::read(&request(&more, &key), &id()).unwrap_err();
        assert!(
            matches!(refused, BadRequest::NotOwn(..) | BadRequest::More),
            "{refused}"
        );
    }
    // Istio's agents send an organization without a name.
    let mut empty = own();
    empty.distinguished_name.push(DnType::OrganizationName, "");
    Forwarded::read(&request(&empty, &key), &id()).unwrap();
}

#[test]
fn an_answer_is_for_this_key_and_identity() {
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let signer = Signer::new("signer");
    let roots = signer.0.roots.clone();
    let asked = forwarded(&key);
    let good = signer.sign(&own(), &key);
    let issued = asked.accept((&good, &roots), now()).unwrap();
    assert_eq!(issued.chain, [good.replace("\r\n", "\n"), roots.clone()]);
    assert_eq!(issued.validity.until, now() + HOUR);
    let refused = |params: &CertificateParams, key: &KeyPair| {
        let answer = signer.sign(params, key);
        asked.accept((&answer, &roots), now()).unwrap_err()
    };
    assert!(matches!(refused(&own(), &other), BadAnswer::Key));
    for names in [
        vec![],
        vec![uri(OTHER)],
        vec![uri(&id().to_string()), uri(OTHER)],
        vec![
            uri(&id().to_string()),
            SanType::DnsName("a.b".try_into().unwrap()),
        ],
    ] {
        assert!(matches!(
            refused(&params(names), &key),
            BadAnswer::Identity(_)
        ));
    }
    let mut signs = own();
    signs.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert!(matches!(refused(&signs, &key), BadAnswer::Authority));
    for at in [now() - HOUR, now() + 2 * HOUR] {
        let late = asked.accept((&good, &roots), at).unwrap_err();
        assert!(matches!(late, BadAnswer::NotNow { .. }));
    }
}

#[test]
fn a_root_vouches_for_an_answer() {
    let key = KeyPair::generate().unwrap();
    let (signer, other) = (Signer::new("signer"), Signer::new("other"));
    let asked = forwarded(&key);
    let good = signer.sign(&own(), &key);
    let strange = asked.accept((&good, &other.0.roots), now()).unwrap_err();
    assert!(
        matches!(strange, BadAnswer::Path(Error::NoRoot)),
        "{strange}"
    );
    // Without a root of the mesh, the answer brings its own.
    let whole = format!("{good}{}", signer.0.certificate);
    let issued = asked.accept((&whole, ""), now()).unwrap();
    assert_eq!(issued.chain.last(), Some(&signer.0.roots));
    for alone in [good.clone(), signer.0.certificate.clone(), String::new()] {
        let alone = asked.accept((&alone, ""), now()).unwrap_err();
        assert!(matches!(alone, BadAnswer::NoRoot), "{alone}");
    }
    let wrong = format!("{good}{}", other.0.certificate);
    assert!(asked.accept((&wrong, ""), now()).is_err());
    assert!(
        asked
            .accept(("-----BEGIN CERTIFICATE-----", ""), now())
            .is_err()
    );
    // Through one between.
    let between = KeyPair::generate().unwrap();
    let mut middle = parameters(Validity::starting(now(), ROOT_LIFETIME));
    middle.distinguished_name.push(DnType::CommonName, "middle");
    middle.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let middle = signer.sign(&middle, &between);
    let issuer = Issuer::from_ca_cert_pem(&middle, between).unwrap();
    let leaf = own().signed_by(&key, &issuer).unwrap().pem();
    let issued = asked.accept((&format!("{leaf}{middle}"), &signer.0.roots), now());
    assert_eq!(issued.unwrap().chain.len(), 3);
}
