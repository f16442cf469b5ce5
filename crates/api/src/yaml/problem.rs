//! What can be wrong with a document, and the words for it.

use super::scalar::Scalar;
use super::suggest;
use super::tree::{Mark, Node, Value};
use crate::check::Finding;
use crate::kubernetes::{REMOTE_MESSAGE, REMOTE_REMEDY};
use meltemi_types::{Code, FieldPath, Severity};
use serde::de;
use std::fmt;

/// One thing that is wrong in a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    pub(crate) at: Option<Mark>,
    pub(crate) path: FieldPath,
    pub(crate) code: Code,
    pub(crate) severity: Severity,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

impl Problem {
    pub(crate) fn error(code: Code, path: FieldPath, message: String, remedy: String) -> Self {
        Self {
            at: None,
            path,
            code,
            severity: Severity::Error,
            message,
            remedy,
        }
    }

    pub(crate) fn at(self, at: Mark) -> Self {
        Self {
            at: Some(at),
            ..self
        }
    }

    /// A kind that is recognised and does nothing.
    pub(crate) fn not_yet(kind: &str) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(
                Code::NotSupportedYet,
                FieldPath::root(),
                format!("{kind} is recognised, but has no effect yet"),
                "everything else in the file is used".into(),
            )
        }
    }

    /// A Secret that names another cluster.
    pub(crate) fn remote() -> Self {
        let path = FieldPath::new("metadata.labels");
        let (message, remedy) = (REMOTE_MESSAGE.to_owned(), REMOTE_REMEDY.to_owned());
        Self {
            severity: Severity::Warning,
            ..Self::error(Code::RemoteCluster, path, message, remedy)
        }
    }

    /// A field that its object does not know; `known` are the fields that it knows.
    pub(crate) fn unknown_field(path: FieldPath, field: &str, known: &[&str]) -> Self {
        let remedy = match suggest::nearest(field, known.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => match suggest::choice(known) {
                Some(choice) => format!("remove it, or use {choice}"),
                None => "remove it, or check its spelling and indentation".into(),
            },
        };
        Self::error(Code::UnknownField, path, "unknown field".into(), remedy)
    }
}

impl From<Finding> for Problem {
    fn from(finding: Finding) -> Self {
        let Finding {
            code,
            severity,
            path,
            message,
            remedy,
        } = finding;
        Self {
            at: None,
            path,
            code,
            severity,
            message,
            remedy,
        }
    }
}

/// Why a value cannot be read. The reader adds path and position on the way up.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) place: Option<(FieldPath, Mark)>,
    what: What,
}

#[derive(Debug)]
enum What {
    Type { expected: String },
    Value { expected: String },
    Missing(&'static str),
    Variant(&'static [&'static str]),
    Field(String, &'static [&'static str]),
    Other(String),
}

impl Wrong {
    fn new(what: What) -> Self {
        Self { place: None, what }
    }

    /// Adds where it is, unless something further in has done so.
    pub(crate) fn at(mut self, place: impl FnOnce() -> (FieldPath, Mark)) -> Self {
        if self.place.is_none() {
            self.place = Some(place());
        }
        self
    }

    /// A required field that is not there, as its path.
    pub(crate) fn missing(&self) -> Option<FieldPath> {
        match (&self.what, &self.place) {
            (What::Missing(field), Some((path, _))) => Some(path.field(field)),
            _ => None,
        }
    }

    /// In words; `node` is the offending value.
    pub(crate) fn problem(&self, node: Option<&Node>) -> Problem {
        let (path, mark) = match &self.place {
            Some((path, mark)) => (path.clone(), Some(*mark)),
            None => (FieldPath::root(), None),
        };
        let found = node.map_or_else(|| "missing".into(), describe);
        let problem = match &self.what {
            What::Type { expected } => Problem::error(
                Code::WrongType,
                path,
                format!("is {found}, not {}", article(expected)),
                type_remedy(expected, node),
            ),
            What::Value { expected } => {
                let (code, message) = match node.map(|node| &node.value) {
                    Some(Value::Scalar(Scalar::Unsigned(_) | Scalar::Signed(_), _)) => {
                        (Code::OutOfRange, format!("is {found}, out of range"))
                    }
                    _ => (Code::InvalidValue, format!("is {found}")),
                };
                Problem::error(code, path, message, format!("use {}", range(expected)))
            }
            What::Missing(field) => Problem::error(
                Code::Required,
                path.field(field),
                "is missing".into(),
                format!("set {field}"),
            ),
            What::Variant(allowed) => variant(path, node, allowed),
            What::Field(field, known) => Problem::unknown_field(path.field(field), field, known),
            What::Other(text) => other(path, text),
        };
        Problem {
            at: mark,
            ..problem
        }
    }
}

