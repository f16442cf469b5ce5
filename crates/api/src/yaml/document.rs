//! From a document to an object: which kind it is, what its type makes of it, and every
//! problem as a diagnostic with its line.

use super::class::{self, Class};
use super::header::Header;
use super::mesh_config;
use super::object;
use super::positions::nearest;
use super::problem::Problem;
use super::split::Part;
use super::tree::{self, Fault, Mark, Node, Parsed, Value};
use super::{Admission, Document, Outcome, Source, Strangers};
use crate::kinds::{Kind, Scope};
use meltemi_types::{
    Code, Diagnostic, FieldPath, Location, Namespace, ObjectRef, Origin, Severity,
};
use std::sync::Arc;

/// The fields of a document of a mesh kind.
pub(super) const ROOT_FIELDS: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];

/// Takes a document, which one of its part it is (from 1), and what it holds when it parsed.
pub(super) type Take<'t> = &'t mut dyn FnMut(Document, usize, Option<&Node>);

/// The documents of a part of a text.
pub(super) fn part(part: Part<'_>, source: &Source) -> Vec<Document> {
    let mut documents = Vec::new();
    each(part, source, &mut |document, _, _| documents.push(document));
    documents
}

/// Gives each document of a part of a text.
pub(super) fn each(part: Part<'_>, source: &Source, take: Take<'_>) {
    let (parsed, fault) = tree::parse(part.text, part.line);
    let count = parsed.len();
    for (index, parsed) in parsed.iter().enumerate() {
        open(parsed, source, &mut |document, node| {
            take(document, index + 1, Some(node))
        });
    }
    if let Some(fault) = fault {
        take(unparsed(part, &fault, source), count + 1, None);
    }
}

/// A document, or the items of a list.
fn open(parsed: &Parsed, source: &Source, take: &mut dyn FnMut(Document, &Node)) {
    let header = Header::of(&parsed.root);
    let list = header
        .kind
        .as_deref()
        .is_some_and(|kind| kind.ends_with("List"));
    if list
        && let Some(items) = parsed.root.child("items")
        && let Value::List(items) = &items.value
    {
        for (index, item) in items.iter().enumerate() {
            let base = FieldPath::new("items").index(index);
            take(document(item, duplicates(parsed, &base), source), item);
        }
        return;
    }
    let problems = duplicates(parsed, &FieldPath::root());
    take(document(&parsed.root, problems, source), &parsed.root);
}

/// The duplicate keys below `base`, as problems of the object that stands there.
fn duplicates(parsed: &Parsed, base: &FieldPath) -> Vec<Problem> {
    let within = |fault: &Fault| {
        let rest = fault.path.as_str().strip_prefix(base.as_str())?;
        match base.as_str() {
            "" => Some(FieldPath::new(rest)),
            _ => rest.strip_prefix('.').map(FieldPath::new),
        }
    };
    let problem = |fault: &Fault| {
        let message = fault.message.clone();
        let problem = Problem::error(
            Code::NotYaml,
            within(fault)?,
            message,
            "remove one of the two".into(),
        );
        Some(problem.at(fault.at))
    };
    parsed.duplicates.iter().filter_map(problem).collect()
}

/// A document that does not parse.
fn unparsed(part: Part<'_>, fault: &Fault, source: &Source) -> Document {
    let header = Header::guess(part.text);
    let message = format!("not YAML: {}", fault.message);
    let remedy = "correct the syntax at this place";
    let location = source.location(fault.at.line, fault.at.column);
    let class = match (&header.api_version, &header.kind) {
        (Some(version), Some(kind)) => class::classify(version, kind),
        _ => Class::Foreign,
    };
    let object = match class {
        Class::Watched(_) if mesh_config::is_it(&header, source) => {
            Some(mesh_config::reference(source))
        }
        Class::Watched(kind) => reference(kind, &header, source),
        Class::NotYet | Class::Foreign | Class::Stranger { .. } | Class::Unknown { .. } => None,
    };
    if let Some(object) = object {
        let origin = Origin::object(object.clone(), Some(location.clone()));
        return Document {
            location,
            header,
            outcome: Outcome::Broken {
                object,
                selector: None,
            },
            diagnostics: vec![Diagnostic::error(Code::NotYaml, origin, message, remedy)],
        };
    }
    Document {
        header,
        ..super::not_yaml(location, &message, remedy)
    }
}

