//! Which roots vouch for which trust domains: the authority's own, and those of
//! `MeshConfig.caCertificates` (platform.md 4.7).
//!
//! A root with `trustDomains` is believed for those only, one without for all, as the fields are
//! documented; Istio itself throws them into one heap, so that each vouches for each. Of a bundle with
//! one bad certificate, the others count.

use crate::authority::parse;
use crate::path::{may_sign, pem_of};
use meltemi_types::TrustDomain;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::{BTreeMap, BTreeSet};

/// Roots that somebody names beside the authority's.
#[derive(Clone, Copy, Debug)]
pub struct Further<'a> {
    /// PEM; `None` when they are not known yet, so that nobody is believed by them.
    pub pem: Option<&'a str>,
    /// The trust domains that they are for; none: all.
    pub domains: &'a [String],
}

/// The roots of one trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Which.
    pub name: TrustDomain,
    /// PEM, each once, sorted by what is in them; may be empty.
    pub roots: String,
    /// It is the mesh's own, or an alias of it.
    pub mesh: bool,
}

/// Whom workloads believe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Believed {
    /// Every root, PEM, sorted by what is in it.
    pub all: Vec<String>,
    /// By trust domain, sorted; empty when each root vouches for each domain.
    pub domains: Vec<Domain>,
    /// What of the further roots is of no use; everything else counts.
    pub faults: Vec<Fault>,
}

/// Something of no use in further roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// In which of them, from 0.
    pub entry: usize,
    /// What of it.
    pub what: Flaw,
}

/// What is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// The text, which holds no certificate.
    Text,
    /// A certificate of the text, from 0: it cannot be read, or is none of an authority.
    Certificate(usize),
    /// A trust domain, from 0: it is no name of one.
    Domain(usize),
}

type Roots = BTreeSet<Vec<u8>>;

