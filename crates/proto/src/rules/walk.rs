//! Walks a message and reports every broken rule.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write,
};

use prost_reflect::{DynamicMessage, MapKey, ReflectMessage, Value};

use super::{
    MAX_VIOLATIONS, Violation,
    limits::{broken_duration, nanos_of, show_nanos},
    table::{Check, Choice, Field, Rule, Shape, Table, Target},
    text::{broken_bytes, broken_count},
};
use crate::{pool, urls};

/// The rules that the encoded message breaks.
pub(super) fn violations(table: &Table, type_name: &str, body: &[u8]) -> Vec<Violation> {
    match pool::decode(type_name, body) {
        Ok(message) => violations_in(table, &message),
        Err(error) => {
            let mut walk = Walk::new(table);
            walk.report(error.to_string());
            walk.found
        }
    }
}

/// The rules that the message breaks.
pub(super) fn violations_in(table: &Table, message: &DynamicMessage) -> Vec<Violation> {
    let mut walk = Walk::new(table);
    let descriptor = message.descriptor();
    match table.by_name.get(descriptor.full_name()) {
        Some(index) => walk.message(*index, message),
        None => walk.report(format!("is an unknown message {}", descriptor.full_name())),
    }
    walk.found
}

struct Walk<'a> {
    table: &'a Table,
    path: String,
    /// How many messages the walk is in.
    depth: usize,
    found: Vec<Violation>,
}

impl<'a> Walk<'a> {
    fn new(table: &'a Table) -> Self {
        Self {
            table,
            path: String::new(),
            depth: 0,
            found: Vec::new(),
        }
    }

    fn report(&mut self, message: String) {
        if self.found.len() < MAX_VIOLATIONS {
            self.found.push(Violation {
                path: self.path.clone(),
                message,
            });
        }
    }

    fn report_some(&mut self, message: Option<String>) {
        if let Some(message) = message {
            self.report(message);
        }
    }

    /// Does something with the path grown by a step.
    fn step(&mut self, name: &str, act: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if length > 0 && !name.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(name);
        act(self);
        self.path.truncate(length);
    }

    /// Does something one message deeper, if that is not too deep.
    fn deeper(&mut self, act: impl FnOnce(&mut Self)) {
        if self.depth > pool::MAX_DEPTH {
            return self.report(pool::Error::TooDeep.to_string());
        }
        self.depth += 1;
        act(self);
        self.depth -= 1;
    }

    fn message(&mut self, shape: usize, message: &DynamicMessage) {
        let table: &'a Table = self.table;
        let Some(Shape { fields, choices }) = table.shapes.get(shape) else {
            return;
        };
        self.deeper(|walk| {
            for choice in choices {
                walk.choice(choice, message);
            }
            for field in fields {
                walk.field(field, message);
            }
        });
    }

    fn choice(&mut self, choice: &Choice, message: &DynamicMessage) {
        if !choice
            .members
            .iter()
            .any(|member| message.has_field(member))
        {
            let names: Vec<&str> = choice.members.iter().map(|member| member.name()).collect();
            self.step(&choice.name, |walk| {
                walk.report(format!("must be set to one of {}", names.join(", ")));
            });
        }
    }

    fn field(&mut self, field: &'a Field, message: &DynamicMessage) {
        let set = message.has_field(&field.descriptor);
        if !set && field.descriptor.supports_presence() {
            if field.rule.required {
                self.step(&field.name, |walk| walk.report("must be set".to_owned()));
            }
            return;
        }
        if !set && matches!(field.rule.check, Check::Nothing) {
            return;
        }
        let value = message.get_field(&field.descriptor);
        self.step(&field.name, |walk| {
            if set && field.refused {
                walk.report("is a deprecated field that proxies refuse".to_owned());
            }
            walk.value(&field.rule, &field.target, &value);
        });
    }

    fn value(&mut self, rule: &'a Rule, target: &'a Target, value: &Value) {
        match value {
            Value::List(items) => self.list(rule, target, items),
            Value::Map(entries) => self.map(rule, target, entries),
            Value::Message(message) => self.nested(rule, target, message),
            Value::EnumNumber(number) => self.enumeration(rule, target, *number),
            Value::Bool(_)
            | Value::I32(_)
            | Value::I64(_)
            | Value::U32(_)
            | Value::U64(_)
            | Value::F32(_)
            | Value::F64(_)
            | Value::String(_)
            | Value::Bytes(_) => self.report_some(broken_scalar(&rule.check, value)),
        }
    }

    fn list(&mut self, rule: &'a Rule, target: &'a Target, items: &[Value]) {
        let mut each = Option::<&Rule>::None;
        if let Check::List {
            rules,
            items: item_rule,
        } = &rule.check
        {
            each = Some(item_rule);
            if !(rules.ignore_empty() && items.is_empty()) {
                let limits = (rules.min_items, rules.max_items);
                self.report_some(broken_count(items.len(), limits, "item"));
            }
            if rules.unique() {
                let distinct: BTreeSet<String> =
                    items.iter().map(|item| format!("{item:?}")).collect();
                if distinct.len() < items.len() {
                    self.report("must not have an item twice".to_owned());
                }
            }
        }
        for (index, item) in items.iter().enumerate() {
            let length = self.path.len();
            // Writing to a string cannot fail.
            let _ = write!(self.path, "[{index}]");
            self.value(each.unwrap_or(&NO_RULE), target, item);
            self.path.truncate(length);
        }
    }

