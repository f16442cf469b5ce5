//! AuthorizationPolicy, except for its attachment.

use super::shared::ONE_ATTACHMENT;
use crate::constraint::{Row, Says::*};

pub(super) const RULES: &[Row] = &[
    ("AuthorizationPolicy", ONE_ATTACHMENT),
    ("AuthorizationPolicy.targetRefs", MaxItems(16)),
    ("AuthorizationPolicy.rules", MaxItems(512)),
    ("Rule.from", MaxItems(512)),
    (
        "Source",
        Cel(
            "!(has(self.serviceAccounts) || has(self.notServiceAccounts)) || \
             [has(self.principals), has(self.notPrincipals), has(self.namespaces), \
             has(self.notNamespaces)].all(set, !set)",
            "service accounts are set together with principals or namespaces",
        ),
    ),
    ("Source.serviceAccounts", MaxItems(16)),
    ("Source.serviceAccounts[]", MaxLength(320)),
    ("Source.notServiceAccounts", MaxItems(16)),
    ("Source.notServiceAccounts[]", MaxLength(320)),
    ("Condition", Required(&["key"])),
];
