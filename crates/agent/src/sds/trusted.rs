//! Whom Envoy is told to believe: one heap of roots, or, where trust domains have different ones, each
//! domain by its own roots alone (Envoy's validator for SPIFFE, as SPIRE's agent uses it).
//!
//! The names that the configuration of Envoy asks for are checked either way. The surprise: that
//! validator takes lists of revoked certificates within a bundle, and then asks for one of everybody on
//! the path, so a domain without all of them gets none; and
//! it refuses a peer without key usage.

use super::revoked::Depth;
use crate::trust::{Domain, Trust};
use meltemi_proto::any::pack;
use meltemi_proto::envoy::config::core::v3::{
    DataSource, TypedExtensionConfig, data_source::Specifier,
};
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::spiffe_cert_validator_config::TrustDomain as Entry;
use meltemi_proto::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, SpiffeCertValidatorConfig,
};
use std::collections::BTreeSet;

/// The validator that looks for roots by trust domain.
const VALIDATOR: &str = "envoy.tls.cert_validator.spiffe";

/// What is hashed into the version, and the secret.
pub(super) type Made = (Vec<u8>, Type);

/// Finds the lists for these roots, and for this chain that leads to them.
pub(super) type Lists<'a> = &'a dyn Fn((&[u8], &[u8]), Depth) -> Option<Vec<u8>>;

/// Whom a workload believes that was certified with `roots` and `chain`.
pub(super) fn peers((roots, chain): (&[u8], &[u8]), trust: &Trust, lists: Lists<'_>) -> Made {
    let Trust {
        roots: all,
        domains,
    } = trust;
    let mut entries = Vec::new();
    for (name, domain) in domains {
        let Domain { roots: own, mesh } = domain;
        let (pem, chain) = match mesh {
            true => (merged(own, roots), chain),
            false => (merged(own, &[]), [].as_slice()),
        };
        // A domain without roots is one that Envoy does not know, and refuses.
        if !pem.is_empty() {
            let list = lists((&pem, chain), Depth::Path).unwrap_or_default();
            entries.push((name.to_string(), [pem, list].concat()));
        }
    }
    match entries.is_empty() {
        // Of all that was said, nothing is left but our own: nobody else is believed.
        true if !domains.is_empty() => heap(roots.to_vec(), lists((roots, chain), Depth::Leaf)),
        true => {
            let pem = merged(roots, all);
            let list = lists((&pem, chain), Depth::Leaf);
            heap(pem, list)
        }
        false => by_domain(entries),
    }
}

/// Each root vouches for everybody.
pub(super) fn heap(pem: Vec<u8>, list: Option<Vec<u8>>) -> Made {
    let mut public = pem.clone();
    public.extend(list.iter().flatten());
    let context = CertificateValidationContext {
        trusted_ca: Some(inline(pem)),
        // Only who signs leaves needs a list, so that roots above need none.
        only_verify_leaf_cert_crl: list.is_some(),
        crl: list.map(inline),
        ..CertificateValidationContext::default()
    };
    (public, Type::ValidationContext(context))
}

fn by_domain(entries: Vec<(String, Vec<u8>)>) -> Made {
    let mut public = Vec::new();
    for (name, bundle) in &entries {
        public.extend(name.bytes().chain([0]));
        public.extend(bundle);
    }
    let entry = |(name, bundle): (String, Vec<u8>)| Entry {
        name,
        trust_bundle: Some(inline(bundle)),
        ..Entry::default()
    };
    let config = SpiffeCertValidatorConfig {
        trust_domains: entries.into_iter().map(entry).collect(),
        ..SpiffeCertValidatorConfig::default()
    };
    let context = CertificateValidationContext {
        custom_validator_config: Some(TypedExtensionConfig {
            name: VALIDATOR.to_owned(),
            typed_config: Some(pack(&config)),
        }),
        ..CertificateValidationContext::default()
    };
    (public, Type::ValidationContext(context))
}

pub(super) fn inline(bytes: Vec<u8>) -> DataSource {
    DataSource {
        specifier: Some(Specifier::InlineBytes(bytes)),
        ..DataSource::default()
    }
}