fn variant(path: FieldPath, node: Option<&Node>, allowed: &[&str]) -> Problem {
    let word = node.and_then(Node::text).unwrap_or_default();
    let near = suggest::nearest(word, allowed.iter().copied());
    let remedy = match (near, suggest::choice(allowed)) {
        (Some(near), Some(choice)) => format!("did you mean {near:?}? Use {choice}"),
        (None, Some(choice)) => format!("use {choice}"),
        (_, None) => format!("use one of {}", allowed.join(", ")),
    };
    Problem::error(
        Code::UnknownEnumValue,
        path,
        format!("{word:?} is not an allowed value"),
        remedy,
    )
}

/// The complaint of a type of our own, which reads `"x" is not a valid WHAT: REMEDY`.
fn other(path: FieldPath, text: &str) -> Problem {
    let code = [
        (" valid duration", Code::InvalidDuration),
        (" valid host", Code::InvalidHost),
        (" valid port", Code::OutOfRange),
    ]
    .into_iter()
    .find(|(words, _)| text.contains(words))
    .map_or(Code::InvalidValue, |(_, code)| code);
    let split = text.find(" valid ").and_then(|at| {
        let colon = at + text.get(at..)?.find(": ")?;
        Some((text.get(..colon)?, text.get(colon + 2..)?))
    });
    let (message, remedy) = split.unwrap_or((text, "correct the value"));
    Problem::error(code, path, message.to_owned(), remedy.to_owned())
}

/// A value in words, cut short.
fn describe(node: &Node) -> String {
    match &node.value {
        Value::List(_) => "a list".into(),
        Value::Map(_) => "an object".into(),
        Value::Scalar(scalar, text) => {
            let short: String = text.text.chars().take(60).collect();
            match scalar {
                Scalar::Null => "empty".into(),
                Scalar::Bool(_) => format!("the boolean {short}"),
                Scalar::Unsigned(_) | Scalar::Signed(_) | Scalar::Float(_) => {
                    format!("the number {short}")
                }
                Scalar::Text => format!("the string {short:?}"),
            }
        }
    }
}

/// What serde expects, in the words that users know.
fn article(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "i8" | "i16" | "i32" | "i64" | "usize" => {
            "a whole number".into()
        }
        "f32" | "f64" => "a number".into(),
        "a sequence" => "a list".into(),
        "a map" | "map" => "an object".into(),
        "bool" => "a boolean".into(),
        text if text.starts_with("struct ") => "an object".into(),
        text if text.starts_with("a ") || text.starts_with("an ") => text.into(),
        // Kubernetes' types expect themselves by name.
        text if text.chars().all(|c| c.is_ascii_alphanumeric()) => match text {
            "IntOrString" => "a number or a string".into(),
            "Quantity" | "Time" | "MicroTime" | "ByteString" => "a string".into(),
            _ => "an object".into(),
        },
        text => text.into(),
    }
}

fn type_remedy(expected: &str, node: Option<&Node>) -> String {
    let wants = article(expected);
    let scalar = match node.map(|node| &node.value) {
        Some(Value::Scalar(scalar, text)) => Some((scalar, &*text.text)),
        _ => None,
    };
    match scalar {
        Some((Scalar::Text, text)) if wants.ends_with("number") && text.parse::<f64>().is_ok() => {
            format!("remove the quotes: {text}")
        }
        Some((
            Scalar::Bool(_) | Scalar::Unsigned(_) | Scalar::Signed(_) | Scalar::Float(_),
            text,
        )) if wants.contains("string") => format!("put it in quotes: {text:?}"),
        _ if wants == "a list" => "write a list: a line of its own with '- ' for each item".into(),
        _ => format!("write {wants}"),
    }
}

/// The numbers that a type holds.
fn range(expected: &str) -> String {
    let (low, high) = match expected {
        "u8" => (0, u64::from(u8::MAX)),
        "u16" => (0, u64::from(u16::MAX)),
        "u32" => (0, u64::from(u32::MAX)),
        "i32" => (i64::from(i32::MIN), u64::from(i32::MAX.unsigned_abs())),
        _ => return article(expected),
    };
    format!("a whole number from {low} to {high}")
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = self.problem(None);
        write!(f, "{}; {}", problem.message, problem.remedy)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(What::Other(message.to_string()))
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = expected.to_string();
        Self::new(What::Type { expected })
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = expected.to_string();
        Self::new(What::Value { expected })
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(What::Variant(expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(What::Field(field.to_owned(), expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(What::Missing(field))
    }
}
