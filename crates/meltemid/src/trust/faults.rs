//! What is wrong with `MeshConfig.caCertificates`, as diagnostics of the object that holds it, and as
//! numbers for who watches over the mesh.

use super::bundles::{Bundles, Known, MOST};
use crate::plane::Trusting;
use meltemi_api::mesh_config::CertificateData;
use meltemi_ca::domains::{Believed, Flaw};
use meltemi_types::{Code, Diagnostic, FieldPath, Origin};
use std::collections::{BTreeMap, BTreeSet};

/// What to do about an address.
const PUBLISH: &str = "publish a SPIFFE bundle there, or correct the address; whom to believe there \
                       stands in SSL_CERT_FILE";

/// Everything that is wrong, which it also counts.
pub(super) fn of(mesh: &Trusting, told: &Believed, bundles: &Bundles) -> BTreeSet<Diagnostic> {
    let mut found = BTreeSet::new();
    let mut states = BTreeMap::from([("good", 0_u32), ("old", 0), ("none", 0)]);
    // Who wrote nothing has made no mistake.
    let Some(written) = &mesh.written else {
        measure(&found, &states);
        return found;
    };
    let all = FieldPath::root().field("caCertificates");
    for fault in &told.faults {
        if let Some(entry) = mesh.config.ca_certificates.get(fault.entry) {
            let path = all.index(fault.entry);
            found.insert(flawed(entry, fault.what, |field| match field {
                Some(field) => written.origin_at(&path.field(field)),
                None => written.origin_at(&path),
            }));
        }
    }
    for (number, entry) in mesh.config.ca_certificates.iter().enumerate() {
        let Some(url) = entry.spiffe_bundle_url.as_deref().filter(|u| !u.is_empty()) else {
            continue;
        };
        let path = all.index(number);
        let known = bundles.known(url);
        *states.entry(state(known)).or_default() += 1;
        found.extend(unread(
            known,
            written.origin_at(&path.field("spiffeBundleUrl")),
        ));
        if entry.pem.as_deref().is_some_and(|pem| !pem.is_empty()) {
            found.insert(Diagnostic::warning(
                Code::IgnoredField,
                written.origin_at(&path.field("pem")),
                "it has no effect beside spiffeBundleUrl",
                "remove one of the two",
            ));
        }
    }
    measure(&found, &states);
    found
}

fn flawed(entry: &CertificateData, what: Flaw, at: impl Fn(Option<&str>) -> Origin) -> Diagnostic {
    let (origin, message, remedy) = match what {
        Flaw::Text => (
            at(entry.pem.as_deref().map(|_| "pem")),
            "there is no certificate in PEM, so nobody is believed by this entry".to_owned(),
            "put one into pem, name a spiffeBundleUrl, or remove the entry",
        ),
        Flaw::Certificate(number) => (
            at(Some("pem")),
            format!(
                "certificate {} of it cannot be read, or is none of an authority, so nobody is \
                 believed by it",
                number + 1
            ),
            "put an X.509 certificate with CA:TRUE there, in PEM",
        ),
        Flaw::Domain(number) => {
            let domain = entry.trust_domains.get(number);
            (
                at(Some(&format!("trustDomains[{number}]"))),
                format!("{:?} is no trust domain", domain.map_or("", String::as_str)),
                "use lower-case letters, digits, '.', '-' and '_'",
            )
        }
    };
    Diagnostic::error(Code::MeshRoots, origin, message, remedy)
}

/// What is wrong with an address, if something is.
fn unread(known: Known<'_>, origin: Origin) -> Option<Diagnostic> {
    let code = Code::MeshRoots;
    match known {
        Known::Good => None,
        Known::Old(why) => {
            let message = format!("the bundle cannot be read ({why}); what was read last counts");
            Some(Diagnostic::warning(code, origin, message, PUBLISH))
        }
        Known::Nothing(why) => {
            let message = format!("the bundle cannot be read ({why}); nobody is believed by it");
            Some(Diagnostic::error(code, origin, message, PUBLISH))
        }
        Known::Unread => {
            let message = format!("only {MOST} addresses are read; nobody is believed by this one");
            Some(Diagnostic::error(code, origin, message, "remove others"))
        }
    }
}

