//! EnvoyFilter, except for selectors and targets.

use super::shared::PORT;
use crate::constraint::{Row, Says::*};

pub(super) const RULES: &[Row] = &[
    (
        "EnvoyFilter",
        Cel(
            "!(has(self.workloadSelector) && has(self.targetRefs))",
            "workloadSelector and targetRefs are both set",
        ),
    ),
    ("EnvoyFilter.targetRefs", MaxItems(16)),
    (
        "EnvoyConfigObjectMatch",
        AtMostOne(&["listener", "routeConfiguration", "cluster", "waypoint"]),
    ),
    (
        "EnvoyConfigObjectMatch",
        Cel(
            "has(self.waypoint) == (has(self.context) && self.context == 'WAYPOINT')",
            "context WAYPOINT and a match by waypoint belong together",
        ),
    ),
    ("WaypointMatch.portNumber", PORT),
];
