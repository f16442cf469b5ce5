//! What people put on the web years ago gets the verdict of its index.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test panics when it fails"
)]

use meltemi_api::yaml::Source;
use meltemi_schema::{Validator, Verdict};
use std::fs;

#[test]
fn seeds_get_the_verdicts_of_their_index() {
    let Some(dir) = meltemi_examples::find("seeds").unwrap() else {
        return;
    };
    let index = fs::read_to_string(dir.join("index.tsv")).unwrap();
    let validator = Validator::new();
    let mut count = 0;
    for row in index.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let [file, _, _, wanted, ..] = columns.as_slice() else {
            panic!("a row of the index has too few columns: {row}");
        };
        let bytes = fs::read(dir.join(file)).unwrap();
        let judged = validator.text(&bytes, &Source::new(*file));
        assert!(!judged.is_empty(), "{file}");
        let worst = judged.iter().map(|judged| judged.verdict).max().unwrap();
        let invalid = worst == Verdict::Invalid;
        let lines: Vec<String> = judged
            .iter()
            .flat_map(|judged| judged.diagnostics.iter().map(ToString::to_string))
            .collect();
        assert_eq!(invalid, *wanted == "invalid", "{file}: {lines:#?}");
        for line in &lines {
            assert!(line.contains(&format!("({file}:")), "no place: {line}");
        }
        count += 1;
    }
    eprintln!("{count} seeds judged");
    assert!(count >= 10);
}
