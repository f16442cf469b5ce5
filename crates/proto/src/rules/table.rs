//! The rules of all messages as plain structs.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::FieldDescriptor;

use super::{limits::Limits, text::Text};
use crate::validate;

/// The rules of all messages.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) shapes: Vec<Shape>,
    pub(super) by_name: BTreeMap<String, usize>,
    /// Fields with a rule that is not checked, for the tests.
    pub(super) skipped: Vec<String>,
}

/// The rules of one message.
#[derive(Debug, Default)]
pub(super) struct Shape {
    pub(super) fields: Vec<Field>,
    pub(super) choices: Vec<Choice>,
}

/// A oneof of which one member must be set.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) name: String,
    pub(super) members: Vec<FieldDescriptor>,
}

/// One field that has rules or leads to some.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) descriptor: FieldDescriptor,
    pub(super) name: String,
    pub(super) rule: Rule,
    pub(super) target: Target,
    /// Proxies refuse the field, whatever it holds.
    pub(super) refused: bool,
}

/// What the field, each item or each map value is.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Scalar,
    /// An enum of which these numbers are refused, with their names.
    Enum(BTreeMap<i32, String>),
    Duration,
    Any,
    Wrapper,
    Message(usize),
}

/// The rules on one value.
#[derive(Debug, Default)]
pub(super) struct Rule {
    /// A message that must be there.
    pub(super) required: bool,
    /// A message that is not looked into.
    pub(super) skip: bool,
    pub(super) check: Check,
}

/// What a value must be.
#[derive(Debug, Default)]
pub(super) enum Check {
    #[default]
    Nothing,
    Integer(Limits<i128>),
    Float(Limits<f64>),
    Bool(bool),
    Text(Box<Text>),
    Bytes(Box<validate::BytesRules>),
    Enum {
        limits: Limits<i128>,
        /// The numbers that have a name, when only those are allowed.
        defined: Option<BTreeSet<i32>>,
    },
    Duration(Box<Limits<i128>>),
    Any {
        one_of: Vec<String>,
        none_of: Vec<String>,
    },
    List {
        rules: validate::RepeatedRules,
        items: Box<Rule>,
    },
    Map {
        rules: validate::MapRules,
        keys: Box<Rule>,
        values: Box<Rule>,
    },
}

impl Field {
    /// Whether a value can break anything, given which messages can.
    pub(super) fn matters(&self, live: &[bool]) -> bool {
        let below = match &self.target {
            Target::Any | Target::Duration => true,
            Target::Enum(refused) => !refused.is_empty(),
            Target::Message(index) => live.get(*index).copied().unwrap_or(true),
            Target::Scalar | Target::Wrapper => false,
        };
        below || self.refused || self.rule.required || !matches!(self.rule.check, Check::Nothing)
    }
}
