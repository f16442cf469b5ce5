//! What is wrong with what a user wrote: a code that never changes its meaning, the object,
//! the field, the line, the problem and the remedy.

mod codes;
mod page;

use crate::object::{Location, Origin};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

pub use codes::{CODES, Code, CodeInfo};
pub use page::codes_page;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The object, or a part of it, is not in force.
    Error,
    /// In force, but probably not as meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One thing that is wrong, as data. Equal diagnostics are the same finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Diagnostic {
    /// The stable code.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The object and field; `None` only when no object could be read.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The place in the file when no object could be read; `None` when there is an origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// What is wrong, with the offending value.
    pub message: Arc<str>,
    /// What to do.
    pub remedy: Arc<str>,
}

impl Diagnostic {
    /// An error at `origin`.
    #[must_use]
    pub fn error(
        code: Code,
        origin: Origin,
        message: impl Into<Arc<str>>,
        remedy: impl Into<Arc<str>>,
    ) -> Self {
        let (message, remedy) = (message.into(), remedy.into());
        Self {
            code,
            severity: Severity::Error,
            origin: Some(origin),
            location: None,
            message,
            remedy,
        }
    }

    /// An error in a text that no object could be read from.
    #[must_use]
    pub fn in_text(
        code: Code,
        location: Location,
        message: impl Into<Arc<str>>,
        remedy: impl Into<Arc<str>>,
    ) -> Self {
        let (message, remedy) = (message.into(), remedy.into());
        Self {
            code,
            severity: Severity::Error,
            origin: None,
            location: Some(location),
            message,
            remedy,
        }
    }

    /// The place in a file, of the object's field or of the text.
    #[must_use]
    pub fn place(&self) -> Option<&Location> {
        self.origin
            .as_ref()
            .and_then(|origin| origin.location.as_ref())
            .or(self.location.as_ref())
    }

    /// A warning at `origin`.
    #[must_use]
    pub fn warning(
        code: Code,
        origin: Origin,
        message: impl Into<Arc<str>>,
        remedy: impl Into<Arc<str>>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, origin, message, remedy)
        }
    }

    /// True for errors.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    /// `error[MLT0001]: KIND NS/NAME FIELD: what; what to do (FILE:LINE:COL)`, one line. Where no
    /// object could be read, `File NAME` stands for it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]: ", self.severity, self.code)?;
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        } else if let Some(location) = &self.location {
            write!(f, "File {}: ", location.file)?;
        }
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "{}; {}", flat(&self.message), flat(&self.remedy))?;
        if let Some(location) = self.place() {
            write!(f, " ({location})")?;
        }
        Ok(())
    }
}