/// Who is believed in a mesh of these trust domains (its own and its aliases), whose authority has
/// these roots (PEM; empty when it is not ours).
#[must_use]
pub fn believed((mesh, authority): (&[TrustDomain], &str), further: &[Further<'_>]) -> Believed {
    let mut faults = Vec::new();
    // Who signs has looked at its own roots before.
    let (own, _) = read(authority);
    let mut everywhere = Roots::new();
    let mut by_domain: BTreeMap<TrustDomain, Roots> = BTreeMap::new();
    for domain in mesh {
        by_domain
            .entry(domain.clone())
            .or_default()
            .extend(own.clone());
    }
    for (entry, one) in further.iter().enumerate() {
        let mut fault = |what| faults.push(Fault { entry, what });
        let (roots, flaws) = one.pem.map(read).unwrap_or_default();
        flaws.into_iter().for_each(&mut fault);
        if one.domains.is_empty() {
            everywhere.extend(roots);
            continue;
        }
        for (number, domain) in one.domains.iter().enumerate() {
            match domain.parse() {
                Ok(domain) => {
                    let known: &mut Roots = by_domain.entry(domain).or_default();
                    known.extend(roots.iter().cloned());
                }
                Err(_) => fault(Flaw::Domain(number)),
            }
        }
    }
    for roots in by_domain.values_mut() {
        roots.extend(everywhere.iter().cloned());
    }
    let all: Roots = by_domain.values().flatten().cloned().collect();
    // Of an authority that is not ours we know no roots, and so not whether another domain has them.
    let strangers = by_domain.keys().any(|domain| !mesh.contains(domain));
    let same = by_domain.values().all(|roots| *roots == all) && !(own.is_empty() && strangers);
    let domains = match same {
        true => BTreeMap::new(),
        false => by_domain,
    };
    let domain = |(name, roots): (TrustDomain, Roots)| Domain {
        mesh: mesh.contains(&name),
        name,
        roots: roots.iter().map(text).collect(),
    };
    Believed {
        all: all.iter().map(text).collect(),
        domains: domains.into_iter().map(domain).collect(),
        faults,
    }
}

fn text(der: &Vec<u8>) -> String {
    pem_of(&CertificateDer::from(der.as_slice()))
}

/// The certificates that may sign, and what is wrong with the others.
fn read(pem: &str) -> (Roots, Vec<Flaw>) {
    let mut roots = Roots::new();
    let mut flaws = Vec::new();
    for (number, one) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
        let good = one.ok().filter(|one| {
            let parsed = parse("caCertificates", one);
            parsed.is_ok_and(|parsed| may_sign(&parsed))
        });
        match good {
            Some(one) => {
                roots.insert(one.to_vec());
            }
            None => flaws.push(Flaw::Certificate(number)),
        }
    }
    if roots.is_empty() && flaws.is_empty() {
        flaws.push(Flaw::Text);
    }
    (roots, flaws)
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

    fn mesh(names: &[&str]) -> Vec<TrustDomain> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn names(all: &[&str]) -> Vec<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    fn of<'a>(believed: &'a Believed, name: &str) -> &'a Domain {
        let mut all = believed.domains.iter();
        all.find(|domain| domain.name.as_str() == name).unwrap()
    }

    #[test]
    fn what_is_good_counts_once() {
        let (own, one, other) = (root("own"), root("one"), root("other"));
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec!["a.b".to_owned()]);
        let leaf = leaf.unwrap().self_signed(&key).unwrap().pem();
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let five = format!("{one}{junk}{leaf}{own}{other}");
        let further = |pem| Further { pem, domains: &[] };
        let given = [
            further(Some(&*five)),
            further(Some(&one)),
            further(Some("")),
            further(None),
        ];
        let told = believed((&mesh(&["td", "old"]), &own), &given);
        let fault = |entry, what| Fault { entry, what };
        let faults = [
            fault(0, Flaw::Certificate(1)),
            fault(0, Flaw::Certificate(2)),
            fault(2, Flaw::Text),
        ];
        assert_eq!(told.faults, faults);
        assert_eq!((told.all.len(), told.domains.len()), (3, 0));
        for root in [&own, &one, &other] {
            assert!(told.all.contains(root), "{root}");
        }
        let turned = believed((&mesh(&["td", "old"]), &own), &[further(Some(&five))]);
        assert_eq!(
            turned.all, told.all,
            "the order of the sources does not count"
        );
    }

    #[test]
    fn a_root_for_a_domain_vouches_for_no_other() {
        let (own, partner, any) = (root("own"), root("partner"), root("any"));
        let foreign = names(&["partner.example", "Not One"]);
        let given = [
            Further {
                pem: Some(&partner),
                domains: &foreign,
            },
            Further {
                pem: Some(&any),
                domains: &[],
            },
        ];
        let told = believed((&mesh(&["td", "old"]), &own), &given);
        let all: Vec<&str> = told.domains.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(all, ["old", "partner.example", "td"]);
        let what = Flaw::Domain(1);
        assert_eq!(told.faults, [Fault { entry: 0, what }]);
        for name in ["td", "old"] {
            let domain = of(&told, name);
            assert!(domain.mesh && domain.roots.contains(&own) && domain.roots.contains(&any));
            assert!(!domain.roots.contains(&partner), "{name}");
        }
        let domain = of(&told, "partner.example");
        assert!(!domain.mesh && !domain.roots.contains(&own));
        assert!(domain.roots.contains(&partner) && domain.roots.contains(&any));
    }

    #[test]
    fn domains_with_the_same_roots_need_no_telling_apart() {
        let own = root("own");
        let both = names(&["td", "partner"]);
        let given = [Further {
            pem: Some(&own),
            domains: &both,
        }];
        assert_eq!(believed((&mesh(&["td"]), &own), &given).domains, []);
        // Unless the authority is somebody else's, whose roots we do not know.
        assert_eq!(believed((&mesh(&["td"]), ""), &given).domains.len(), 2);
    }

    /// What is not known yet, and what names no domain that there is, opens nothing.
    #[test]
    fn nothing_is_believed_in_advance() {
        let (own, partner) = (root("own"), root("partner"));
        let (foreign, none) = (names(&["partner"]), names(&["Not One"]));
        let given = [
            Further {
                pem: None,
                domains: &foreign,
            },
            Further {
                pem: Some(&partner),
                domains: &none,
            },
        ];
        let told = believed((&mesh(&["td"]), &own), &given);
        assert_eq!(of(&told, "partner").roots, "");
        assert_eq!(told.all, [own]);
    }
}