fn state(known: Known<'_>) -> &'static str {
    match known {
        Known::Good => "good",
        Known::Old(_) => "old",
        Known::Nothing(_) | Known::Unread => "none",
    }
}

fn measure(found: &BTreeSet<Diagnostic>, states: &BTreeMap<&'static str, u32>) {
    let faults = found.iter().filter(|one| one.code == Code::MeshRoots);
    let faults = u32::try_from(faults.count()).unwrap_or(u32::MAX);
    metrics::gauge!("meltemi_mesh_root_faults").set(f64::from(faults));
    for (state, number) in states {
        metrics::gauge!("meltemi_spiffe_bundles", "state" => *state).set(f64::from(*number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::whom;
    use meltemi_api::Object;
    use meltemi_api::mesh_config::MeshConfig;
    use meltemi_api::yaml::{Outcome, Source, read_mesh_config};
    use std::sync::Arc;

    fn said(yaml: &str, bundles: &Bundles) -> Vec<String> {
        let read = read_mesh_config(yaml.as_bytes(), &Source::new("mesh.yaml"));
        let Outcome::Object(Object::MeshConfig(written)) = read.outcome else {
            panic!("{:?}", read.diagnostics)
        };
        let config = MeshConfig::defaults().merge(written.spec.clone());
        let mesh = Trusting {
            config: Arc::new(config),
            domain: "td".parse().unwrap(),
            written: Some(written),
        };
        let told = whom(&mesh, "", bundles);
        let found = of(&mesh, &told, bundles);
        found.iter().map(ToString::to_string).collect()
    }

    /// `error[MLT0402]: MeshConfig istio-system/istio caCertificates[0].pem: ...; ... (mesh.yaml:2:8)`
    #[test]
    fn a_root_that_is_none_is_said_with_its_place() {
        let bundles = Bundles::new(None);
        let said = said(
            "caCertificates:\n\
             - pem: nothing\n\
             - trustDomains: [one.example, Not One]\n\
             \x20 pem: |\n\
             \x20   -----BEGIN CERTIFICATE-----\n\
             \x20   AAAA\n\
             \x20   -----END CERTIFICATE-----\n\
             - trustDomains: [other.example]\n",
            &bundles,
        );
        let wanted = [
            (
                "caCertificates[0].pem: there is no certificate",
                "mesh.yaml:2:",
            ),
            ("caCertificates[1].pem: certificate 1 of it", "mesh.yaml:4:"),
            (
                "caCertificates[1].trustDomains[1]: \"Not One\"",
                "mesh.yaml:3:",
            ),
            ("caCertificates[2]: there is no certificate", "mesh.yaml:8:"),
        ];
        assert_eq!(said.len(), wanted.len(), "{said:#?}");
        for (what, place) in wanted {
            let is_said = |line: &String| {
                let coded = line.starts_with("error[MLT0402]: MeshConfig ");
                coded && line.contains(what) && line.contains(place)
            };
            assert!(said.iter().any(is_said), "{what}, {place} in {said:#?}");
        }
    }

    #[test]
    fn an_address_that_is_not_read_is_said() {
        let mut bundles = Bundles::new(None);
        let one = |url: &str| CertificateData {
            spiffe_bundle_url: Some(url.to_owned()),
            ..CertificateData::default()
        };
        bundles.follow(&[one("http://a.example/bundle")]);
        let said = said(
            "caCertificates: [{spiffeBundleUrl: 'http://a.example/bundle', pem: x}, \
             {spiffeBundleUrl: 'https://b.example/bundle'}]",
            &bundles,
        );
        let [beside, plain, unread] = &said[..] else {
            panic!("{said:#?}")
        };
        assert!(plain.contains("caCertificates[0].spiffeBundleUrl: the bundle cannot be read"));
        assert!(
            plain.contains("is no https://HOST/PATH); nobody is believed"),
            "{plain}"
        );
        assert!(
            unread.contains("[1].spiffeBundleUrl: only 16 addresses"),
            "{unread}"
        );
        assert!(beside.starts_with("warning[MLT0109]"), "{beside}");
    }

    #[test]
    fn what_was_read_before_counts() {
        let origin = Origin::object(
            Arc::new(meltemi_types::ObjectRef {
                cluster: meltemi_types::ClusterId::default(),
                kind: "MeshConfig".into(),
                namespace: None,
                name: "istio".parse().unwrap(),
            }),
            None,
        );
        assert_eq!(unread(Known::Good, origin.clone()), None);
        let old = unread(Known::Old("no answer"), origin.clone()).unwrap();
        assert!(
            !old.is_error()
                && old
                    .message
                    .contains("(no answer); what was read last counts")
        );
        assert!(
            unread(Known::Nothing("no answer"), origin)
                .unwrap()
                .is_error()
        );
    }
}