/// The object that a header names; `None` when a part is missing or not well formed.
fn reference(kind: Kind, header: &Header, source: &Source) -> Option<Arc<ObjectRef>> {
    let namespace = match (kind.info().scope, header.namespace.as_deref()) {
        (Scope::Cluster, _) => None,
        (Scope::Namespaced, None | Some("")) => Some(Namespace::default_namespace()),
        (Scope::Namespaced, Some(namespace)) => Some(namespace.parse().ok()?),
    };
    Some(Arc::new(ObjectRef {
        cluster: source.cluster.clone(),
        kind: kind.name().into(),
        namespace,
        name: header.name.as_deref()?.parse().ok()?,
    }))
}

/// A document that parsed.
fn document(root: &Node, problems: Vec<Problem>, source: &Source) -> Document {
    let header = Header::of(root);
    let mut draft = Draft {
        root,
        header,
        source,
        problems,
    };
    let Some((api_version, kind)) = draft.identity() else {
        return draft.unclear();
    };
    match class::classify(&api_version, &kind) {
        Class::Watched(_) if mesh_config::is_it(&draft.header, source) => {
            mesh_config::wrapped(draft)
        }
        Class::Watched(kind) => draft.watched(kind),
        Class::NotYet => draft.not_yet(&kind),
        Class::Foreign => draft.foreign(),
        Class::Stranger { .. } if source.strangers == Strangers::Ignore => draft.foreign(),
        Class::Stranger { remedy } => {
            let message = format!("{kind:?} of {api_version:?} is not a known kind");
            draft.unknown("kind", message, remedy)
        }
        Class::Unknown {
            field,
            message,
            remedy,
        } => draft.unknown(field, message, remedy),
    }
}

/// A document on its way.
pub(super) struct Draft<'a> {
    pub(super) root: &'a Node,
    pub(super) header: Header,
    pub(super) source: &'a Source,
    pub(super) problems: Vec<Problem>,
}

