//! Documents that are no objects of the mesh, read as a type of the caller's with the same
//! positions and the same words for mistakes. Unknown fields are warnings here.

use super::positions::nearest;
use super::problem::Problem;
use super::reader::{self, find};
use super::tree::{self, Fault, Node, Value};
use super::{Source, text};
use meltemi_types::{Code, Diagnostic, FieldPath, Location, Severity};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// One document, read as a `T`.
#[derive(Debug)]
pub struct Typed<T> {
    /// The value; `None` when an error says why.
    pub value: Option<T>,
    /// Where the document starts.
    pub location: Location,
    /// What is wrong, by line.
    pub diagnostics: Vec<Diagnostic>,
    root: Option<Arc<Node>>,
}

impl<T> Typed<T> {
    /// Where a field, or the nearest one above it that is there, stands.
    #[must_use]
    pub fn place(&self, path: &FieldPath) -> Location {
        let mark = self.root.as_ref().and_then(|root| nearest(root, path));
        match mark {
            Some(mark) => Location {
                line: mark.line,
                column: mark.column,
                ..self.location.clone()
            },
            None => self.location.clone(),
        }
    }

    /// The line on which the content of a text starts, when it is a literal block (`|`): its lines
    /// are lines of the file.
    #[must_use]
    pub fn block_line(&self, path: &FieldPath) -> Option<u32> {
        let node = find(self.root.as_ref()?, &FieldPath::root(), path)?;
        match &node.value {
            Value::Scalar(_, text) => text.lines.map(|mark| mark.line),
            Value::List(_) | Value::Map(_) => None,
        }
    }
}

/// Reads all documents of a text as `T`. Never fails: what cannot be read says so.
#[must_use]
pub fn read_as<T: DeserializeOwned>(bytes: &[u8], source: &Source) -> Vec<Typed<T>> {
    let text = match text(bytes, source) {
        Ok(text) => text,
        Err(document) => {
            return vec![Typed {
                value: None,
                location: document.location,
                diagnostics: document.diagnostics,
                root: None,
            }];
        }
    };
    let (parsed, fault) = tree::parse(text, 1);
    let mut documents = Vec::new();
    for parsed in parsed {
        let duplicates = parsed.duplicates.iter();
        let mut problems: Vec<Problem> = duplicates.map(duplicate).collect();
        let value = reader::read(&parsed.root, &FieldPath::root(), &mut problems);
        for problem in &mut problems {
            problem.at = problem.at.or_else(|| nearest(&parsed.root, &problem.path));
            if problem.code == Code::UnknownField {
                problem.severity = Severity::Warning;
            }
        }
        problems.sort();
        problems.dedup();
        let failed = problems.iter().any(|p| p.severity == Severity::Error);
        documents.push(Typed {
            value: value.filter(|_| !failed),
            location: source.location(parsed.root.at.line, parsed.root.at.column),
            diagnostics: problems.into_iter().map(|p| said(p, source)).collect(),
            root: Some(parsed.root),
        });
    }
    documents.extend(fault.map(|fault| unparsed(&fault, source)));
    documents
}

fn duplicate(fault: &Fault) -> Problem {
    let remedy = "remove one of the two".to_owned();
    Problem::error(
        Code::NotYaml,
        fault.path.clone(),
        fault.message.clone(),
        remedy,
    )
    .at(fault.at)
}

fn unparsed<T>(fault: &Fault, source: &Source) -> Typed<T> {
    let message = format!("not YAML: {}", fault.message);
    let remedy = "correct the syntax at this place".to_owned();
    let problem = Problem::error(Code::NotYaml, fault.path.clone(), message, remedy);
    Typed {
        value: None,
        location: source.location(fault.at.line, fault.at.column),
        diagnostics: vec![said(problem.at(fault.at), source)],
        root: None,
    }
}

fn said(problem: Problem, source: &Source) -> Diagnostic {
    let (line, column) = problem.at.map_or((0, 0), |mark| (mark.line, mark.column));
    let message = match problem.path.as_str() {
        "" => problem.message,
        path => format!("{path}: {}", problem.message),
    };
    let location = source.location(line, column);
    Diagnostic {
        severity: problem.severity,
        ..Diagnostic::in_text(problem.code, location, message, problem.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Letter {
        to: String,
        pages: Option<u32>,
        inner: String,
        absent: BTreeMap<String, Option<u32>>,
    }

    fn read(text: &str) -> Vec<Typed<Letter>> {
        read_as(text.as_bytes(), &Source::new("a.yaml"))
    }

    #[test]
    fn documents_are_read_with_positions() {
        let all =
            read("to: me\ninner: |\n  a: b\n---\npages: 2\nfro: x\nabsent: {x: null, y: 1}\n");
        let [first, second] = &all[..] else {
            panic!("{all:?}");
        };
        assert_eq!(first.value.as_ref().unwrap().to, "me");
        assert_eq!(first.block_line(&FieldPath::new("inner")), Some(3));
        assert_eq!(first.block_line(&FieldPath::new("to")), None);
        assert_eq!(first.place(&FieldPath::new("inner")).line, 2);
        let value = second.value.as_ref().unwrap();
        assert_eq!(
            (value.pages, value.absent["x"], value.absent["y"]),
            (Some(2), None, Some(1))
        );
        assert!(value.inner.is_empty());
        let [unknown] = &second.diagnostics[..] else {
            panic!("{second:?}");
        };
        assert!(!unknown.is_error());
        assert_eq!(unknown.place().unwrap().line, 6);
    }

    #[test]
    fn mistakes_name_their_place() {
        for (text, line) in [
            ("to: me\npages: x\n", 2),
            ("to: [\n", 1),
            ("to: a\nto: b\n", 2),
        ] {
            let all = read(text);
            let last = all.last().unwrap();
            assert!(last.value.is_none(), "{text}");
            let errors = last.diagnostics.iter().find(|d| d.is_error()).unwrap();
            assert_eq!(errors.place().unwrap().line, line, "{text}");
        }
        assert!(
            read_as::<Letter>(&[0xff], &Source::new("b"))[0]
                .value
                .is_none()
        );
    }
}
