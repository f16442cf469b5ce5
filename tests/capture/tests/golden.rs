//! Each case of `testdata` is one file: the flags and what the machine says of itself, then the
//! rules that come of it, for each back end. `BLESS=1` writes the rules anew.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test panics when it fails"
)]

use meltemi_capture::{FLAGS, Family, Flag, Kind, Plan, Said, Settings, Surroundings};
use meltemi_testkit::paths;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

const RULES: &str = "=== ";

fn cases() -> Vec<PathBuf> {
    let folder = paths::repository().join("tests/capture/testdata");
    let entries = std::fs::read_dir(folder).unwrap();
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// What a case says: `flags`, variables in capitals, `addresses` and `nameservers`.
fn given(text: &str) -> (Said, Surroundings) {
    let mut lines: BTreeMap<&str, &str> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.split_once(':').unwrap();
        lines.insert(name, value.trim());
    }
    let listed = |name: &str| {
        let words = lines.remove(name).unwrap_or_default().split_whitespace();
        words.map(|word| word.parse().unwrap()).collect()
    };
    let mut listed = listed;
    let around = Surroundings {
        addresses: listed("addresses"),
        nameservers: listed("nameservers"),
        groups: [("web".to_owned(), 33)].into(),
        ..Surroundings::default()
    };
    let flags = flags(lines.get("flags").copied().unwrap_or_default());
    let said = Said::of(
        |flag| flags.get(flag.long).map(|value| (*value).to_owned()),
        |variable| lines.get(variable).copied(),
    );
    (said, around)
}

fn flags(line: &str) -> BTreeMap<&'static str, &str> {
    let mut found = BTreeMap::new();
    let mut words = line.split_whitespace();
    while let Some(word) = words.next() {
        let is_it = |flag: &&Flag| {
            word == format!("--{}", flag.long)
                || flag.short.is_some_and(|short| word == format!("-{short}"))
        };
        let flag = FLAGS.iter().find(is_it);
        let flag = flag.unwrap_or_else(|| panic!("{word} is no flag"));
        let value = match flag.kind {
            Kind::Switch => "true",
            Kind::Value | Kind::Variable => words.next().unwrap(),
        };
        found.insert(flag.long, value);
    }
    found
}

fn rules(said: &Said, around: &Surroundings) -> String {
    let read = Settings::read(said, around).unwrap();
    let plan = Plan::of(&read.settings);
    let mut text = String::new();
    let mut part = |title: &str, rules: String| {
        if !rules.is_empty() {
            writeln!(text, "{RULES}{title}\n{}", rules.trim_end()).unwrap();
        }
    };
    part("remarks", read.remarks.join("\n"));
    part("iptables-restore", plan.restore(Family::V4));
    part("ip6tables-restore", plan.restore(Family::V6));
    let nft = plan.nft();
    let nft = nft.strip_prefix(&Plan::nft_removal()).unwrap();
    part("nft", nft.replace('\t', "  "));
    part("ip", plan.routing.text());
    text
}

#[test]
fn rules_are_as_written() {
    let is_blessed = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() >= 14, "{} cases", cases.len());
    for path in cases {
        let text = std::fs::read_to_string(&path).unwrap();
        let end = text.find(RULES).unwrap_or(text.len());
        let (said, around) = given(&text[..end]);
        let rules = rules(&said, &around);
        if is_blessed {
            std::fs::write(&path, format!("{}{rules}", &text[..end])).unwrap();
        } else if rules != text[end..] {
            wrong.push(format!("{}:\n{rules}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
