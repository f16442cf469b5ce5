//! Follows `mod` declarations from the roots of the packages, as the compiler does.

use crate::code::blank;
use crate::tree::{files, read};
use std::collections::BTreeMap;

/// A source file that is part of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// From the root of the repository.
    pub path: String,
    /// Only compiled for tests.
    pub is_test: bool,
}

/// Every source file that is reachable from the root of a package in `crates` and `tests`.
#[must_use]
pub fn modules() -> Vec<Module> {
    let mut found: BTreeMap<String, bool> = BTreeMap::new();
    let manifests = ["crates", "tests"].into_iter().flat_map(files);
    for manifest in manifests.filter(|path| path.ends_with("/Cargo.toml")) {
        let Some(package) = manifest.strip_suffix("Cargo.toml") else {
            continue;
        };
        for path in files(package) {
            let within = path.strip_prefix(package).unwrap_or_default();
            if let Some(is_test) = root_kind(within) {
                follow(&path, true, is_test, &mut found);
            }
        }
    }
    found
        .into_iter()
        .map(|(path, is_test)| Module { path, is_test })
        .collect()
}

/// Whether a file that cargo compiles by itself is a test; `None` for any other file.
fn root_kind(within: &str) -> Option<bool> {
    let flat = |folder: &str| {
        within
            .strip_prefix(folder)
            .is_some_and(|rest| rest.ends_with(".rs") && !rest.contains('/'))
    };
    if matches!(within, "src/lib.rs" | "src/main.rs" | "build.rs") || flat("src/bin/") {
        return Some(false);
    }
    let folder = within.strip_prefix("tests/");
    let of_several = folder.and_then(|folder| folder.strip_suffix("/main.rs"));
    let is_test = flat("tests/") || of_several.is_some_and(|name| !name.contains('/'));
    (is_test || flat("benches/") || flat("examples/")).then_some(true)
}

fn follow(path: &str, is_root: bool, is_test: bool, found: &mut BTreeMap<String, bool>) {
    let source = read(path);
    // A file that two see is production if one of them is.
    let known = found.get(path).copied();
    if source.is_empty() || known == Some(false) || known == Some(is_test) {
        return;
    }
    found.insert(path.to_owned(), is_test);
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = file.trim_end_matches(".rs");
    let below = if is_root {
        folder.to_owned()
    } else {
        format!("{folder}/{stem}")
    };
    for declared in declarations(&source) {
        let target = match &declared.path {
            Some(path) => format!("{folder}/{path}"),
            None => format!("{below}/{}.rs", declared.name),
        };
        follow(&target, false, is_test || declared.is_test, found);
    }
}

struct Declared {
    name: String,
    /// From a `path` attribute.
    path: Option<String>,
    is_test: bool,
}

/// The `mod name;` of a source; rustfmt gives each a line, as it does to each attribute.
fn declarations(source: &str) -> Vec<Declared> {
    let code = blank(source);
    let mut found = Vec::new();
    let mut path = None;
    let mut is_test = false;
    for (line, raw) in code.lines().zip(source.lines()) {
        let line = line.trim();
        if line.starts_with("#[cfg(test)]") {
            is_test = true;
        } else if line.starts_with("#[path") {
            path = raw.split('"').nth(1).map(str::to_owned);
        } else if let Some(name) = declared(line) {
            let (name, path) = (name.to_owned(), path.take());
            found.push(Declared {
                name,
                path,
                is_test,
            });
            is_test = false;
        } else if !line.is_empty() && !line.starts_with("#[") {
            is_test = false;
        }
    }
    found
}

fn declared(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    line.strip_prefix("mod ")?.strip_suffix(';')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read() {
        let source = "pub mod a;\npub(crate) mod b;\n#[cfg(test)]\nmod c;\n// mod d;\n\
                      #[path = \"x/e.rs\"]\nmod e;\nmod f {}\n";
        let found = declarations(source);
        let shown: Vec<_> = found
            .iter()
            .map(|one| (one.name.as_str(), one.path.as_deref(), one.is_test))
            .collect();
        assert_eq!(
            shown,
            [
                ("a", None, false),
                ("b", None, false),
                ("c", None, true),
                ("e", Some("x/e.rs"), false)
            ]
        );
    }

    #[test]
    fn this_package_is_found() {
        let all = modules();
        let of = |path: &str| {
            all.iter()
                .find(|one| one.path == path)
                .map(|one| one.is_test)
        };
        assert_eq!(of("tests/arch/src/modules.rs"), Some(false));
        assert_eq!(of("tests/arch/tests/sizes.rs"), Some(true));
        assert_eq!(of("crates/proto/build/locate.rs"), Some(false));
        assert_eq!(of("crates/translate/src/verify/tests/route.rs"), Some(true));
    }
}
