//! The rules of some settings, and how a machine gets them, by either back end.

use crate::routing::Routing;
use crate::rule::{Family, Rules};
use crate::rules;
use crate::settings::Settings;

/// What is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(crate) rules: Rules,
    /// Routes and addresses beside the rules.
    pub routing: Routing,
}

impl Plan {
    /// The plan of these settings.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            rules: rules::of(settings),
            routing: Routing::of(settings),
        }
    }

    /// The families that get rules.
    #[must_use]
    pub fn families(&self) -> &[Family] {
        self.rules.families()
    }
}