impl Draft<'_> {
    pub(super) fn location(&self) -> Location {
        self.source.location(self.root.at.line, self.root.at.column)
    }

    /// apiVersion and kind, or problems that say what is missing.
    fn identity(&mut self) -> Option<(String, String)> {
        if !matches!(self.root.value, Value::Map(_)) {
            let message = "not an object, but a text or a list";
            let remedy = "start with the fields apiVersion, kind and metadata";
            self.report(Code::NotYaml, "", (message.into(), remedy.into()));
            return None;
        }
        for (field, value) in [
            ("apiVersion", &self.header.api_version),
            ("kind", &self.header.kind),
        ] {
            if value.is_none() {
                let problem = Problem::error(
                    Code::MissingIdentity,
                    FieldPath::new(field),
                    "is missing".into(),
                    format!("set {field}"),
                );
                self.problems.push(problem);
            }
        }
        self.header
            .api_version
            .clone()
            .zip(self.header.kind.clone())
    }

    fn report(&mut self, code: Code, field: &str, (message, remedy): (String, String)) {
        let path = FieldPath::new(field);
        self.problems
            .push(Problem::error(code, path, message, remedy));
    }

    fn foreign(self) -> Document {
        self.finish(Outcome::Foreign, None, Vec::new())
    }

    fn unclear(mut self) -> Document {
        let problems = std::mem::take(&mut self.problems);
        let object = self.named();
        self.finish(Outcome::Unclear, object, problems)
    }

    fn unknown(mut self, field: &str, message: String, remedy: String) -> Document {
        self.report(Code::UnknownKind, field, (message, remedy));
        self.unclear()
    }

    fn not_yet(mut self, kind: &str) -> Document {
        let problem = Problem::not_yet(kind);
        self.problems = Vec::new();
        let object = self.named();
        self.finish(Outcome::LeftOut, object, vec![problem])
    }

    /// The object by the header alone, of any kind.
    fn named(&self) -> Option<Arc<ObjectRef>> {
        let Header {
            api_version: _,
            kind,
            namespace,
            name,
        } = &self.header;
        let namespace = match namespace.as_deref() {
            None | Some("") => Namespace::default_namespace(),
            Some(namespace) => namespace.parse().ok()?,
        };
        Some(Arc::new(ObjectRef {
            cluster: self.source.cluster.clone(),
            kind: kind.as_deref()?.into(),
            namespace: Some(namespace),
            name: name.as_deref()?.parse().ok()?,
        }))
    }

    pub(super) fn watched(mut self, kind: Kind) -> Document {
        let Some(object) = reference(kind, &self.header, self.source) else {
            self.bad_name();
            return self.unclear();
        };
        let read = self.read(kind);
        let mut problems = std::mem::take(&mut self.problems);
        if self.source.admission == Admission::Stored && !kind.is_security() {
            let unknown = problems.iter_mut().filter(|p| p.code == Code::UnknownField);
            unknown.for_each(|problem| problem.severity = Severity::Warning);
        }
        let failed = problems.iter().any(|p| p.severity == Severity::Error);
        let outcome = match read {
            Some(read) if !failed => Outcome::Object(read),
            _ => Outcome::Broken {
                object: object.clone(),
                selector: object::selector(kind, self.root),
            },
        };
        self.finish(outcome, Some(object), problems)
    }

    /// Says what is wrong with name or namespace.
    fn bad_name(&mut self) {
        let Some(name) = self.header.name.clone() else {
            let message = "is missing".to_owned();
            let remedy = "set metadata.name".to_owned();
            return self.report(Code::MissingIdentity, "metadata.name", (message, remedy));
        };
        let namespace = self.header.namespace.clone().unwrap_or_default();
        let wrong = [
            (
                "metadata.name",
                name.parse::<meltemi_types::ObjectName>().err(),
            ),
            ("metadata.namespace", namespace.parse::<Namespace>().err()),
        ];
        for (field, invalid) in wrong {
            if let Some(invalid) =
                invalid.filter(|_| field == "metadata.name" || !namespace.is_empty())
            {
                let text = if field == "metadata.name" {
                    &name
                } else {
                    &namespace
                };
                let message = format!("{text:?} is not allowed");
                self.report(Code::InvalidValue, field, (message, invalid.why().into()));
            }
        }
    }

    pub(super) fn finish(
        self,
        outcome: Outcome,
        object: Option<Arc<ObjectRef>>,
        mut problems: Vec<Problem>,
    ) -> Document {
        for problem in &mut problems {
            problem.at = problem.at.or_else(|| nearest(self.root, &problem.path));
        }
        problems.sort();
        problems.dedup();
        let location = self.location();
        let diagnostics = problems
            .into_iter()
            .map(|problem| diagnostic(problem, object.as_ref(), self.source))
            .collect();
        Document {
            location,
            header: self.header,
            outcome,
            diagnostics,
        }
    }
}

fn diagnostic(problem: Problem, object: Option<&Arc<ObjectRef>>, source: &Source) -> Diagnostic {
    let mark = problem.at.unwrap_or(Mark { line: 0, column: 0 });
    let location = source.location(mark.line, mark.column);
    let Some(object) = object else {
        let message = match problem.path.as_str() {
            "" => problem.message,
            path => format!("{path}: {}", problem.message),
        };
        return Diagnostic::in_text(problem.code, location, message, problem.remedy);
    };
    let origin = Origin {
        object: object.clone(),
        path: problem.path,
        location: (source.admission != Admission::Stored).then_some(location),
    };
    let make = match problem.severity {
        Severity::Error => Diagnostic::error,
        Severity::Warning => Diagnostic::warning,
    };
    make(problem.code, origin, problem.message, problem.remedy)
}
