//! `cargo xtask generate`: files that are made from others, so that they cannot disagree with them:
//! docs/codes.md and crds/ from code, docs/compat.md from the goldens, the definitions inside of
//! charts/base from crds/, and manifests/cluster from charts/.
//!
//! The surprise: without helm the manifests are left alone, and it is said; the tests of the
//! charts fail then.

use crate::shell::{cargo, run, say};
use anyhow::Result;
use meltemi_testkit::helm::{DEFINITIONS, Helm, MANIFESTS, definitions as chart_definitions};
use meltemi_testkit::paths;
use meltemi_types::diagnostic::codes_page;
use std::process::Command;

/// Generated files that follow from others: where each is and what it must hold. The order is that
/// of making them: a chart is rendered when its files are there.
fn files() -> Result<Vec<(&'static str, String)>> {
    Ok(vec![
        ("docs/codes.md", codes_page()),
        (DEFINITIONS, chart_definitions()?),
    ])
}

/// The renderings of the charts; none without helm.
fn manifests() -> Result<Vec<(&'static str, String)>> {
    let helm = match Helm::find() {
        Ok(helm) => helm,
        Err(error) => {
            say(&format!("manifests/cluster is left out: {error:#}"));
            return Ok(Vec::new());
        }
    };
    let rendered = MANIFESTS
        .iter()
        .map(|manifest| Ok((manifest.path, helm.manifest(manifest)?)));
    rendered.collect()
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
    run("writing crds/", definitions().env("BLESS", "1"))?;
    put(files()?)?;
    put(manifests()?)?;
    run("writing docs/compat.md", fates().env("BLESS", "1"))?;
    Ok(0)
}

fn put(files: Vec<(&'static str, String)>) -> Result<()> {
    for (name, text) in files {
        let path = paths::repository().join(name);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(&path, text)?;
        say(&format!("wrote {name}"));
    }
    Ok(())
}

/// Names those that are not current.
pub(crate) fn check() -> Result<u8> {
    let mut code = 0;
    for (name, text) in files()?.into_iter().chain(manifests()?) {
        let found = std::fs::read_to_string(paths::repository().join(name)).ok();
        if found.as_deref() != Some(text.as_str()) {
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
