//! Checks messages against the validation rules that Envoy compiles in.
//!
//! The rules are options in the descriptor set (`validate.rules`, `validate.required`); Envoy
//! refuses a resource that breaks one. They are read once into plain structs, then a message is
//! walked by reflection, into nested messages and known `Any`s. Two things go beyond the options:
//! fields that Envoy refuses because they are long deprecated, and durations that are malformed,
//! negative or beyond what Envoy can hold. Rules about several fields at once are not here.

use std::sync::LazyLock;

mod compile;
mod limits;
mod table;
mod text;
mod walk;

static TABLE: LazyLock<table::Table> = LazyLock::new(|| compile::table(crate::pool::pool()));

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Where: `virtual_hosts[0].routes[2].direct_response.status`, empty for the whole message.
    /// Fields of a message inside an `Any` follow its field directly.
    pub path: String,
    /// What is wrong, after the path: `must be less than 600, not 600`.
    pub message: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{} {}", self.path, self.message)
        }
    }
}

/// The most violations that one message is told.
pub const MAX_VIOLATIONS: usize = 64;

/// The rules that the encoded message breaks, in field order; empty when a proxy would take it.
///
/// Bytes that are no such message and a message that is not compiled in are violations as well.
#[must_use]
pub fn violations(type_name: &str, body: &[u8]) -> Vec<Violation> {
    walk::violations(&TABLE, type_name, body)
}

/// As [`violations`], for a whole type address.
#[must_use]
pub fn violations_of(resource: &crate::resource::Encoded) -> Vec<Violation> {
    violations(crate::urls::message_name(resource.type_url), &resource.body)
}

/// As [`violations`], for a message that is open already.
#[must_use]
pub fn violations_in(message: &prost_reflect::DynamicMessage) -> Vec<Violation> {
    walk::violations_in(&TABLE, message)
}

#[cfg(test)]
mod tests;
