//! Gateway, except for TLS.

use crate::constraint::{Row, Says::*};

pub(super) const RULES: &[Row] = &[
    ("Server", Required(&["port", "hosts"])),
    ("ServerPort", Required(&["number", "protocol", "name"])),
];
