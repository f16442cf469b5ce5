//! The verdict on what users write: what the API server would say of its schema, and what the
//! field rules of its kind say. The command line, the webhook and the status of objects ask here.
//!
//! Kinds of other people are valid, unchecked. The surprise: Kubernetes' own kinds get warnings
//! only, since the cluster may know a newer version of them than we do.

use crate::annotations;
use crate::crd;
use crate::judge::Judge;
use meltemi_api::Finding;
use meltemi_api::kinds::{KINDS, Kind};
use meltemi_api::yaml::{self, Content, Document, Outcome, Source, Strangers, Whole};
use meltemi_types::{Code, Diagnostic, Location, ObjectRef, Origin, Severity};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// What came of a document. Ordered by how bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// It can be used.
    Valid,
    /// It can be used, but something about it is odd.
    Warn,
    /// It is refused.
    Invalid,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Warn => "warn",
            Self::Invalid => "invalid",
        }
    }
}

/// A document and what was found.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The document, or the item of a list, with its place and header.
    pub document: Document,
    /// Which document of its text it is, from 1.
    pub number: usize,
    /// The verdict.
    pub verdict: Verdict,
    /// What was found, by place.
    pub diagnostics: Vec<Diagnostic>,
}

/// Judges texts. Schemas are made when the first object of their kind comes.
#[derive(Default)]
pub struct Validator {
    judges: BTreeMap<Kind, OnceLock<Option<Judge>>>,
}

impl Validator {
    /// A validator of all mesh kinds.
    #[must_use]
    pub fn new() -> Self {
        Self {
            judges: crd::kinds().map(|kind| (kind, OnceLock::new())).collect(),
        }
    }

    /// Judges every document of a text.
    #[must_use]
    pub fn text(&self, bytes: &[u8], source: &Source) -> Vec<Judged> {
        let source = Source {
            strangers: Strangers::Ignore,
            ..source.clone()
        };
        let wholes = yaml::read_whole(bytes, &source).into_iter();
        wholes.map(|whole| self.whole(whole, &source)).collect()
    }

    /// Judges mesh configuration that is a file of its own.
    #[must_use]
    pub fn mesh_config(&self, bytes: &[u8], source: &Source) -> Judged {
        finish(yaml::read_mesh_config(bytes, source), 1)
    }

    /// Judges mesh networks that are a file of their own.
    #[must_use]
    pub fn mesh_networks(&self, bytes: &[u8], source: &Source) -> Judged {
        finish(yaml::read_mesh_networks(bytes, source), 1)
    }

    fn judge(&self, kind: Kind) -> Option<&Judge> {
        let judge = self.judges.get(&kind)?;
        let make = || Judge::new(&crd::schema(kind)?).ok();
        judge.get_or_init(make).as_ref()
    }

    fn whole(&self, whole: Whole, source: &Source) -> Judged {
        let Whole {
            mut document,
            number,
            content,
        } = whole;
        let kind = kind(&document);
        match (&document.outcome, kind) {
            (Outcome::LeftOut, _) => unchecked(&mut document),
            (_, Some(kind)) if !is_ours(kind) => soften(&mut document),
            (_, Some(kind)) => {
                document
                    .diagnostics
                    .retain(|diagnostic| diagnostic.code != Code::NotSupportedYet);
                if let (Some(judge), Some(content)) = (self.judge(kind), &content) {
                    let mut found = judge.judge(&content.value);
                    found.extend(annotations::check(kind, &content.value));
                    merge(found, &mut document, content, source);
                }
            }
            (_, None) => {}
        }
        finish(document, number)
    }
}

/// The kind by the header, also of a document that cannot be read.
fn kind(document: &Document) -> Option<Kind> {
    let version = document.header.api_version.as_deref()?;
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let name = document.header.kind.as_deref()?;
    let found = KINDS
        .iter()
        .find(|info| info.group == group && info.name == name && info.versions.contains(&version));
    found.map(|info| info.kind)
}

fn is_ours(kind: Kind) -> bool {
    kind.info().group.ends_with(".istio.io")
}

/// A kind that exists and is not looked at.
fn unchecked(document: &mut Document) {
    for diagnostic in &mut document.diagnostics {
        if diagnostic.code == Code::NotSupportedYet {
            let kind = document.header.kind.as_deref().unwrap_or_default();
            diagnostic.message = format!("{kind} is accepted unchecked").into();
            diagnostic.remedy = "check it with kubectl apply --dry-run=server".into();
        }
    }
}

/// What is odd about an object of somebody else's kind is no reason to refuse it.
fn soften(document: &mut Document) {
    for diagnostic in &mut document.diagnostics {
        if diagnostic.code != Code::NotYaml {
            diagnostic.severity = Severity::Warning;
        }
    }
}

/// Adds what the schema and the annotations say, where the types have not said it already.
fn merge(found: Vec<Finding>, document: &mut Document, content: &Content, source: &Source) {
    let object = match &document.outcome {
        Outcome::Object(object) => Some(object.key().clone()),
        Outcome::Broken { object, .. } => Some(object.clone()),
        Outcome::LeftOut | Outcome::Foreign | Outcome::Unclear => None,
    };
    let generated = content.value.pointer("/metadata/generateName");
    if generated.is_some_and(Value::is_string) {
        document
            .diagnostics
            .retain(|diagnostic| diagnostic.code != Code::MissingIdentity);
    }
    let known = |finding: &Finding| {
        document.diagnostics.iter().any(|diagnostic| {
            let path = diagnostic.origin.as_ref().map(|origin| &origin.path);
            let same = match path {
                Some(path) => *path == finding.path,
                None => diagnostic.message.starts_with(finding.path.as_str()),
            };
            diagnostic.is_error() && same
        })
    };
    let fresh: Vec<Finding> = found
        .into_iter()
        .filter(|finding| !known(finding))
        .collect();
    for finding in fresh {
        let place = content.positions.nearest(&finding.path);
        let (line, column) = place.unwrap_or((document.location.line, document.location.column));
        let location = Location {
            file: source.file.clone(),
            line,
            column,
        };
        let diagnostic = diagnostic(finding, object.as_ref(), location);
        document.diagnostics.push(diagnostic);
    }
}

fn diagnostic(finding: Finding, object: Option<&Arc<ObjectRef>>, at: Location) -> Diagnostic {
    let Some(object) = object else {
        let message = match finding.path.as_str() {
            "" => finding.message,
            path => format!("{path}: {}", finding.message),
        };
        return Diagnostic::in_text(finding.code, at, message, finding.remedy);
    };
    let origin = Origin::object(object.clone(), Some(at));
    let location = origin.location.clone();
    let mut diagnostic = finding.into_diagnostic(&origin);
    if let Some(origin) = &mut diagnostic.origin {
        origin.location = location;
    }
    diagnostic
}

fn finish(mut document: Document, number: usize) -> Judged {
    let mut diagnostics = std::mem::take(&mut document.diagnostics);
    diagnostics.sort_by(|a, b| (a.place(), a).cmp(&(b.place(), b)));
    diagnostics.dedup();
    let worst = diagnostics
        .iter()
        .map(|diagnostic| match diagnostic.severity {
            Severity::Error => Verdict::Invalid,
            Severity::Warning => Verdict::Warn,
        });
    Judged {
        verdict: worst.max().unwrap_or(Verdict::Valid),
        document,
        number,
        diagnostics,
    }
}

#[cfg(test)]
mod tests;
