//! Scenario files: which there are, and what they hold.

use super::Scenario;
use crate::failure::{Failure, NO_INPUT, UNREADABLE};
use meltemi_api::yaml::{self, Source, Typed};
use meltemi_types::Diagnostic;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How deep directories are looked through.
const DEPTH: usize = 16;

/// All scenarios of these files and directories, in order; directories by name, with what lies
/// below. YAML in a directory that is something else is left out.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Scenario>, Failure> {
    let mut scenarios = Vec::new();
    for path in paths {
        let meta = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
        if !meta.is_dir() {
            let found = file(path)?;
            if found.is_empty() {
                let message = format!(
                    "{}: no scenario; write proxy (or proxies), config and calls",
                    path.display()
                );
                return Err(Failure::new(UNREADABLE, message));
            }
            scenarios.extend(found);
            continue;
        }
        let mut files = BTreeSet::new();
        walk(path, DEPTH, &mut files)?;
        for path in files {
            scenarios.extend(file(&path)?);
        }
    }
    Ok(scenarios)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let code = match error.kind() == io::ErrorKind::NotFound {
        true => NO_INPUT,
        false => UNREADABLE,
    };
    Failure::new(code, format!("{}: {error}", path.display()))
}

fn walk(path: &Path, depth: usize, files: &mut BTreeSet<PathBuf>) -> Result<(), Failure> {
    let failed = |error: io::Error| unreadable(path, &error);
    for entry in fs::read_dir(path).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            if depth > 0 {
                walk(&path, depth - 1, files)?;
            }
        } else if matches!(
            path.extension().and_then(OsStr::to_str),
            Some("yaml" | "yml")
        ) {
            files.insert(path);
        }
    }
    Ok(())
}

fn file(path: &Path) -> Result<Vec<Scenario>, Failure> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    let name: Arc<str> = path.display().to_string().into();
    let mut found = Vec::new();
    for typed in yaml::read_as(&bytes, &Source::new(name.clone())) {
        found.extend(scenario(&name, path, typed)?);
    }
    Ok(found)
}

fn scenario(
    file: &Arc<str>,
    path: &Path,
    mut typed: Typed<super::Content>,
) -> Result<Option<Scenario>, Failure> {
    let Some(content) = typed.value.take() else {
        let errors = typed.diagnostics.iter().filter(|d| d.is_error());
        let mut lines: Vec<String> = errors.map(said).collect();
        let last = lines
            .pop()
            .unwrap_or_else(|| format!("{file}: not a scenario"));
        let notes = lines
            .into_iter()
            .map(|line| format!("meltemi: {line}"))
            .collect();
        return Err(Failure {
            notes,
            ..Failure::new(UNREADABLE, last)
        });
    };
    if content.proxy.is_none() && content.proxies.is_empty() {
        return match content.calls.is_empty() || content.config.is_none() {
            true => Ok(None),
            false => {
                let at = &typed.location;
                let message = format!("{at}: proxy is missing; say which proxy asks");
                Err(Failure::new(UNREADABLE, message))
            }
        };
    }
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    Ok(Some(Scenario {
        file: file.clone(),
        name: content.name.clone().unwrap_or_else(|| stem.to_owned()),
        notes: std::mem::take(&mut typed.diagnostics),
        content,
        typed,
    }))
}

/// A mistake with its place in front, as the file cannot be read at all.
fn said(diagnostic: &Diagnostic) -> String {
    let place = diagnostic.place().map(ToString::to_string);
    let place = place.unwrap_or_default();
    format!("{place}: {}; {}", diagnostic.message, diagnostic.remedy)
}
