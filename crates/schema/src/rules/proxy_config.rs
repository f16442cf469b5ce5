//! ProxyConfig, except for its selector.

use crate::constraint::{Row, Says::*};

pub(super) const RULES: &[Row] = &[
    ("ProxyConfig.concurrency", Minimum(0)),
    ("ProxyConfig.concurrency", Nullable),
    ("ProxyConfig.environmentVariables{}", MaxLength(2048)),
];