/// The roots of both, each once, sorted: the order of their sources does not count.
pub(super) fn merged(one: &[u8], other: &[u8]) -> Vec<u8> {
    let (Ok(first), Ok(second)) = (pem::parse_many(one), pem::parse_many(other)) else {
        return one.to_vec();
    };
    let all: BTreeSet<_> = first
        .iter()
        .chain(&second)
        .map(pem::Pem::contents)
        .collect();
    let text = |der: &[u8]| {
        let block = pem::Pem::new("CERTIFICATE", der);
        pem::encode_config(
            &block,
            pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
        )
    };
    all.into_iter().map(text).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority_double::Root;
    use meltemi_proto::any::unpack;

    fn none((_, _): (&[u8], &[u8]), _: Depth) -> Option<Vec<u8>> {
        None
    }

    fn context(made: Made) -> CertificateValidationContext {
        match made.1 {
            Type::ValidationContext(context) => context,
            other @ (Type::TlsCertificate(_)
            | Type::SessionTicketKeys(_)
            | Type::GenericSecret(_)) => panic!("{other:?}"),
        }
    }

    fn bytes(source: Option<DataSource>) -> Vec<u8> {
        match source.and_then(|source| source.specifier) {
            Some(Specifier::InlineBytes(bytes)) => bytes,
            other => panic!("{other:?}"),
        }
    }

    fn bundles(made: Made) -> Vec<(String, Vec<u8>)> {
        let validator = context(made).custom_validator_config.unwrap();
        assert_eq!(validator.name, VALIDATOR);
        let config = validator.typed_config.unwrap();
        let config: SpiffeCertValidatorConfig = unpack(&config).unwrap();
        let entries = config.trust_domains.into_iter();
        entries
            .map(|one| (one.name, bytes(one.trust_bundle)))
            .collect()
    }

    fn domain(pem: &str, mesh: bool) -> Domain {
        Domain {
            roots: pem.as_bytes().to_vec(),
            mesh,
        }
    }

    #[test]
    fn each_domain_has_its_own_roots_and_the_meshs_those_of_who_signs_for_us() {
        let [own, next, partner] = ["own", "next", "partner"].map(|name| Root::new(name).pem);
        let name = |text: &str| text.parse().unwrap();
        let trust = Trust {
            roots: format!("{next}{partner}").into_bytes(),
            domains: [
                (name("td"), domain(&next, true)),
                (name("partner"), domain(&partner, false)),
                (name("unknown"), domain("", false)),
            ]
            .into(),
        };
        let lists = |(_, chain): (&[u8], &[u8]), depth: Depth| {
            assert_eq!(depth, Depth::Path);
            (!chain.is_empty()).then(|| b"list".to_vec())
        };
        let made = bundles(peers((own.as_bytes(), b"chain"), &trust, &lists));
        let both = [merged(own.as_bytes(), next.as_bytes()), b"list".to_vec()].concat();
        let partner = merged(partner.as_bytes(), &[]);
        let expected = [("partner".to_owned(), partner), ("td".to_owned(), both)];
        assert_eq!(made, expected);
    }

    #[test]
    fn without_domains_each_root_vouches_for_everybody() {
        let [own, partner] = ["own", "partner"].map(|name| Root::new(name).pem);
        let trust = Trust {
            roots: partner.clone().into_bytes(),
            ..Trust::default()
        };
        let made = context(peers((own.as_bytes(), &[]), &trust, &none));
        assert_eq!(made.custom_validator_config, None);
        let both = merged(partner.as_bytes(), own.as_bytes());
        assert_eq!(bytes(made.trusted_ca), both);
    }

    #[test]
    fn domains_of_which_nothing_is_left_leave_our_own_roots() {
        let [own, partner] = ["own", "partner"].map(|name| Root::new(name).pem);
        let trust = Trust {
            roots: partner.into_bytes(),
            domains: [("x".parse().unwrap(), domain("", false))].into(),
        };
        let made = context(peers((own.as_bytes(), &[]), &trust, &none));
        assert_eq!(bytes(made.trusted_ca), own.as_bytes());
    }
}
