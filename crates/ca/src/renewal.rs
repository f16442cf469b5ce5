//! The self-signed root gets another end (platform.md 4.5): same name, same key, same identifier of
//! the key, so whoever trusts the one trusts the other, and what the one has signed verifies with both.
//!
//! It counts from when the old one did: a replica whose clock is wrong makes no root that is not
//! good yet. The name is copied as it is encoded, since Istio's and ours differ in that alone.

use crate::authority::{Authority, AuthorityPem, certificates, parameters, parse, unreadable};
use crate::error::Error;
use crate::issue::serial;
use crate::path::{is_signed, pem_of};
use crate::validity::Validity;
use rcgen::string::{Ia5String, PrintableString};
use rcgen::{
    BasicConstraints, DistinguishedName, DnType, DnValue, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use std::time::{Duration, SystemTime};
use x509_parser::asn1_rs::Tag;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::x509::AttributeTypeAndValue;

const CERTIFICATE: &str = "ca-cert.pem";

/// When a self-signed root is renewed, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// How long the next one counts.
    pub lifetime: Duration,
    /// It is made when so much of the lifetime is left, in percent.
    pub percent: u32,
}

impl AuthorityPem {
    /// True when this is a self-signed root, and time for the next one. One that has ended is due.
    ///
    /// # Errors
    /// The certificate cannot be read.
    pub fn is_due(&self, renewal: Renewal, now: SystemTime) -> Result<bool, Error> {
        let der = self.first()?;
        let certificate = parse(CERTIFICATE, &der)?;
        let Validity { from, until } = Validity::of(&certificate);
        let own = until.duration_since(from).unwrap_or_default();
        // Each renewal makes the span longer, never the time between two of them.
        let span = own.min(renewal.lifetime);
        let left = until.duration_since(now).unwrap_or_default();
        Ok(left <= span * renewal.percent / 100 && is_signed(&certificate, &der)?)
    }

    /// True when it counts no more, or cannot be read.
    #[must_use]
    pub fn has_ended(&self, now: SystemTime) -> bool {
        let der = self.first();
        let until = der.and_then(|der| Ok(Validity::of(&parse(CERTIFICATE, &der)?).until));
        until.map_or(true, |until| until < now)
    }

    /// The same root with another end: `lifetime` after `now`, and no earlier than its own.
    ///
    /// # Errors
    /// It is no self-signed root, its key is another, or the cryptographic library fails.
    pub fn renewed(&self, (now, lifetime): (SystemTime, Duration)) -> Result<Self, Error> {
        let der = self.first()?;
        let old = parse(CERTIFICATE, &der)?;
        if !is_signed(&old, &der)? {
            return Err(Error::NoRoot);
        }
        let key = KeyPair::from_pem(self.key.expose());
        let key = key.map_err(|why| unreadable("ca-key.pem", why))?;
        if *old.public_key().subject_public_key.data != *key.public_key_raw() {
            return Err(Error::NotPair);
        }
        let own = Validity::of(&old);
        let fresh = Validity::starting(now, lifetime);
        let mut params = parameters(Validity {
            from: own.from.min(fresh.from),
            until: own.until.max(fresh.until),
        });
        params.distinguished_name = name(&old)?;
        params.is_ca = IsCa::Ca(constraints(&old));
        params.key_usages = uses(&old);
        params.serial_number = Some(SerialNumber::from_slice(serial()?.bytes()));
        if let Some(identifier) = identifier(&old) {
            params.key_identifier_method = KeyIdMethod::PreSpecified(identifier);
        }
        let next = params.self_signed(&key)?;
        let parsed = parse(CERTIFICATE, next.der())?;
        if parsed.subject().as_raw() != old.subject().as_raw() {
            return Err(unreadable(CERTIFICATE, "its name cannot be written again"));
        }
        let mut roots = next.pem();
        for root in certificates("root-cert.pem", &self.roots)? {
            if root != der {
                roots.push_str(&pem_of(&root));
            }
        }
        let next = Self {
            certificate: next.pem(),
            roots,
            ..self.clone()
        };
        // Nothing is handed out that could not be read again.
        Authority::read(next.clone(), now)?;
        Ok(next)
    }

    fn first(&self) -> Result<CertificateDer<'static>, Error> {
        let all = certificates(CERTIFICATE, &self.certificate)?;
        let first = all.into_iter().next();
        first.ok_or_else(|| unreadable(CERTIFICATE, "there is no certificate in it"))
    }
}

/// The name, each part as it is encoded.
fn name(certificate: &X509Certificate<'_>) -> Result<DistinguishedName, Error> {
    let mut name = DistinguishedName::new();
    for part in certificate.subject().iter_attributes() {
        let kind = part.attr_type().iter();
        let kind: Vec<u64> = kind.map(Iterator::collect).unwrap_or_default();
        name.push(DnType::from_oid(&kind), text(part)?);
    }
    Ok(name)
}

fn text(part: &AttributeTypeAndValue<'_>) -> Result<DnValue, Error> {
    let bad = |why: &dyn ToString| unreadable(CERTIFICATE, why.to_string());
    let text = part.as_str().map_err(|why| bad(&why))?;
    match part.attr_value().header.tag() {
        Tag::PrintableString => {
            let text = PrintableString::try_from(text).map_err(|why| bad(&why))?;
            Ok(DnValue::PrintableString(text))
        }
        Tag::Ia5String => {
            let text = Ia5String::try_from(text).map_err(|why| bad(&why))?;
            Ok(DnValue::Ia5String(text))
        }
        _ => Ok(DnValue::Utf8String(text.to_owned())),
    }
}

