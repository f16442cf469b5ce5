//! The addresses that ServiceEntries were given, handed to who writes them into their status.

use super::Scribe;
use crate::plane::Plane;
use meltemi_kube::{Allocated, Words};
use meltemi_registry::{Published, Subjects};
use meltemi_runtime::drain::Drain;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::watch;

/// The lock of who hands out addresses; Istio's name, because Istio does the same.
const LOCK: &str = "istio-ip-autoallocate";

/// What was handed out, and to which generation of each object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handed {
    allocated: Arc<meltemi_registry::Allocated>,
    subjects: Arc<Subjects>,
}

impl Handed {
    /// Puts what was published in place of what was known, and says whether it is something else.
    pub(crate) fn of(published: &Published) -> impl FnOnce(&mut Self) -> bool {
        let next = Self {
            allocated: published.allocated.clone(),
            subjects: published.subjects.clone(),
        };
        |known| {
            let same = Arc::ptr_eq(&known.allocated, &next.allocated)
                && Arc::ptr_eq(&known.subjects, &next.subjects);
            *known = next;
            !same
        }
    }

    /// What there is to say about each object that an API server holds.
    fn words(&self) -> Words {
        let word = |(object, addresses): (&_, &Arc<_>)| {
            let allocated = Allocated {
                generation: *self.subjects.get(object)?,
                addresses: Arc::clone(addresses),
            };
            Some((Arc::clone(object), Arc::new(allocated.into())))
        };
        self.allocated.iter().filter_map(word).collect()
    }
}

/// What writes addresses.
pub(crate) struct Addresses(pub(crate) Scribe);

impl Addresses {
    /// Runs until drained.
    pub(crate) async fn run(self, drain: Drain) -> Result<(), Infallible> {
        let Self(scribe) = self;
        let (tell, words) = watch::channel(Words::new());
        let plane = scribe.plane.clone();
        tokio::select! {
            () = follow(&plane, &tell) => {}
            () = scribe.write((LOCK, "addresses"), words, drain) => {}
        }
        Ok(())
    }
}

/// Says what there is to say whenever it is something else, for ever.
async fn follow(plane: &Plane, tell: &watch::Sender<Words>) {
    let mut handed = plane.handed();
    loop {
        let words = handed.borrow_and_update().words();
        tell.send_replace(words);
        if handed.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use meltemi_kube::Word;
    use meltemi_types::ObjectRef;

    #[test]
    fn what_no_api_server_holds_is_not_spoken_of() {
        let object = |name: &str| {
            Arc::new(ObjectRef {
                cluster: Default::default(),
                kind: "ServiceEntry".into(),
                namespace: Some("shop".parse().unwrap()),
                name: name.parse().unwrap(),
            })
        };
        let addresses: Arc<[_]> = [(Arc::from("a.com"), "240.240.1.1".parse().unwrap())].into();
        let each = |name| (object(name), addresses.clone());
        let handed = Handed {
            allocated: Arc::new([each("stored"), each("of-a-file")].into()),
            subjects: Arc::new([(object("stored"), 3)].into()),
        };
        let expected = Word::Allocated(Allocated {
            generation: 3,
            addresses,
        });
        assert_eq!(
            handed.words(),
            [(object("stored"), Arc::new(expected))].into()
        );
    }
}
