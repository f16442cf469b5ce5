//! What `iptables-save` prints, read as far as it is ours: chains whose names start with `ISTIO_`,
//! how many rules they have, and which rules of other chains jump to them.

use std::collections::{BTreeMap, BTreeSet};

const OURS: &str = "ISTIO_";

/// The chains of capture that a machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    tables: BTreeMap<String, Found>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    chains: BTreeMap<String, usize>,
    hooks: Vec<String>,
}

impl Saved {
    /// Reads the answer of `iptables-save`; lines that mean nothing to us are passed over.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut tables: BTreeMap<String, Found> = BTreeMap::new();
        let mut table = "";
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            } else if let Some(chain) = line.strip_prefix(':') {
                let name = chain.split(' ').next().unwrap_or_default();
                if name.starts_with(OURS) {
                    let found = tables.entry(table.to_owned()).or_default();
                    found.chains.entry(name.to_owned()).or_default();
                }
            } else if let Some(rule) = line.strip_prefix("-A ") {
                let (chain, _) = rule.split_once(' ').unwrap_or((rule, ""));
                if chain.starts_with(OURS) {
                    let found = tables.entry(table.to_owned()).or_default();
                    *found.chains.entry(chain.to_owned()).or_default() += 1;
                } else if jumps_to_ours(rule) {
                    let found = tables.entry(table.to_owned()).or_default();
                    found.hooks.push(rule.to_owned());
                }
            }
        }
        Self { tables }
    }

    /// Whether there is a chain of capture.
    #[must_use]
    pub fn has_any(&self) -> bool {
        self.tables.values().any(|found| !found.chains.is_empty())
    }

    pub(crate) fn tables(&self) -> BTreeSet<&str> {
        self.tables.keys().map(String::as_str).collect()
    }

    /// Chains of a table, with the numbers of their rules.
    pub(crate) fn chains(&self, table: &str) -> BTreeMap<&str, usize> {
        let chains = self.tables.get(table).map(|found| found.chains.iter());
        let chains = chains.into_iter().flatten();
        chains
            .map(|(name, count)| (name.as_str(), *count))
            .collect()
    }

    /// Rules of other chains of a table that jump to ours, without `-A`.
    pub(crate) fn hooks(&self, table: &str) -> &[String] {
        let found = self.tables.get(table);
        found.map_or(&[], |found| &found.hooks)
    }
}

fn jumps_to_ours(rule: &str) -> bool {
    let mut words = rule.split(' ');
    while let Some(word) = words.next() {
        if matches!(word, "-j" | "-g") {
            return words.next().is_some_and(|target| target.starts_with(OURS));
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_rules_and_jumps_of_ours_are_found() {
        let text = "# Generated\n*nat\n:PREROUTING ACCEPT [3:4]\n:ISTIO_INBOUND - [0:0]\n\
                    :KUBE-SEP - [0:0]\n-A PREROUTING -p tcp -j ISTIO_INBOUND\n\
                    -A OUTPUT -j KUBE-SEP\n-A ISTIO_INBOUND -p tcp -j RETURN\nCOMMIT\n";
        let saved = Saved::read(text);
        assert!(saved.has_any());
        assert_eq!(saved.chains("nat"), [("ISTIO_INBOUND", 1)].into());
        assert_eq!(saved.hooks("nat"), ["PREROUTING -p tcp -j ISTIO_INBOUND"]);
        assert!(saved.chains("raw").is_empty() && saved.hooks("raw").is_empty());
        assert!(!Saved::read("*nat\n:KUBE - [0:0]\nCOMMIT").has_any());
    }
}
