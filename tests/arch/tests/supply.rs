//! What may be linked in, by `.cargo/deny.toml`: licences, names and sources of all that is built.
//! `cargo deny` reads the same file and says more; this asks for nothing that is not there.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test panics when it fails"
)]

use spdx::{Expression, LicenseReq, ParseMode};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use toml::{Table, Value};

fn rules() -> Table {
    let text = meltemi_arch::read(".cargo/deny.toml");
    text.parse().unwrap()
}

fn texts(list: &Value) -> BTreeSet<String> {
    let all = list.as_array().unwrap().iter();
    all.map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// Names of the packages that are built, each with its licence. What features switch off stays in
/// Cargo.lock and does not count.
fn built() -> BTreeMap<String, String> {
    let targets = texts(&rules()["graph"]["targets"]);
    let args = "tree --workspace --all-features --offline --locked --edges all --prefix none";
    let output = Command::new(env!("CARGO"))
        .args(args.split(' '))
        .args(["--format", "{p}|{l}"])
        .args(targets.iter().flat_map(|target| ["--target", target]))
        .current_dir(meltemi_arch::root())
        .output()
        .unwrap();
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(tree.contains("rustls v"), "the tree is whole: {tree}");
    let rows = tree.lines().filter_map(|line| line.split_once('|'));
    rows.map(|(package, licence)| {
        let name = package.split(' ').next().unwrap();
        (name.to_owned(), licence.trim_end_matches(" (*)").to_owned())
    })
    .collect()
}

/// Whether the licence lets us build with the package, taking only what is in the list.
fn is_allowed(licence: &str, list: &BTreeSet<String>) -> bool {
    // A slash is how packages of old say OR.
    let Ok(read) = Expression::parse_mode(licence, ParseMode::LAX) else {
        return false;
    };
    read.evaluate(|wanted: &LicenseReq| list.contains(&wanted.to_string()))
}

#[test]
fn every_licence_is_one_of_the_list() {
    let list = texts(&rules()["licenses"]["allow"]);
    let wrong: Vec<_> = built()
        .into_iter()
        .filter(|(name, licence)| !name.starts_with("meltemi") && !is_allowed(licence, &list))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}: see .cargo/deny.toml");
}

#[test]
fn a_licence_is_read_as_it_is_meant() {
    let list: BTreeSet<String> = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]
        .map(ToOwned::to_owned)
        .into();
    for (licence, allowed) in [
        ("MIT", true),
        ("MIT/GPL-2.0", true),
        ("(MIT OR GPL-3.0-only) AND Apache-2.0", true),
        ("MIT AND GPL-3.0-only", false),
        ("MIT WITH LLVM-exception", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("proprietary", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(licence, &list), allowed, "{licence:?}");
    }
}

#[test]
fn banned_packages_are_not_built() {
    let rules = rules();
    let banned = rules["bans"]["deny"].as_array().unwrap();
    let built = built();
    let never = banned.iter().filter(|rule| rule.get("wrappers").is_none());
    let names: Vec<&str> = never.map(|rule| rule["crate"].as_str().unwrap()).collect();
    assert!(names.contains(&"ring"), "the list is read: {names:?}");
    let found: Vec<_> = names
        .into_iter()
        .filter(|name| built.contains_key(*name))
        .collect();
    assert!(found.is_empty(), "{found:?}: see .cargo/deny.toml");
}

#[test]
fn packages_come_from_the_registry_alone() {
    let lock: Table = meltemi_arch::read("Cargo.lock").parse().unwrap();
    let packages = lock["package"].as_array().unwrap();
    let sources: BTreeSet<&str> = packages
        .iter()
        .filter_map(|package| package.get("source")?.as_str())
        .collect();
    let [source] = sources.iter().collect::<Vec<_>>()[..] else {
        panic!("{sources:?}");
    };
    assert!(source.starts_with("registry+"), "{source}");
}
