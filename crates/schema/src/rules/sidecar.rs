//! Sidecar, except for what it shares with others.

use crate::constraint::{Row, Says::*};

pub(super) const RULES: &[Row] = &[
    ("IstioIngressListener", Required(&["port"])),
    ("IstioEgressListener", Required(&["hosts"])),
    ("Destination", Required(&["host"])),
];
