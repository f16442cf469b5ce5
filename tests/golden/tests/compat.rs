//! docs/compat.md: every field of every kind, and what becomes of it. A field is honoured when a
//! golden changes once the field is taken out of its input; nothing else counts.
//!
//! `BLESS=1` (which `cargo xtask generate` sets) writes the page. Without it, the page must name
//! every field and may not claim more than holds.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test panics when it fails"
)]

#[path = "compat/fields.rs"]
mod fields;
#[path = "compat/known.rs"]
mod known;
#[path = "compat/page.rs"]
mod page;

use anyhow::{Context, Result};
use fields::{Definition, Field};
use meltemi_golden::{Case, case, compose};
use meltemi_testkit::paths;
use serde_json::Value;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

/// Bodies by type and name.
type Shown = BTreeMap<String, Vec<u8>>;

fn shown(case: &Case) -> Shown {
    let composed = case.compose();
    let mut all = Shown::new();
    for (type_url, resources) in compose::resources(&composed.assigned) {
        for (name, resource) in resources {
            all.insert(format!("{type_url} {name}"), resource.body.to_vec());
        }
    }
    all
}

/// A case as text: its head, and its objects.
struct Input {
    name: String,
    head: String,
    objects: Vec<Value>,
}

impl Input {
    fn all() -> Result<Vec<Self>> {
        Case::all()?.iter().map(Self::of).collect()
    }

    fn of(case: &Case) -> Result<Self> {
        let text = std::fs::read_to_string(case.dir.join("input.yaml"))?;
        let (head, body) = text.split_once("\n---\n").context("a case has objects")?;
        let mut objects = Vec::new();
        for document in serde_yaml::Deserializer::from_str(body) {
            // A golden about broken text has nothing to take out.
            let Ok(object) = serde::Deserialize::deserialize(document) else {
                objects.clear();
                break;
            };
            objects.push(object);
        }
        Ok(Self {
            name: case.name.clone(),
            head: head.to_owned(),
            objects,
        })
    }

    /// The case with these objects. JSON is YAML.
    fn with(&self, objects: &[Value]) -> Result<Case> {
        let mut text = self.head.clone();
        for object in objects {
            text = format!("{text}\n---\n{object}");
        }
        Case::parse(
            &self.name,
            &case::testdata().join(&self.name),
            &(text + "\n"),
        )
    }
}

/// What is tried: which fields, in which goldens.
type Wanted<'a> = &'a dyn Fn(&Field, &str) -> bool;

/// For each wanted field the first golden that changes without it.
fn honoured(
    definitions: &BTreeMap<String, Definition>,
    wanted: Wanted<'_>,
) -> Result<BTreeMap<Field, String>> {
    let mut found = BTreeMap::new();
    for input in Input::all()? {
        let before = OnceCell::new();
        for (index, object) in input.objects.iter().enumerate() {
            let Some(definition) =
                fields::mesh_kind(object).and_then(|kind| definitions.get(&kind))
            else {
                continue;
            };
            for (field, place) in fields::places(object, definition) {
                if found.contains_key(&field) || !wanted(&field, &input.name) {
                    continue;
                }
                let mut objects = input.objects.clone();
                if let Some(object) = objects.get_mut(index) {
                    fields::remove(object, &place);
                }
                let whole = input.with(&input.objects)?;
                if shown(&input.with(&objects)?) != *before.get_or_init(|| shown(&whole)) {
                    found.insert(field, input.name.clone());
                }
            }
        }
    }
    Ok(found)
}

fn definitions() -> BTreeMap<String, Definition> {
    Definition::all(&paths::repository().join("crds")).unwrap()
}

fn every_field(definitions: &BTreeMap<String, Definition>) -> BTreeSet<Field> {
    definitions.values().flat_map(Definition::fields).collect()
}

#[test]
fn the_page_says_what_holds() {
    let path = paths::repository().join("docs/compat.md");
    let definitions = definitions();
    let all = every_field(&definitions);
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        let found = honoured(&definitions, &|_, _| true).unwrap();
        std::fs::write(&path, page::page(&all, &found)).unwrap();
        return;
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let claims = page::claims(&text);
    let is_claimed = |field: &Field, golden: &str| claims.get(field).is_some_and(|g| g == golden);
    let found = honoured(&definitions, &is_claimed).unwrap();
    let broken: Vec<_> = claims
        .keys()
        .filter(|field| !found.contains_key(field))
        .collect();
    assert!(
        broken.is_empty(),
        "docs/compat.md says that these are honoured, but their goldens do not change without \
         them: {broken:#?}; run: cargo xtask generate"
    );
    assert!(claims.len() > 300, "only {} are honoured", claims.len());
    let wanted = page::page(&all, &claims);
    assert!(
        text == wanted,
        "docs/compat.md is not current; run: cargo xtask generate"
    );
}

#[test]
fn what_is_known_of_fields_is_about_fields() {
    let stray = known::stray(every_field(&definitions()).iter());
    assert!(stray.is_empty(), "these are no fields: {stray:?}");
}
