//! Refused resources, and the search for the culprit among siblings.
//!
//! What Envoy does with one bad resource was measured: for clusters and listeners it applies the
//! good ones and names the bad; when it names none it dropped the whole response. For every other
//! type which siblings were applied differs from process to process, so they are sent again, one
//! a response. A refused version is never sent again on its stream; another version lifts the ban.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many resources a response may carry for now.
#[derive(Debug, Default)]
enum Isolation {
    /// Any number.
    #[default]
    Off,
    /// One, for the rest of the stream.
    Singly,
    /// Those of the last batch; batches that are refused are halved.
    Halves(Vec<Vec<Arc<str>>>),
}

/// The refused resources of one type on one stream.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    versions: BTreeMap<Arc<str>, Arc<str>>,
    isolation: Isolation,
}

impl Quarantine {
    /// True when that version of the resource was refused.
    pub(crate) fn holds(&self, name: &str, version: &str) -> bool {
        self.versions
            .get(name)
            .is_some_and(|refused| **refused == *version)
    }

    /// That version was refused.
    pub(crate) fn put(&mut self, name: Arc<str>, version: Arc<str>) {
        self.versions.insert(name, version);
    }

    /// Another version is wanted, or none.
    pub(crate) fn lift(&mut self, name: &str) {
        self.versions.remove(name);
    }

    /// The names in quarantine.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.versions.keys()
    }

    /// How many are in quarantine.
    pub(crate) fn len(&self) -> usize {
        self.versions.len()
    }

    /// From now on one resource a response.
    pub(crate) fn singly(&mut self) {
        self.isolation = Isolation::Singly;
    }

    /// One of these was refused, unknown which: try the halves apart.
    pub(crate) fn halve(&mut self, names: &[Arc<str>]) {
        let (first, second) = names.split_at(names.len() / 2);
        let batches = [second.to_vec(), first.to_vec()];
        match &mut self.isolation {
            Isolation::Halves(stack) => stack.extend(batches),
            Isolation::Off | Isolation::Singly => {
                self.isolation = Isolation::Halves(batches.into())
            }
        }
    }

    /// Which of the names that are `ready` may go in one response; `waiting` are all that will
    /// have to go at some time.
    pub(crate) fn admit(
        &mut self,
        ready: Vec<Arc<str>>,
        waiting: impl Fn(&str) -> bool,
    ) -> Vec<Arc<str>> {
        match &mut self.isolation {
            Isolation::Off => ready,
            Isolation::Singly => ready.into_iter().take(1).collect(),
            Isolation::Halves(stack) => {
                while let Some(batch) = stack.last() {
                    if !batch.iter().any(|name| waiting(name)) {
                        stack.pop();
                        continue;
                    }
                    let batch: BTreeSet<_> = batch.iter().cloned().collect();
                    return ready
                        .into_iter()
                        .filter(|name| batch.contains(name))
                        .collect();
                }
                self.isolation = Isolation::Off;
                ready
            }
        }
    }
}

/// The candidates that a refusal names, as in `Error adding/updating cluster(s) a: why, b: why`.
///
/// The names are known, so they are looked for instead of taking the sentence apart: a name
/// counts when a `: ` follows and it does not continue a longer name.
pub(crate) fn named_in<'a>(
    message: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Vec<&'a str> {
    let Some(start) = ["(s) ", "(s): "].iter().find_map(|mark| message.find(mark)) else {
        return Vec::new();
    };
    let (_, list) = message.split_at(start);
    candidates
        .filter(|name| {
            list.match_indices(&format!("{name}: ")).any(|(at, _)| {
                let (before, _) = list.split_at(at);
                before.ends_with([' ', '\n', ','])
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<Arc<str>> {
        list.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn envoy_names_clusters_and_listeners() {
        let message = "Error adding/updating cluster(s) outbound|80||a.b: no such policy, x: bad";
        let found = named_in(message, ["a.b", "outbound|80||a.b", "x", "y"].into_iter());
        assert_eq!(found, ["outbound|80||a.b", "x"]);
        let message = "Error adding/updating listener(s) 0.0.0.0_80: duplicate\n1.1.1.1_80: no";
        let found = named_in(message, ["0.0.0.0_80", "1.1.1.1_80", "_80"].into_iter());
        assert_eq!(found, ["0.0.0.0_80", "1.1.1.1_80"]);
    }

    #[test]
    fn a_refusal_that_names_none_finds_none() {
        let message = "Proto constraint validation failed (field: connect_timeout: a: b)";
        assert_eq!(named_in(message, ["a", "field"].into_iter()), [""; 0]);
    }

    #[test]
    fn halves_are_tried_until_one_is_left() {
        let mut quarantine = Quarantine::default();
        let mut waiting: BTreeSet<Arc<str>> = names(&["a", "b", "c", "d"]).into_iter().collect();
        quarantine.halve(&names(&["a", "b", "c", "d"]));
        let mut bad = Vec::new();
        while !waiting.is_empty() {
            let ready = waiting.iter().cloned().collect();
            let sent = quarantine.admit(ready, |name| waiting.contains(name));
            assert!(!sent.is_empty());
            let refused = sent.iter().any(|name| &**name == "c");
            if refused && sent.len() > 1 {
                quarantine.halve(&sent);
                continue;
            }
            for name in sent {
                waiting.remove(&name);
                if refused {
                    bad.push(name);
                }
            }
        }
        assert_eq!(bad, names(&["c"]));
    }

    #[test]
    fn another_version_is_not_held() {
        let mut quarantine = Quarantine::default();
        quarantine.put("a".into(), "1".into());
        assert!(quarantine.holds("a", "1"));
        assert!(!quarantine.holds("a", "2"));
        quarantine.lift("a");
        assert_eq!(quarantine.len(), 0);
    }
}
