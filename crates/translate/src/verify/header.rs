//! Changes of headers. Envoy refuses to change `host` and pseudo headers this way, and reads every
//! value as a format.

use super::report::Report;
use crate::format::{self, Operators};
use meltemi_proto::envoy::config::core::v3::{HeaderValue, HeaderValueOption};

/// A header that is set, appended or overwritten.
pub(super) fn option(option: &HeaderValueOption, operators: Operators, report: &mut Report) {
    if let Some(header) = &option.header {
        report.at("header", |report| value(header, operators, report));
    }
}

/// A header and its value.
pub(super) fn value(header: &HeaderValue, operators: Operators, report: &mut Report) {
    report.at("key", |report| {
        if is_fixed(&header.key) {
            report.add(format!(
                "must not be {:?}: host and headers that start with a colon cannot be changed, \
                 use a rewrite",
                header.key
            ));
        }
    });
    report.at("value", |report| {
        report.add_some(format::problem(&header.value, operators));
    });
}

/// What is wrong with removing a header.
pub(super) fn removal(name: &str) -> Option<String> {
    is_fixed(name).then(|| {
        format!("must not be {name:?}: host and headers that start with a colon cannot be removed")
    })
}

fn is_fixed(name: &str) -> bool {
    name.starts_with(':') || name.eq_ignore_ascii_case("host")
}
