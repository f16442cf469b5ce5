//! Written addresses and ports become those of this run.
//!
//! Demo and tests are written with fixed addresses and ports, so the files are plain valid YAML; a
//! run copies them and replaces whole tokens: `127.0.1.11` but not `127.0.1.110`, `9080` but not
//! `19080`, in values and in comments alike.

use std::collections::BTreeMap;

/// What to replace by what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite(BTreeMap<String, String>);

impl Rewrite {
    /// Adds a pair; an equal pair replaces nothing and costs nothing.
    pub fn add(&mut self, from: impl ToString, to: impl ToString) {
        self.0.insert(from.to_string(), to.to_string());
    }

    /// What `token` is in this run.
    #[must_use]
    pub fn get<'a>(&'a self, token: &'a str) -> &'a str {
        self.0.get(token).map_or(token, String::as_str)
    }

    /// The text with every known token replaced, each at most once.
    #[must_use]
    pub fn apply(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
            let (before, token) = rest.split_at(start);
            out.push_str(before);
            let (token, after) = token.split_at(length(token));
            out.push_str(self.get(token));
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// A token is a run of letters, digits and inner dots.
fn length(text: &str) -> usize {
    let run = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '.')
        .unwrap_or(text.len());
    let (token, _) = text.split_at(run);
    token.trim_end_matches('.').len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_tokens_only() {
        let mut rewrite = Rewrite::default();
        rewrite.add("127.0.1.11", "127.0.1.30");
        rewrite.add(9080, 4001);
        let text = "bind: 127.0.1.11 # not 127.0.1.110\nport: 9080. x19080 a|9080||b:9080";
        let want = "bind: 127.0.1.30 # not 127.0.1.110\nport: 4001. x19080 a|4001||b:4001";
        assert_eq!(rewrite.apply(text), want);
    }

    #[test]
    fn a_swap_is_a_swap() {
        let mut rewrite = Rewrite::default();
        rewrite.add(1, 2);
        rewrite.add(2, 1);
        assert_eq!(rewrite.apply("1 2"), "2 1");
    }
}
