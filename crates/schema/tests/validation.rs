//! The verdicts of the validation examples, scored as their scorer does: by level and as a whole.
//! Prints each disagreement, so that the figures can be raised.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test panics when it fails"
)]

use meltemi_api::yaml::Source;
use meltemi_schema::{Judged, Validator, Verdict};
use std::collections::BTreeMap;
use std::fs;

/// How many rows of a hundred must agree, by level. The Gateway API is not judged yet.
const FLOORS: &[(&str, usize)] = &[
    ("crd", 98),
    ("crd+webhook", 98),
    ("webhook", 98),
    ("mesh", 90),
];

#[test]
fn verdicts_agree_with_the_examples() {
    let Some(dir) = meltemi_examples::find("validation").unwrap() else {
        return;
    };
    let index = fs::read_to_string(dir.join("index.tsv")).unwrap();
    let validator = Validator::new();
    let mut scores: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for row in index.lines().skip(1) {
        let columns: Vec<&str> = row.split('\t').collect();
        let (file, kind, wanted, warning, level) =
            (columns[0], columns[1], columns[2], columns[3], columns[4]);
        let note = columns.get(8).copied().unwrap_or_default();
        if wanted != "invalid" && note.contains("crd-rejects") {
            continue;
        }
        let bytes = fs::read(dir.join(file)).unwrap();
        let source = Source::new(file);
        let judged = match kind {
            "MeshConfig" => vec![validator.mesh_config(&bytes, &source)],
            "MeshNetworks" => vec![validator.mesh_networks(&bytes, &source)],
            _ => validator.text(&bytes, &source),
        };
        let got = judged.iter().map(|judged| judged.verdict).max().unwrap();
        let agrees = match (wanted, got) {
            ("invalid", got) => got == Verdict::Invalid,
            ("warn", got) => got == Verdict::Warn,
            (_, Verdict::Valid) => true,
            (_, Verdict::Warn) => warning != "no",
            (_, Verdict::Invalid) => false,
        };
        let score = scores.entry(level).or_default();
        score.1 += 1;
        if agrees {
            score.0 += 1;
        } else if level != "cel" {
            let lines = judged
                .iter()
                .flat_map(|judged: &Judged| &judged.diagnostics);
            let lines: Vec<String> = lines.map(ToString::to_string).collect();
            println!(
                "{level} {file}: wanted {wanted}, got {}: {lines:?}",
                got.name()
            );
        }
    }
    println!("{scores:?}");
    for (level, floor) in FLOORS {
        let (good, all) = scores[level];
        assert!(
            good * 100 >= all * floor,
            "{level}: {good} of {all}, wanted {floor} %"
        );
    }
}
