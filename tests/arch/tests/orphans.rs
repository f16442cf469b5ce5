//! Every source file is part of a package, and is called for what it holds.

use meltemi_arch::{files, modules, read};
use std::collections::BTreeSet;

const NAMELESS: [&str; 7] = [
    "common", "helper", "helpers", "manager", "misc", "util", "utils",
];

fn sources() -> impl Iterator<Item = String> {
    let all = ["crates", "tests"].into_iter().flat_map(files);
    all.filter(|path| path.ends_with(".rs"))
}

#[test]
fn every_source_file_is_reachable() {
    let reachable: BTreeSet<String> = modules().into_iter().map(|module| module.path).collect();
    let orphans: Vec<String> = sources().filter(|path| !reachable.contains(path)).collect();
    assert!(orphans.is_empty(), "no package has these: {orphans:#?}");
    assert!(
        reachable.len() > 100,
        "only {} files were found",
        reachable.len()
    );
}

#[test]
fn modules_are_called_for_what_they_hold() {
    let is_nameless = |path: &String| {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        NAMELESS.contains(&file.trim_end_matches(".rs"))
            || folder.split('/').any(|part| NAMELESS.contains(&part))
            || file == "mod.rs"
    };
    let found: Vec<String> = sources().filter(is_nameless).collect();
    assert!(
        found.is_empty(),
        "name these for the noun they are about: {found:#?}"
    );
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent: Vec<String> = modules()
        .into_iter()
        .map(|module| module.path)
        .filter(|path| !read(path).starts_with("//!"))
        .collect();
    assert!(
        silent.is_empty(),
        "these do not start with //!: {silent:#?}"
    );
}
