//! What a program printed, compared with a file of `testdata`. `BLESS=1` writes the file.

use anyhow::{Context, Result, bail};
use meltemi_testkit::paths;
use similar::TextDiff;
use std::path::PathBuf;

/// A file of `testdata`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    paths::repository().join("tests/e2e/testdata").join(name)
}

/// Compares a text with a file of `testdata`, or writes it.
///
/// # Errors
/// They differ; the error shows where.
pub fn check(name: &str, text: &str) -> Result<()> {
    let path = path(name);
    let text = format!("{}\n", text.trim_end());
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        return std::fs::write(&path, text).with_context(|| path.display().to_string());
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if text == expected {
        return Ok(());
    }
    let diff = TextDiff::from_lines(&expected, &text);
    let shown = diff.unified_diff().header(name, "printed").to_string();
    bail!("BLESS=1 writes {name}, which differs:\n{shown}")
}

/// A table of kubectl without what differs from run to run: ages, and the widths that they cause.
#[must_use]
pub fn ageless(table: &str) -> String {
    let lines = table.lines().map(|line| {
        let cells = line.split("  ").map(str::trim).filter(|c| !c.is_empty());
        let cells: Vec<_> = cells.map(|c| if is_age(c) { "<age>" } else { c }).collect();
        cells.join("   ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `7s`, `1m30s`, `2h`.
fn is_age(cell: &str) -> bool {
    let unit = cell.ends_with(['s', 'm', 'h', 'd']);
    let rest = |c: char| c.is_ascii_digit() || "smhd".contains(c);
    unit && cell.starts_with(|c: char| c.is_ascii_digit()) && cell.chars().all(rest)
}

/// What `kubectl describe` says without what differs from run to run.
#[must_use]
pub fn anonymous(description: &str) -> String {
    const PERSONAL: [&str; 3] = ["Creation Timestamp", "Resource Version", "UID"];
    let lines = description.lines().map(|line| {
        let name = line.split(':').next().unwrap_or_default();
        match PERSONAL.contains(&name.trim()) {
            true => format!("{name}:  <differs>"),
            false => line.trim_end().to_owned(),
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_masked_wherever_they_stand() {
        let table =
            "NAME     AGE     ADDRESS\nsample   1m30s   192.0.2.1\nx1s      4s      2s-east";
        let expected = "NAME   AGE   ADDRESS\nsample   <age>   192.0.2.1\nx1s   <age>   2s-east";
        assert_eq!(ageless(table), expected);
    }

    #[test]
    fn what_only_one_object_has_is_masked() {
        let text = "Name:  a\nMetadata:\n  Generation:  1\n  UID:         0-1";
        let expected = "Name:  a\nMetadata:\n  Generation:  1\n  UID:  <differs>";
        assert_eq!(anonymous(text), expected);
    }
}
