//! PeerAuthentication, except for its selector.

use crate::constraint::{Row, Says::*};

pub(super) const RULES: &[Row] = &[
    (
        "PeerAuthentication",
        Cel(
            "!has(self.portLevelMtls) || (has(self.selector) && has(self.selector.matchLabels) && \
             self.selector.matchLabels.size() > 0)",
            "portLevelMtls needs a selector, since ports belong to workloads",
        ),
    ),
    ("PeerAuthentication.portLevelMtls", MinProperties(1)),
    (
        "PeerAuthentication.portLevelMtls",
        Cel(
            "self.all(port, int(port) >= 1 && int(port) <= 65535)",
            "a key is not a port from 1 to 65535",
        ),
    ),
];
