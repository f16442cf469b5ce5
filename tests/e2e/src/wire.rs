//! What can be read on the wire between pods, by `meltemi-wire` on the node.

use anyhow::{Context, Result, ensure};
use meltemi_testkit::cluster::access::Kubectl;
use meltemi_testkit::paths;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};

/// A look under way.
#[derive(Debug)]
pub struct Wire {
    child: Child,
    said: BufReader<ChildStdout>,
}

/// What was seen.
#[derive(Debug, Deserialize)]
pub struct Seen {
    /// How many frames there were.
    pub frames: u64,
    /// Text, then `SOURCE > DESTINATION`, then in how many frames.
    pub texts: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Wire {
    /// Looks for these texts from now on.
    ///
    /// # Errors
    /// It cannot: the node is not this machine's, or root is missing.
    pub fn look(kubectl: &Kubectl, texts: &[&str]) -> Result<Self> {
        let mut command = kubectl.beside(paths::binary("meltemi-wire")?, texts);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot look at the wire")?;
        let out = child.stdout.take().context("its output")?;
        let mut wire = Self {
            child,
            said: BufReader::new(out),
        };
        let mut line = String::new();
        wire.said.read_line(&mut line)?;
        ensure!(line == "ready\n", "it does not look: {line}");
        Ok(wire)
    }

    /// Ends; what was seen.
    ///
    /// # Errors
    /// It has ended before.
    pub fn end(mut self) -> Result<Seen> {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.said.read_to_string(&mut said)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "{status}: {said}");
        serde_json::from_str(&said).with_context(|| format!("what was seen: {said}"))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _gone = self.child.kill().and_then(|()| self.child.wait().map(drop));
    }
}

impl Seen {
    /// The pairs of addresses between which a text was seen, of those with one of these addresses.
    #[must_use]
    pub fn between(&self, text: &str, addresses: &[String]) -> Vec<&str> {
        let pairs = self.texts.get(text).into_iter().flatten();
        let pairs = pairs.map(|(pair, _)| pair.as_str());
        let concerns = |pair: &&str| {
            let mut both = pair.split(" > ");
            both.any(|one| addresses.iter().any(|address| address == one))
        };
        pairs.filter(concerns).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pairs_with_an_address_of_the_list_count() {
        let pairs = BTreeMap::from([
            ("10.0.0.1 > 10.0.0.11".to_owned(), 3),
            ("127.0.0.1 > 127.0.0.1".to_owned(), 1),
        ]);
        let seen = Seen {
            frames: 9,
            texts: BTreeMap::from([("secret".to_owned(), pairs)]),
        };
        let between = |address: &str| seen.between("secret", &[address.to_owned()]);
        assert_eq!(between("10.0.0.11"), ["10.0.0.1 > 10.0.0.11"]);
        assert!(between("10.0.0.111").is_empty());
        assert!(seen.between("other", &["10.0.0.1".to_owned()]).is_empty());
    }
}
