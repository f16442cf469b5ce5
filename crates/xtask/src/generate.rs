//! `cargo xtask generate`: files that are made from code, so that they cannot disagree with it:
//! docs/codes.md, crds/ and docs/compat.md.

use crate::shell::{cargo, run, say};
use anyhow::Result;
use meltemi_testkit::paths;
use meltemi_types::diagnostic::codes_page;
use std::path::Path;
use std::process::Command;

/// Every generated file: where it is and what it must hold.
fn files() -> [(&'static str, String); 1] {
    [("docs/codes.md", codes_page())]
}

/// The definitions of the mesh kinds come from a test of their crate, so that the tasks stay light
/// to build: it compares them, or writes them.
fn definitions() -> Command {
    cargo(&["test", "-q", "-p", "meltemi-schema", "--test", "crds"])
}

/// What becomes of each field comes from taking it out of the goldens.
fn fates() -> Command {
    cargo(&["test", "-q", "-p", "meltemi-golden", "--test", "compat"])
}

/// Writes all of them.
pub(crate) fn write() -> Result<u8> {
    for (name, text) in files() {
        let path = paths::repository().join(name);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(&path, text)?;
        say(&format!("wrote {name}"));
    }
    run("writing crds/", definitions().env("BLESS", "1"))?;
    run("writing docs/compat.md", fates().env("BLESS", "1"))?;
    Ok(0)
}

/// Names those that are not current.
pub(crate) fn check() -> Result<u8> {
    let stale =
        |path: &Path, text: &str| std::fs::read_to_string(path).ok().as_deref() != Some(text);
    let mut code = 0;
    for (name, text) in files() {
        if stale(&paths::repository().join(name), &text) {
            eprintln!("{name} is not current; run: cargo xtask generate");
            code = crate::NEGATIVE;
        }
    }
    for (what, mut compare) in [("crds/", definitions()), ("docs/compat.md", fates())] {
        if run(&format!("comparing {what}"), compare.env_remove("BLESS")).is_err() {
            code = crate::NEGATIVE;
        }
    }
    if code == 0 {
        say("generated files are current");
    }
    Ok(code)
}
