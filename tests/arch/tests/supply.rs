//! What may be linked in, by `.cargo/deny.toml`: licences, names and sources of all that is built.
//! `cargo deny` reads the same file and says more.
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

/// Lines that `cargo tree` says of all that is built. What features switch off stays in Cargo.lock
/// and does not count.
fn tree(words: &[&str]) -> Vec<String> {
    let targets = texts(&rules()["graph"]["targets"]);
    let args = "tree --workspace --all-features --offline --locked --prefix none";
    let output = Command::new(env!("CARGO"))
        .args(args.split(' '))
        .args(words)
        .args(targets.iter().flat_map(|target| ["--target", target]))
        .current_dir(meltemi_arch::root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(ToOwned::to_owned).collect()
}

/// The name that a line of the tree begins with.
fn name(line: &str) -> String {
    line.split(' ').next().unwrap().to_owned()
}

/// Names of the packages that are built, each with its licence.
fn built() -> BTreeMap<String, String> {
    let lines = tree(&["--edges", "all", "--format", "{p}|{l}"]);
    let rows = lines.iter().filter_map(|line| line.split_once('|'));
    let built: BTreeMap<_, _> = rows
        .map(|(package, licence)| {
            let licence = licence.trim_end_matches(" (*)").to_owned();
            (name(package), licence)
        })
        .collect();
    assert!(built.contains_key("rustls"), "the tree is whole: {built:?}");
    built
}

/// Packages that may not be used, as the list has them.
fn banned() -> Vec<Value> {
    rules()["bans"]["deny"].as_array().unwrap().clone()
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
    let all = banned();
    let never = all.iter().filter(|rule| rule.get("wrappers").is_none());
    let names: Vec<&str> = never.map(|rule| rule["crate"].as_str().unwrap()).collect();
    assert!(names.contains(&"ring"), "the list is read: {names:?}");
    let built = built();
    let found: Vec<_> = names
        .into_iter()
        .filter(|name| built.contains_key(*name))
        .collect();
    assert!(found.is_empty(), "{found:?}: see .cargo/deny.toml");
}

/// And those that stand in the list do use them, so that it stays as short as it can.
#[test]
fn some_packages_are_used_by_those_in_the_list_alone() {
    let all = banned();
    let some = all.iter().filter(|rule| rule.get("wrappers").is_some());
    let names: Vec<_> = some.clone().map(|rule| &rule["crate"]).collect();
    assert!(!names.is_empty(), "the list is read");
    for rule in some {
        let package = rule["crate"].as_str().unwrap();
        let words = [
            "--edges",
            "normal,build,dev",
            "--depth",
            "1",
            "--invert",
            package,
        ];
        let named: BTreeSet<_> = tree(&words).iter().map(|line| name(line)).collect();
        let users = named
            .into_iter()
            .filter(|name| !name.is_empty() && name != package);
        let users: BTreeSet<_> = users.collect();
        let wrong = "who uses it, and who may by .cargo/deny.toml";
        assert_eq!(users, texts(&rule["wrappers"]), "{package}: {wrong}");
    }
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