    fn map(&mut self, rule: &'a Rule, target: &'a Target, entries: &HashMap<MapKey, Value>) {
        let mut each = (&NO_RULE, &NO_RULE);
        if let Check::Map {
            rules,
            keys,
            values,
        } = &rule.check
        {
            each = (keys, values);
            if !(rules.ignore_empty() && entries.is_empty()) {
                let limits = (rules.min_pairs, rules.max_pairs);
                self.report_some(broken_count(entries.len(), limits, "entry"));
            }
        }
        let mut sorted: Vec<_> = entries.iter().collect();
        sorted.sort_by_key(|(key, _)| *key);
        for (key, value) in sorted {
            let key = Value::from(key.clone());
            let shown = key
                .as_str()
                .map_or_else(|| format!("[{key}]"), |key| format!("[{key:?}]"));
            self.step(&shown, |walk| {
                walk.value(each.0, &Target::Scalar, &key);
                walk.value(each.1, target, value);
            });
        }
    }

    fn enumeration(&mut self, rule: &'a Rule, target: &'a Target, number: i32) {
        if let Check::Enum { limits, defined } = &rule.check {
            self.report_some(limits.broken(i128::from(number), |value| value.to_string()));
            if defined
                .as_ref()
                .is_some_and(|defined| !defined.contains(&number))
            {
                self.report(format!("must be a number that has a name, not {number}"));
            }
        }
        if let Target::Enum(refused) = target
            && let Some(name) = refused.get(&number)
        {
            self.report(format!(
                "must not be {name}, which is deprecated and refused by proxies"
            ));
        }
    }

    fn nested(&mut self, rule: &'a Rule, target: &'a Target, message: &DynamicMessage) {
        match target {
            Target::Message(shape) if !rule.skip => self.message(*shape, message),
            Target::Duration => self.duration(&rule.check, message),
            Target::Any => self.any(rule, message),
            Target::Wrapper => {
                if let Some(inner) = message.get_field_by_number(1) {
                    self.value(rule, &Target::Scalar, &inner);
                }
            }
            Target::Message(_) | Target::Scalar | Target::Enum(_) => {}
        }
    }

    fn duration(&mut self, check: &Check, message: &DynamicMessage) {
        let seconds = message
            .get_field_by_number(1)
            .and_then(|value| value.as_i64());
        let nanos = message
            .get_field_by_number(2)
            .and_then(|value| value.as_i32());
        let (seconds, nanos) = (seconds.unwrap_or(0), nanos.unwrap_or(0));
        let limits = if let Check::Duration(limits) = check {
            limits.broken(nanos_of(seconds, nanos), show_nanos)
        } else {
            None
        };
        self.report_some(limits.or_else(|| broken_duration(seconds, nanos)));
    }

    fn any(&mut self, rule: &'a Rule, message: &DynamicMessage) {
        let url = message.get_field_by_number(1);
        let url = url.as_deref().and_then(Value::as_str).unwrap_or_default();
        if let Check::Any { one_of, none_of } = &rule.check {
            if !one_of.is_empty() && !one_of.iter().any(|one| one == url) {
                self.report(format!("must be one of {}, not {url:?}", one_of.join(", ")));
            }
            if none_of.iter().any(|one| one == url) {
                self.report(format!("must not be {url:?}"));
            }
        }
        let name = urls::message_name(url);
        let Some(shape) = self.table.by_name.get(name).copied().filter(|_| !rule.skip) else {
            return;
        };
        let value = message.get_field_by_number(2);
        let bytes = value
            .as_deref()
            .and_then(Value::as_bytes)
            .cloned()
            .unwrap_or_default();
        match pool::decode(name, &bytes) {
            Ok(inner) if inner.descriptor().full_name() == ANY => {
                self.deeper(|walk| walk.any(&NO_RULE, &inner))
            }
            Ok(inner) => self.message(shape, &inner),
            Err(error) => self.report(error.to_string()),
        }
    }
}

const ANY: &str = "google.protobuf.Any";

static NO_RULE: Rule = Rule {
    required: false,
    skip: false,
    check: Check::Nothing,
};

fn broken_scalar(check: &Check, value: &Value) -> Option<String> {
    match check {
        Check::Integer(limits) => limits.broken(integer(value)?, |value| value.to_string()),
        Check::Float(limits) => {
            let number = value.as_f64().or_else(|| value.as_f32().map(f64::from))?;
            limits.broken(number, |value| value.to_string())
        }
        Check::Bool(wanted) => (value.as_bool()? != *wanted).then(|| format!("must be {wanted}")),
        Check::Text(text) => text.broken(value.as_str()?),
        Check::Bytes(rules) => broken_bytes(rules, value.as_bytes()?),
        Check::Nothing
        | Check::Enum { .. }
        | Check::Duration(_)
        | Check::Any { .. }
        | Check::List { .. }
        | Check::Map { .. } => None,
    }
}

fn integer(value: &Value) -> Option<i128> {
    value
        .as_i32()
        .map(i128::from)
        .or_else(|| value.as_u32().map(i128::from))
        .or_else(|| value.as_i64().map(i128::from))
        .or_else(|| value.as_u64().map(i128::from))
}
