//! Further roots that workloads believe beside their own authority's: `MeshConfig.caCertificates`. Of a
//! bundle with one bad certificate, the others count.

use crate::authority::parse;
use crate::path::{may_sign, pem_of};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeSet;

/// Adds to `roots` those of these texts in PEM that are not among them and may sign; gives back how
/// many are of no use.
pub fn add(roots: &mut String, texts: &[&str]) -> usize {
    if texts.is_empty() {
        return 0;
    }
    let own = CertificateDer::pem_slice_iter(roots.as_bytes());
    let mut known: BTreeSet<Vec<u8>> = own.flatten().map(|one| one.to_vec()).collect();
    let mut bad = 0;
    for text in texts {
        let mut any = false;
        for one in CertificateDer::pem_slice_iter(text.as_bytes()) {
            any = true;
            let good = one.ok().filter(|one| {
                let parsed = parse("caCertificates", one);
                parsed.is_ok_and(|parsed| may_sign(&parsed))
            });
            match good {
                Some(one) if known.insert(one.to_vec()) => {
                    if !roots.ends_with('\n') {
                        roots.push('\n');
                    }
                    roots.push_str(&pem_of(&one));
                }
                Some(_) => {}
                None => bad += 1,
            }
        }
        bad += usize::from(!any);
    }
    bad
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;
    use std::time::{Duration, UNIX_EPOCH};

    fn root(name: &str) -> String {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let made = Authority::self_signed(&name.parse().unwrap(), now);
        made.unwrap().certificate.replace("\r\n", "\n")
    }

    #[test]
    fn what_is_good_is_added_once() {
        let (own, one, other) = (root("own"), root("one"), root("other"));
        let mut roots = own.clone();
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec!["a.b".to_owned()]);
        let leaf = leaf.unwrap().self_signed(&key).unwrap().pem();
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let five = format!("{one}{junk}{leaf}{own}{other}");
        assert_eq!(add(&mut roots, &[&five, &one, ""]), 3);
        assert_eq!(roots, format!("{own}{one}{other}"));
        assert_eq!(add(&mut roots, &[]), 0);
    }
}
