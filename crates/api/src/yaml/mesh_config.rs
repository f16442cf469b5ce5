//! Mesh configuration: YAML within YAML (`data.mesh` of the ConfigMap `istio` of the root
//! namespace), or a file of its own. Lines and columns are those of the file either way, as long
//! as the inner text is a literal block (`|`).

use super::document::Draft;
use super::header::Header;
use super::positions::{nearest, positions};
use super::problem::Problem;
use super::reader;
use super::tree::{self, Mark, Node, Text, Value};
use super::{Admission, Document, Outcome, Source};
use crate::check::{Check, Findings};
use crate::kinds::Kind;
use crate::mesh_config::MeshConfig;
use crate::mesh_networks::MeshNetworks;
use crate::meta::{Meta, Positions};
use crate::object::Resource;
use meltemi_types::{Code, FieldPath, Namespace, ObjectRef, Severity};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The name of the ConfigMap.
const NAME: &str = "istio";

/// True when the header is that of the ConfigMap that holds the mesh config.
pub(super) fn is_it(header: &Header, source: &Source) -> bool {
    header.kind.as_deref() == Some("ConfigMap")
        && header.name.as_deref() == Some(NAME)
        && header.namespace.as_deref() == Some(source.root_namespace.as_str())
}

/// The object that the mesh config is, wherever it came from.
pub(super) fn reference(source: &Source) -> Arc<ObjectRef> {
    let namespace: Namespace = source.root_namespace.clone();
    Arc::new(ObjectRef {
        cluster: source.cluster.clone(),
        kind: Kind::MeshConfig.name().into(),
        namespace: Some(namespace),
        #[expect(clippy::unwrap_used, reason = "the constant is a name")]
        name: NAME.parse().unwrap(),
    })
}

/// Mesh config inside of its ConfigMap.
pub(super) fn wrapped(mut draft: Draft<'_>) -> Document {
    let text = draft.root.child("data").and_then(|data| data.child("mesh"));
    let Some((node, Value::Scalar(_, text))) = text.map(|node| (node, &node.value)) else {
        let path = FieldPath::new("data.mesh");
        let remedy = "put the mesh configuration there, as a literal block";
        draft.problems.push(Problem::error(
            Code::MeshConfigInvalid,
            path,
            "is no text".into(),
            remedy.into(),
        ));
        return finish(draft, None);
    };
    let place = Place::of(node, text);
    let read = inner(&text.text, &place, &mut draft.problems);
    finish(draft, read)
}

/// Mesh config that is the whole text.
pub(super) fn bare(text: &str, source: &Source) -> Document {
    let mut problems = Vec::new();
    let read = inner(text, &HERE, &mut problems);
    let root = Node::empty(START);
    let draft = Draft {
        root: &root,
        header: Header::default(),
        source,
        problems,
    };
    finish(draft, read)
}

/// Mesh networks that are the whole text.
pub(super) fn networks(text: &str, source: &Source) -> Document {
    let mut problems = Vec::new();
    let read = inner::<MeshNetworks>(text, &HERE, &mut problems);
    let failed = problems.iter().any(|p| p.severity == Severity::Error);
    let root = Node::empty(START);
    let draft = Draft {
        root: &root,
        header: Header::default(),
        source,
        problems: Vec::new(),
    };
    let object = Arc::new(ObjectRef {
        kind: "MeshNetworks".into(),
        ..(*reference(source)).clone()
    });
    let outcome = match read {
        Some(_) if !failed => Outcome::LeftOut,
        Some(_) | None => Outcome::Unclear,
    };
    draft.finish(outcome, Some(object), problems)
}

/// Where a text of its own starts.
const START: Mark = Mark { line: 1, column: 1 };
const HERE: Place = Place::Here { line: 1, indent: 0 };

/// Where the inner text stands in the file.
enum Place {
    /// Line by line, from this line on, indented this far.
    Here { line: u32, indent: u32 },
    /// Folded or quoted: only the start is known.
    Within(Mark),
}

impl Place {
    fn of(node: &Node, text: &Text) -> Self {
        match text.lines {
            Some(lines) => Self::Here {
                line: lines.line,
                indent: lines.column,
            },
            None => Self::Within(node.at),
        }
    }

    fn line(&self) -> u32 {
        match self {
            Self::Here { line, .. } => *line,
            Self::Within(mark) => mark.line,
        }
    }

    fn mark(&self, inner: Mark) -> Mark {
        match self {
            Self::Here { indent, .. } => Mark {
                line: inner.line,
                column: inner.column.saturating_add(*indent),
            },
            Self::Within(mark) => *mark,
        }
    }
}

/// The mesh config of a text, with its positions.
fn inner<T: DeserializeOwned + Default + Check>(
    text: &str,
    place: &Place,
    problems: &mut Vec<Problem>,
) -> Option<(T, Positions)> {
    let (parsed, fault) = tree::parse(text, place.line());
    if let Some(fault) = fault {
        let message = format!("not YAML: {}", fault.message);
        let remedy = "correct the syntax at this place".to_owned();
        let problem = Problem::error(Code::MeshConfigInvalid, fault.path, message, remedy);
        problems.push(problem.at(place.mark(fault.at)));
        return None;
    }
    let Some(parsed) = parsed.into_iter().next() else {
        return Some((T::default(), Positions::default()));
    };
    let mut found = Vec::new();
    for fault in &parsed.duplicates {
        let remedy = "remove one of the two".to_owned();
        let problem = Problem::error(
            Code::MeshConfigInvalid,
            fault.path.clone(),
            fault.message.clone(),
            remedy,
        );
        found.push(problem.at(fault.at));
    }
    let read: Option<T> = reader::read(&parsed.root, &FieldPath::root(), &mut found);
    if let Some(mesh) = &read {
        let mut checked = Findings::new();
        mesh.check(&FieldPath::root(), &mut checked);
        found.extend(checked.into_vec().into_iter().map(|finding| Problem {
            at: nearest(&parsed.root, &finding.path),
            ..Problem::from(finding)
        }));
    }
    problems.extend(found.into_iter().map(|problem| Problem {
        at: problem.at.map(|at| place.mark(at)),
        ..problem
    }));
    let known = positions(&parsed.root, usize::MAX).map(|line, column| {
        let mark = place.mark(Mark { line, column });
        (mark.line, mark.column)
    });
    Some((read?, known))
}

fn finish(mut draft: Draft<'_>, read: Option<(MeshConfig, Positions)>) -> Document {
    let object = reference(draft.source);
    let mut problems = std::mem::take(&mut draft.problems);
    if draft.source.admission != Admission::Pending {
        // Somebody runs a newer version with it.
        let unknown = problems.iter_mut().filter(|p| p.code == Code::UnknownField);
        unknown.for_each(|problem| problem.severity = Severity::Warning);
    }
    let failed = problems.iter().any(|p| p.severity == Severity::Error);
    let outcome = match read {
        Some((spec, positions)) if !failed => {
            let mut meta = Meta::new((*object).clone());
            meta.location = Some(draft.location());
            Outcome::Object(
                Resource {
                    meta,
                    spec,
                    status: None,
                    positions,
                }
                .into(),
            )
        }
        _ => Outcome::Broken {
            object: object.clone(),
            selector: None,
        },
    };
    draft.finish(outcome, Some(object), problems)
}