fn constraints(certificate: &X509Certificate<'_>) -> BasicConstraints {
    let constraints = certificate.basic_constraints().ok().flatten();
    let longest = constraints.and_then(|it| it.value.path_len_constraint);
    longest.map_or(BasicConstraints::Unconstrained, |longest| {
        BasicConstraints::Constrained(u8::try_from(longest).unwrap_or(u8::MAX))
    })
}

fn uses(certificate: &X509Certificate<'_>) -> Vec<KeyUsagePurpose> {
    let mut uses = vec![KeyUsagePurpose::KeyCertSign];
    let old = certificate.key_usage().ok().flatten();
    if old.is_some_and(|old| old.value.crl_sign()) {
        uses.push(KeyUsagePurpose::CrlSign);
    }
    uses
}

/// How what it has signed names its key.
fn identifier(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate.extensions().iter().find_map(|extension| {
        if let ParsedExtension::SubjectKeyIdentifier(identifier) = extension.parsed_extension() {
            Some(identifier.0.to_vec())
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::ROOT_LIFETIME;
    use std::time::UNIX_EPOCH;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const RENEWAL: Renewal = Renewal {
        lifetime: ROOT_LIFETIME,
        percent: 20,
    };

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    /// A root as Go writes it: the name is a PrintableString, the identifier of its own choice.
    fn like_istios() -> AuthorityPem {
        let key = KeyPair::generate().unwrap();
        let mut params = parameters(Validity::starting(now(), ROOT_LIFETIME));
        let organization = PrintableString::try_from("cluster.local").unwrap();
        let organization = DnValue::PrintableString(organization);
        let kind = DnType::OrganizationName;
        params.distinguished_name.push(kind, organization);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.key_identifier_method = KeyIdMethod::PreSpecified(vec![7; 20]);
        let certificate = params.self_signed(&key).unwrap().pem();
        AuthorityPem {
            roots: certificate.clone(),
            chain: String::new(),
            certificate,
            key: meltemi_types::Secret::new(key.serialize_pem()),
            crl: String::new(),
        }
    }

    #[test]
    fn a_root_is_due_at_its_last_fifth() {
        let pem = like_istios();
        let due = |at: SystemTime| pem.is_due(RENEWAL, at).unwrap();
        assert!(!due(now()) && !due(now() + ROOT_LIFETIME * 79 / 100));
        assert!(due(now() + ROOT_LIFETIME * 81 / 100) && due(now() + 2 * ROOT_LIFETIME));
        let short = Renewal {
            lifetime: 10 * DAY,
            percent: 20,
        };
        let last = now() + ROOT_LIFETIME - 3 * DAY;
        assert!(!pem.is_due(short, last).unwrap());
        assert!(pem.is_due(short, last + 2 * DAY).unwrap());
    }

    #[test]
    fn name_key_and_identifier_stay() {
        let pem = like_istios();
        let later = now() + ROOT_LIFETIME * 9 / 10;
        let next = pem.renewed((later, ROOT_LIFETIME)).unwrap();
        assert_eq!((&next.key, &next.chain), (&pem.key, &pem.chain));
        assert_eq!(next.roots, next.certificate);
        let (old, new) = (pem.first().unwrap(), next.first().unwrap());
        let (old, new) = (parse("a", &old).unwrap(), parse("b", &new).unwrap());
        assert_eq!(old.subject().as_raw(), new.subject().as_raw());
        assert_eq!(old.public_key().raw, new.public_key().raw);
        assert_eq!(identifier(&new), Some(vec![7; 20]));
        assert_ne!(old.raw_serial(), new.raw_serial());
        assert_eq!(Validity::of(&old).from, Validity::of(&new).from);
        assert_eq!(Validity::of(&new).until, later + ROOT_LIFETIME);
        assert!(!next.is_due(RENEWAL, later).unwrap());
        // Again and again, no sooner each time.
        let third = next.renewed((later + ROOT_LIFETIME, ROOT_LIFETIME));
        let quiet = later + ROOT_LIFETIME + ROOT_LIFETIME / 2;
        assert!(!third.unwrap().is_due(RENEWAL, quiet).unwrap());
    }

    #[test]
    fn the_succession_takes_it_at_once() {
        let pem = like_istios();
        let settle = Duration::from_secs(180);
        let mut succession =
            crate::Succession::begin(pem.clone(), (now(), settle)).expect("it is good");
        let next = pem.renewed((now() + DAY, ROOT_LIFETIME)).unwrap();
        assert!(succession.hear(next.clone(), now() + DAY).unwrap());
        assert!(!succession.waits());
        assert_eq!(succession.authority().pem(), &next);
    }

    #[test]
    fn a_root_that_has_ended_is_renewed_and_a_wrong_clock_does_no_harm() {
        let pem = like_istios();
        let late = now() + 2 * ROOT_LIFETIME;
        assert!(!pem.has_ended(now()) && pem.has_ended(late));
        let next = pem.renewed((late, ROOT_LIFETIME));
        // Others, whose clock is right, can use it now.
        Authority::read(next.unwrap(), now()).unwrap();
        // A clock that is behind takes nothing away.
        let early = pem.renewed((now() - Duration::from_secs(60), DAY)).unwrap();
        let early = Authority::read(early, now()).unwrap();
        assert_eq!(early.validity().until, now() + ROOT_LIFETIME);
    }

    #[test]
    fn what_is_no_root_or_has_another_key_is_refused() {
        let (one, other) = (like_istios(), like_istios());
        let mixed = AuthorityPem {
            key: other.key.clone(),
            ..one.clone()
        };
        assert!(mixed.renewed((now(), ROOT_LIFETIME)).is_err());
        let empty = AuthorityPem {
            certificate: String::new(),
            ..one
        };
        assert!(empty.renewed((now(), ROOT_LIFETIME)).is_err());
        assert!(empty.is_due(RENEWAL, now()).is_err());
    }
}
