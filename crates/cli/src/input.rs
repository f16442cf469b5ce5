//! What the user named: files, directories, standard input, mesh configuration.

use crate::failure::{Failure, NO_INPUT, UNREADABLE};
use meltemi_api::{Change, Object};
use meltemi_files::{Input, Options};
use meltemi_types::Diagnostic;
use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Everything that the inputs say. Mesh configuration comes first, as in the control plane: a
/// ConfigMap among the files overrides it.
pub(crate) fn read(files: &[PathBuf], mesh: Option<&Path>) -> Result<Vec<Change>, Failure> {
    let options = Options::default();
    let mut changes = Vec::new();
    if let Some(path) = mesh {
        changes.extend(meltemi_files::read_mesh_config(path, &options).map_err(failed)?);
    }
    let inputs = inputs(files)?;
    changes.extend(meltemi_files::read(&inputs, &options).map_err(failed)?);
    Ok(changes)
}

/// The texts of the inputs, each with its name.
pub(crate) fn texts(files: &[PathBuf]) -> Result<Vec<meltemi_files::Named>, Failure> {
    meltemi_files::texts(&inputs(files)?).map_err(failed)
}

/// What the inputs themselves say is wrong.
pub(crate) fn findings(changes: &[Change]) -> BTreeSet<Diagnostic> {
    let mut all = BTreeSet::new();
    for change in changes {
        match change {
            Change::Broken(broken) => all.extend(broken.diagnostics.iter().cloned()),
            Change::Findings {
                unit: _,
                diagnostics,
            } => all.extend(diagnostics.iter().cloned()),
            Change::Upsert(_) | Change::Delete(_) | Change::Synced { source: _ } => {}
        }
    }
    all
}

/// The value of an annotation of a Pod.
pub(crate) fn pod_annotation<'a>(
    changes: &'a [Change],
    (namespace, name): (&str, &str),
    key: &str,
) -> Option<&'a str> {
    let pods = changes.iter().rev().filter_map(|change| {
        let Change::Upsert(Object::Pod(pod)) = change else {
            return None;
        };
        Some(&pod.meta)
    });
    let mut pods = pods.filter(|meta| {
        meta.name() == name && meta.namespace().map_or("default", |n| n.as_str()) == namespace
    });
    pods.next()?.annotation(key)
}

fn inputs(files: &[PathBuf]) -> Result<Vec<Input>, Failure> {
    let stdin = Path::new("-");
    if files.iter().filter(|file| *file == stdin).count() > 1 {
        return Err(Failure::usage("-f - can be given once only"));
    }
    let input = |file: &PathBuf| match file == stdin {
        true => read_stdin(),
        false => Ok(Input::Path(file.clone())),
    };
    files.iter().map(input).collect()
}

fn read_stdin() -> Result<Input, Failure> {
    let mut bytes = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|e| Failure::new(UNREADABLE, format!("-f -: {e}")))?;
    Ok(Input::Text {
        name: "-".into(),
        bytes,
    })
}

fn failed(error: meltemi_files::OpenError) -> Failure {
    let why = error.source().map(|e| format!(": {e}")).unwrap_or_default();
    let message = format!("{error}{why}");
    match error {
        meltemi_files::OpenError::Missing { path: _ }
        | meltemi_files::OpenError::NotADirectory { path: _ } => Failure::new(NO_INPUT, message),
        meltemi_files::OpenError::Unreadable { path: _, source: _ } => {
            Failure::new(UNREADABLE, message)
        }
    }
}
