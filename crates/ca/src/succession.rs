//! From one authority to the next without anybody being distrusted on the way: A, A and B, B.
//!
//! Nothing is signed under a root before everybody has been told of it for a while. An authority
//! that has no root in common with the one in force is refused: whoever holds a certificate of now
//! would be a stranger to whoever gets the next one. Istio refuses that as well (platform.md 4.6).

use crate::authority::{Authority, AuthorityPem};
use crate::error::Error;
use crate::path::{Anchor, anchor, pem_of};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The authority in force, and the one that comes.
#[derive(Debug)]
pub struct Succession {
    current: Arc<Authority>,
    /// What was heard last.
    heard: AuthorityPem,
    /// Since when everybody is told of each root.
    told: BTreeMap<Anchor, SystemTime>,
    next: Option<Authority>,
    settle: Duration,
}

impl Succession {
    /// Begins with an authority whose roots are taken for known. A new root is handed out for
    /// `settle` before anything is signed under it.
    ///
    /// # Errors
    /// As [`Authority::read`].
    pub fn begin(pem: AuthorityPem, (now, settle): (SystemTime, Duration)) -> Result<Self, Error> {
        let current = Authority::read(pem.clone(), now)?;
        let told = anchors(&current)?;
        Ok(Self {
            told: told.into_iter().map(|root| (root, UNIX_EPOCH)).collect(),
            current: Arc::new(current),
            heard: pem,
            next: None,
            settle,
        })
    }

    /// What signs now, with the roots that everybody is to trust now.
    #[must_use]
    pub fn authority(&self) -> &Arc<Authority> {
        &self.current
    }

    /// True while a new root is handed out that nothing is signed under yet.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.next.is_some()
    }

    /// What is to be in force, heard again and again. True when something else is in force now.
    ///
    /// # Errors
    /// As [`Authority::read`], or it has no root in common; what is in force stays.
    pub fn hear(&mut self, pem: AuthorityPem, now: SystemTime) -> Result<bool, Error> {
        let mut changed = false;
        if pem != self.heard {
            let candidate = Authority::read(pem.clone(), now)?;
            let theirs = anchors(&candidate)?;
            if anchors(&self.current)?.is_disjoint(&theirs) {
                return Err(Error::Stranger);
            }
            self.heard = pem;
            changed = !self.is_known(&candidate, now);
            if changed {
                self.current = Arc::new(self.spread(&candidate, now)?);
                for root in theirs {
                    self.told.entry(root).or_insert(now);
                }
            }
            self.next = Some(candidate);
        }
        match self.next.take() {
            Some(next) if self.is_known(&next, now) => {
                let roots = anchors(&next)?;
                self.told.retain(|root, _| roots.contains(root));
                for root in roots {
                    self.told.entry(root).or_insert(now);
                }
                self.current = Arc::new(next);
                Ok(true)
            }
            waiting => {
                self.next = waiting;
                Ok(changed)
            }
        }
    }

    /// True when everybody has been told of the root of the authority for long enough.
    fn is_known(&self, authority: &Authority, now: SystemTime) -> bool {
        let since = self.told.get(authority.anchor());
        since.is_some_and(|since| *since + self.settle <= now)
    }

    /// What signs now, with the roots of the next one beside its own.
    fn spread(&self, next: &Authority, now: SystemTime) -> Result<Authority, Error> {
        let theirs = anchors(next)?;
        let mut roots = next.pem().roots.clone();
        for root in self.current.roots() {
            if !theirs.contains(&anchor(root)?) {
                if !roots.ends_with('\n') {
                    roots.push('\n');
                }
                roots.push_str(&pem_of(root));
            }
        }
        let pem = AuthorityPem {
            roots,
            crl: next.pem().crl.clone(),
            ..self.current.pem().clone()
        };
        Authority::read(pem, now)
    }
}

