//! Files stay small enough to be read in one go: aim at 250 lines, explain 400, never 600.

use meltemi_arch::{modules, read, strip_tests};

const EXPLAIN: usize = 400;
const NEVER: usize = 600;

#[test]
fn production_files_are_small() {
    let mut large = Vec::new();
    for module in modules().iter().filter(|module| !module.is_test) {
        let lines = strip_tests(&read(&module.path))
            .lines()
            .filter(|line| !line.trim().is_empty())
            .count();
        if lines > NEVER {
            large.push(format!("{} has {lines} lines", module.path));
        } else if lines > EXPLAIN {
            println!(
                "{} has {lines} lines: consider a split by concern",
                module.path
            );
        }
    }
    assert!(large.is_empty(), "more than {NEVER} lines: {large:#?}");
}
