//! Forms that the code keeps: API structs are opened whole, Envoy names are made in one place, and
//! what is not finished or not sure is not left behind.

use meltemi_arch::{blank, files, literals, modules, read, strip_tests};
use std::collections::BTreeSet;

/// The line, from 1, of a place in a text.
fn line(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

/// The text in braces that start here, and what follows them.
fn braced(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    for (index, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some((&text[1..index], &text[index + 1..])),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// `let Name { a, .. } = ` with a struct of the API: `(line, name)`.
fn half_opened(code: &str, structs: &BTreeSet<String>) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("let ") {
        let rest = code[at + 4..].trim_start().trim_start_matches('&');
        let Some(brace) = rest.find('{') else {
            continue;
        };
        let (path, rest) = rest.split_at(brace);
        let name = path.trim().rsplit("::").next().unwrap_or_default();
        let is_path = path
            .trim()
            .chars()
            .all(|c| c.is_alphanumeric() || c == '_' || c == ':');
        if !is_path || !structs.contains(name) {
            continue;
        }
        if let Some((fields, after)) = braced(rest)
            && after.trim_start().starts_with('=')
            && fields
                .split(',')
                .any(|field| field.trim().starts_with(".."))
        {
            found.push((line(code, at), name.to_owned()));
        }
    }
    found
}

fn api_structs() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in files("crates/api/src") {
        for declared in blank(&read(&path)).split("pub struct ").skip(1) {
            let end = |c: char| !c.is_alphanumeric() && c != '_';
            found.extend(declared.split(end).next().map(str::to_owned));
        }
    }
    found
}

#[test]
fn api_structs_are_opened_whole_in_translate() {
    let structs = api_structs();
    assert!(structs.contains("DestinationRule"), "{structs:?}");
    let mut wrong = Vec::new();
    for path in files("crates/translate/src") {
        let source = read(&path);
        if source.contains("meltemi_api") {
            for (line, name) in half_opened(&blank(&strip_tests(&source)), &structs) {
                wrong.push(format!("{path}:{line} let {name} {{ .. }}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "name every field, so that a new one is noticed: {wrong:#?}"
    );
}

#[test]
fn half_opened_structs_are_found() {
    let structs = BTreeSet::from(["Retry".to_owned()]);
    let found = |code: &str| half_opened(code, &structs).len();
    assert_eq!(found("let Retry { a, .. } = x;"), 1);
    assert_eq!(found("if let api::Retry {\n a,\n ..\n} = x {"), 1);
    assert_eq!(found("let Retry { a, b: _ } = x;"), 0);
    assert_eq!(found("let y = Retry { a, ..Retry::default() };"), 0);
    assert_eq!(found("let Other { a, .. } = x;"), 0);
}

#[test]
fn envoy_names_are_made_in_one_place() {
    let mut wrong = Vec::new();
    for module in modules() {
        // The tasks look at Envoy's statistics from outside.
        let is_ours =
            module.path.starts_with("crates/") && !module.path.starts_with("crates/xtask/");
        if module.is_test || !is_ours || module.path == "crates/translate/src/name.rs" {
            continue;
        }
        for literal in literals(&strip_tests(&read(&module.path))) {
            let text = literal.text;
            if text.contains("outbound|")
                || text.contains("inbound|")
                || text.contains("outbound_.")
            {
                wrong.push(format!("{}:{} {text:?}", module.path, literal.line));
            }
        }
    }
    assert!(wrong.is_empty(), "use meltemi_translate::name: {wrong:#?}");
}

/// Where production or test code has one of these.
fn with(forms: &[&str], of_tests: bool) -> Vec<String> {
    let mut found = Vec::new();
    for module in modules() {
        let code = blank(&read(&module.path));
        for (index, line) in code.lines().enumerate() {
            let is_test = module.is_test || module.path.starts_with("tests/");
            if (is_test || !of_tests) && forms.iter().any(|form| line.contains(form)) {
                found.push(format!("{}:{} {}", module.path, index + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn nothing_unfinished_is_left() {
    let found = with(&["todo!(", "unimplemented!(", "#[ignore"], false);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn tests_wait_for_events_and_not_for_time() {
    let mut found = with(&["thread::sleep"], true);
    // The one place that looks again and again at what cannot tell, a process for example.
    found.retain(|place| !place.starts_with("tests/support/src/wait.rs:"));
    assert!(
        found.is_empty(),
        "wait for what happens, with a deadline: {found:#?}"
    );
}

#[test]
fn notes_for_later_have_a_number() {
    let mark = concat!("TO", "DO");
    let mut wrong = Vec::new();
    let folders = ["crates", "tests", "docs", "proto", ".cargo"];
    for path in folders.into_iter().flat_map(files) {
        if !path.ends_with(".rs") && !path.ends_with(".md") && !path.ends_with(".toml") {
            continue;
        }
        for (index, line) in read(&path).lines().enumerate() {
            for (at, _) in line.match_indices(mark) {
                let after = line[at + mark.len()..].trim_start_matches([' ', '(', '#']);
                if !after.starts_with(|c: char| c.is_ascii_digit()) {
                    wrong.push(format!("{path}:{} {}", index + 1, line.trim()));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "write the number of an issue behind: {wrong:#?}"
    );
}
