//! Why a pod is refused.

use meltemi_types::Code;
use std::fmt;

/// Why a pod cannot be injected. It is then not created at all, because it would run outside of
/// the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// The annotation that is wrong, when one is.
    pub annotation: Option<String>,
    /// What is wrong and what to do.
    pub why: String,
}

impl Refusal {
    /// An annotation that cannot be used.
    pub(crate) fn annotation(key: &str, why: impl Into<String>) -> Self {
        Self {
            code: Code::InjectionAnnotation,
            annotation: Some(key.to_owned()),
            why: why.into(),
        }
    }

    /// Templates or values of the injector that cannot be used.
    pub(crate) fn settings(why: impl Into<String>) -> Self {
        Self {
            code: Code::InjectionSettings,
            annotation: None,
            why: why.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.annotation {
            Some(key) => write!(f, "annotation \"{key}\": {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}
