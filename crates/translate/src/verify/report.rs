//! Collects problems, each with the path at which it stands, in the form of the descriptors' rules:
//! `virtual_hosts[0].domains[1] must not ...`.

use std::fmt::Display;

/// The most problems that one resource is told.
const MAX_PROBLEMS: usize = 64;

/// The problems found so far and where the look is now.
#[derive(Default)]
pub(super) struct Report {
    path: String,
    found: Vec<String>,
}

impl Report {
    /// A problem here; the words continue the path.
    pub(super) fn add(&mut self, problem: impl Display) {
        if self.found.len() >= MAX_PROBLEMS {
            return;
        }
        self.found.push(if self.path.is_empty() {
            problem.to_string()
        } else {
            format!("{} {problem}", self.path)
        });
    }

    /// A problem here, if there is one.
    pub(super) fn add_some(&mut self, problem: Option<impl Display>) {
        if let Some(problem) = problem {
            self.add(problem);
        }
    }

    /// Looks at a field.
    pub(super) fn at<R>(&mut self, field: &str, act: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.path.len();
        if length > 0 && !field.is_empty() && !field.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(field);
        let result = act(self);
        self.path.truncate(length);
        result
    }

    /// Looks at each item of a field.
    pub(super) fn each<'i, T: 'i>(
        &mut self,
        field: &str,
        items: impl IntoIterator<Item = &'i T>,
        mut act: impl FnMut(&mut Self, &'i T),
    ) {
        for (index, item) in items.into_iter().enumerate() {
            self.at(field, |report| {
                report.at(&format!("[{index}]"), |report| act(report, item));
            });
        }
    }

    /// The problems in the order in which they were found, none twice.
    pub(super) fn finish(self) -> Vec<String> {
        let mut found: Vec<String> = Vec::with_capacity(self.found.len());
        for problem in self.found {
            if !found.contains(&problem) {
                found.push(problem);
            }
        }
        found
    }
}