fn anchors(authority: &Authority) -> Result<BTreeSet<Anchor>, Error> {
    authority.roots().iter().map(|root| anchor(root)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(180);

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn own(domain: &str) -> AuthorityPem {
        Authority::self_signed(&domain.parse().unwrap(), now()).unwrap()
    }

    fn with_roots(signs: &AuthorityPem, roots: &[&AuthorityPem]) -> AuthorityPem {
        AuthorityPem {
            roots: roots.iter().map(|one| one.roots.as_str()).collect(),
            ..signs.clone()
        }
    }

    fn begin(pem: &AuthorityPem) -> Succession {
        Succession::begin(pem.clone(), (now(), SETTLE)).unwrap()
    }

    /// Who signs, and how many roots are trusted.
    fn state(succession: &Succession) -> (&str, usize) {
        let authority = succession.authority();
        (&authority.pem().certificate, authority.roots().len())
    }

    #[test]
    fn three_phases_and_the_second_is_long_enough() {
        let (a, b) = (own("a"), own("b"));
        let mut succession = begin(&a);
        // A, and B is told of.
        let both = with_roots(&a, &[&a, &b]);
        assert!(succession.hear(both, now()).unwrap());
        assert_eq!(state(&succession), (&*a.certificate, 2));
        // B signs as soon as it is known, not before.
        let next = with_roots(&b, &[&a, &b]);
        let soon = now() + SETTLE / 2;
        succession.hear(next.clone(), soon).unwrap();
        assert_eq!(state(&succession), (&*a.certificate, 2));
        assert!(succession.waits());
        assert!(succession.hear(next.clone(), now() + SETTLE).unwrap());
        assert_eq!(state(&succession), (&*b.certificate, 2));
        assert!(!succession.hear(next, now() + SETTLE).unwrap(), "no news");
        // Nobody trusts A any more.
        assert!(succession.hear(b.clone(), now() + 2 * SETTLE).unwrap());
        assert_eq!(state(&succession), (&*b.certificate, 1));
        assert!(!succession.waits());
    }

    #[test]
    fn whoever_skips_the_second_phase_gets_it() {
        let (a, b) = (own("a"), own("b"));
        let mut succession = begin(&a);
        let at_once = with_roots(&b, &[&a, &b]);
        assert!(succession.hear(at_once.clone(), now()).unwrap());
        assert_eq!(state(&succession), (&*a.certificate, 2));
        assert!(
            !succession
                .hear(at_once.clone(), now() + SETTLE / 2)
                .unwrap()
        );
        assert!(succession.hear(at_once, now() + SETTLE).unwrap());
        assert_eq!(state(&succession), (&*b.certificate, 2));
    }

    #[test]
    fn a_stranger_is_refused_and_what_is_in_force_stays() {
        let (a, b) = (own("a"), own("b"));
        let mut succession = begin(&a);
        let why = succession.hear(b.clone(), now()).unwrap_err();
        assert!(why.to_string().contains("root-cert.pem"), "{why}");
        let mut broken = with_roots(&b, &[&a, &b]);
        broken.key = a.key.clone();
        assert!(succession.hear(broken, now()).is_err(), "half-written");
        assert_eq!(state(&succession), (&*a.certificate, 1));
        assert!(!succession.hear(a.clone(), now()).unwrap());
    }

    #[test]
    fn the_roots_of_both_stay_while_one_waits() {
        let (a, b, c) = (own("a"), own("b"), own("c"));
        let mut succession = begin(&with_roots(&a, &[&a, &b]));
        // The signing root is not in the next bundle: it must not be distrusted yet.
        let next = with_roots(&c, &[&b, &c]);
        assert!(succession.hear(next.clone(), now()).unwrap());
        assert_eq!(state(&succession), (&*a.certificate, 3));
        assert!(succession.hear(next, now() + SETTLE).unwrap());
        assert_eq!(state(&succession), (&*c.certificate, 2));
    }

    #[test]
    fn a_root_that_is_renewed_with_its_key_is_no_other() {
        let a = own("a");
        let renewed = a.renewed((now() + SETTLE, crate::ROOT_LIFETIME)).unwrap();
        assert_ne!(renewed.certificate, a.certificate);
        let mut succession = begin(&a);
        assert!(
            succession
                .hear(renewed.clone(), now() + 2 * SETTLE)
                .unwrap()
        );
        assert_eq!(state(&succession), (&*renewed.certificate, 1));
    }
}
