//! What the documentation points at exists.

use meltemi_arch::{files, read};

fn documents() -> Vec<String> {
    let mut all: Vec<String> = files("docs")
        .into_iter()
        .filter(|path| path.ends_with(".md"))
        .collect();
    for path in ["README.md", "CONTRIBUTING.md"] {
        if !read(path).is_empty() {
            all.push(path.to_owned());
        }
    }
    all
}

/// What stands in backticks on one line, code blocks left out.
fn quoted(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            let parts = line.split('`').skip(1).step_by(2);
            found.extend(parts.map(|part| (index + 1, part)));
        }
    }
    found
}

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`.
fn expanded(path: &str) -> Vec<String> {
    if let Some((before, rest)) = path.split_once('{')
        && let Some((choices, after)) = rest.split_once('}')
    {
        let each = choices
            .split(',')
            .map(|choice| format!("{before}{}{after}", choice.trim()));
        return each.flat_map(|path| expanded(&path)).collect();
    }
    vec![path.to_owned()]
}

/// Whether it names a file or folder of the repository: it starts at a folder of the root, or is
/// the end of a source file's path.
fn is_path(text: &str, tops: &[String]) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./{},".contains(c);
    let first = text.split('/').next().unwrap_or_default();
    text.chars().all(is_plain)
        && (text.ends_with(".rs") || (text.contains('/') && tops.iter().any(|top| top == first)))
}

fn exists(path: &str, all: &[String]) -> bool {
    let path = path.trim_end_matches('/');
    all.iter().any(|file| {
        file == path
            || file.starts_with(&format!("{path}/"))
            || (path.ends_with(".rs") && file.ends_with(&format!("/{path}")))
    })
}

#[test]
fn paths_in_the_documentation_exist() {
    let documents = documents();
    assert!(!documents.is_empty(), "there is no documentation");
    let all = files("");
    let tops: Vec<String> = [
        "crates",
        "tests",
        "docs",
        "proto",
        "manifests",
        "charts",
        "demo",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut broken = Vec::new();
    let mut seen = 0;
    for document in documents {
        for (line, text) in quoted(&read(&document)) {
            if !is_path(text, &tops) {
                continue;
            }
            for path in expanded(text) {
                seen += 1;
                if !exists(&path, &all) {
                    broken.push(format!("{document}:{line} `{path}`"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "these do not exist: {broken:#?}");
    assert!(seen > 10, "only {seen} paths were found");
}

#[test]
fn paths_are_told_from_other_words() {
    let tops = ["crates".to_owned()];
    assert_eq!(expanded("a/{b,c}.rs"), ["a/b.rs", "a/c.rs"]);
    assert!(is_path("crates/xds/src/session.rs", &tops));
    assert!(is_path("make.rs", &tops));
    assert!(!is_path("reviews.yaml", &tops));
    assert!(!is_path("istio/proxyv2", &tops));
    assert_eq!(quoted("a `b` c\n```\n`d`\n```\n`e`"), [(1, "b"), (5, "e")]);
}
