//! Every kept input through its target.
#![allow(clippy::unwrap_used, reason = "a test panics when it fails")]

use std::path::Path;

#[test]
fn what_was_kept_still_holds() {
    for (name, target) in meltemi_fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let mut inputs: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        inputs.sort();
        assert!(inputs.len() > 5, "{name} has lost its corpus");
        for input in inputs {
            let bytes = std::fs::read(&input).unwrap();
            let held = std::panic::catch_unwind(|| target(&bytes));
            assert!(held.is_ok(), "{name} does not hold for {}", input.display());
        }
    }
}
