//! What is wrong with an object by itself: what Istio's webhook refuses, and what Envoy would.
//!
//! A check looks at one spec and reports; it never stops early, so that a user sees every mistake
//! at once. Checks that need other objects (does the subset exist?) belong to the translator.

pub(crate) mod header;
pub(crate) mod value;

use meltemi_types::{Code, Diagnostic, FieldPath, Namespace, Origin, Severity};

/// One thing that is wrong with a spec, at a field of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finding {
    /// The stable code.
    pub code: Code,
    /// How bad it is. Objects with an error keep their last good version.
    pub severity: Severity,
    /// The field, from the root of the object: `spec.http[0].timeout`.
    pub path: FieldPath,
    /// What is wrong, with the offending value.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Finding {
    /// An error at `path`.
    #[must_use]
    pub fn error(
        code: Code,
        path: &FieldPath,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            code,
            severity: Severity::Error,
            path: path.clone(),
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// A warning at `path`.
    #[must_use]
    pub fn warning(
        code: Code,
        path: &FieldPath,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, path, message, remedy)
        }
    }

    /// The diagnostic of this finding in the object of `origin`.
    #[must_use]
    pub fn into_diagnostic(self, origin: &Origin) -> Diagnostic {
        let Self {
            code,
            severity,
            path,
            message,
            remedy,
        } = self;
        Diagnostic {
            severity,
            ..Diagnostic::error(code, origin.at(path), message, remedy)
        }
    }
}

/// What a check found, in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    found: Vec<Finding>,
    namespace: Option<Namespace>,
}

impl Findings {
    /// Nothing found yet, about an object whose namespace is not known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing found yet, about an object of this namespace.
    #[must_use]
    pub fn in_namespace(namespace: Namespace) -> Self {
        Self {
            found: Vec::new(),
            namespace: Some(namespace),
        }
    }

    /// The namespace of the object, when it is known.
    #[must_use]
    pub fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// Adds a finding.
    pub fn push(&mut self, finding: Finding) {
        self.found.push(finding);
    }

    /// True when nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// True when an error was found: the object must not be used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.found
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }

    /// What was found.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.found.iter()
    }

    /// What was found.
    #[must_use]
    pub fn into_vec(self) -> Vec<Finding> {
        self.found
    }

    /// `what` is missing.
    pub(crate) fn required(&mut self, at: &FieldPath, what: &str) {
        self.push(Finding::error(
            Code::Required,
            at,
            format!("{what} is missing"),
            format!("set {at}"),
        ));
    }

    /// The value has the right type but cannot be used.
    pub(crate) fn invalid(&mut self, at: &FieldPath, message: impl Into<String>, remedy: &str) {
        self.push(Finding::error(Code::InvalidValue, at, message, remedy));
    }

    /// A number lies outside of its range.
    pub(crate) fn out_of_range(
        &mut self,
        at: &FieldPath,
        message: impl Into<String>,
        remedy: &str,
    ) {
        self.push(Finding::error(Code::OutOfRange, at, message, remedy));
    }

    /// Fields exclude each other.
    pub(crate) fn conflict(&mut self, at: &FieldPath, message: impl Into<String>, remedy: &str) {
        self.push(Finding::error(Code::Conflict, at, message, remedy));
    }

    /// A field has no effect.
    pub(crate) fn ignored(&mut self, at: &FieldPath, message: impl Into<String>, remedy: &str) {
        self.push(Finding::warning(Code::IgnoredField, at, message, remedy));
    }
}

/// A spec, or a part of one, that can be checked by itself.
pub trait Check {
    /// Reports into `out` what is wrong with this, which stands at `at`.
    fn check(&self, at: &FieldPath, out: &mut Findings);
}

impl<T: Check> Check for Option<T> {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        if let Some(value) = self {
            value.check(at, out);
        }
    }
}

impl<T: Check> Check for Vec<T> {
    fn check(&self, at: &FieldPath, out: &mut Findings) {
        for (index, value) in self.iter().enumerate() {
            value.check(&at.index(index), out);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde::de::DeserializeOwned;

    /// Checks the spec in `yaml`, of namespace `shop`: `CODE PATH` of each finding, warnings in
    /// lower case.
    pub(crate) fn verdicts<T: Check + DeserializeOwned>(yaml: &str) -> Vec<String> {
        let spec: T = serde_yaml::from_str(yaml).unwrap_or_else(|e| panic!("{yaml}: {e}"));
        let mut out = Findings::in_namespace("shop".parse().unwrap());
        spec.check(&FieldPath::spec(), &mut out);
        out.iter()
            .map(|finding| {
                assert!(!finding.message.is_empty() && !finding.remedy.is_empty());
                let code = format!("{:?}", finding.code);
                let code = match finding.severity {
                    Severity::Error => code,
                    Severity::Warning => code.to_lowercase(),
                };
                format!("{code} {}", finding.path)
            })
            .collect()
    }

    /// Each YAML with the findings wanted, separated by `|`.
    pub(crate) fn table<T: Check + DeserializeOwned>(rows: &[(&str, &str)]) {
        for (yaml, wanted) in rows {
            assert_eq!(verdicts::<T>(yaml).join("|"), *wanted, "{yaml}");
        }
    }

    #[test]
    fn a_finding_becomes_a_diagnostic_of_its_object() {
        let object = meltemi_types::ObjectRef {
            cluster: Default::default(),
            kind: "VirtualService".into(),
            namespace: Some("shop".parse().unwrap()),
            name: "reviews".parse().unwrap(),
        };
        let origin = Origin::object(std::sync::Arc::new(object), None);
        let mut out = Findings::new();
        out.required(&FieldPath::spec().field("hosts"), "a host");
        assert!(out.has_errors());
        let diagnostic = out.into_vec().remove(0).into_diagnostic(&origin);
        assert_eq!(
            diagnostic.to_string(),
            "error[MLT0106]: VirtualService shop/reviews spec.hosts: a host is missing; \
             set spec.hosts"
        );
    }
}
