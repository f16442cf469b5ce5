//! Reads the rules out of the descriptors, once.
//!
//! Messages below which no rule can ever be broken (a `Struct`, say) are marked, and fields that
//! lead only to such messages are left out, so a walk visits little.

use std::collections::BTreeMap;

use prost_reflect::{
    DescriptorPool, DynamicMessage, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, Kind,
    MessageDescriptor, Value,
};

use super::{
    limits::{Limits, nanos_of},
    table::{Check, Choice, Field, Rule, Shape, Table, Target},
    text::Text,
};
use crate::{google::protobuf as pb, validate, validate::field_rules::Type};

/// The extensions in which rules are kept.
struct Options {
    rules: Option<ExtensionDescriptor>,
    required: Option<ExtensionDescriptor>,
    disabled: Option<ExtensionDescriptor>,
    ignored: Option<ExtensionDescriptor>,
    refused: Option<ExtensionDescriptor>,
    refused_value: Option<ExtensionDescriptor>,
}

/// The rules of every message in the pool.
pub(super) fn table(pool: &DescriptorPool) -> Table {
    let options = Options {
        rules: pool.get_extension_by_name("validate.rules"),
        required: pool.get_extension_by_name("validate.required"),
        disabled: pool.get_extension_by_name("validate.disabled"),
        ignored: pool.get_extension_by_name("validate.ignored"),
        refused: pool.get_extension_by_name("envoy.annotations.disallowed_by_default"),
        refused_value: pool.get_extension_by_name("envoy.annotations.disallowed_by_default_enum"),
    };
    let messages: Vec<MessageDescriptor> = pool
        .all_messages()
        .filter(|message| !message.is_map_entry())
        .collect();
    let mut table = Table::default();
    for (index, message) in messages.iter().enumerate() {
        table.by_name.insert(message.full_name().to_owned(), index);
    }
    for message in &messages {
        let shape = options.shape(message, &mut table);
        table.shapes.push(shape);
    }
    prune(&mut table.shapes);
    table
}

impl Options {
    fn shape(&self, message: &MessageDescriptor, table: &mut Table) -> Shape {
        let of_message = message.options();
        if flag(&of_message, self.disabled.as_ref()) || flag(&of_message, self.ignored.as_ref()) {
            return Shape::default();
        }
        let choices = message
            .oneofs()
            .filter(|oneof| flag(&oneof.options(), self.required.as_ref()))
            .map(|oneof| Choice {
                name: oneof.name().to_owned(),
                members: oneof.fields().collect(),
            })
            .collect();
        let fields = message
            .fields()
            .map(|field| self.field(field, table))
            .collect();
        Shape { fields, choices }
    }

    fn field(&self, descriptor: FieldDescriptor, table: &mut Table) -> Field {
        let options = descriptor.options();
        let entry = descriptor
            .kind()
            .as_message()
            .filter(|_| descriptor.is_map())
            .cloned();
        let kind = entry.map_or_else(
            || descriptor.kind(),
            |entry| entry.map_entry_value_field().kind(),
        );
        let mut compiler = Compiler {
            enums: kind.as_enum().cloned(),
            understood: true,
        };
        let mut rule = self
            .rules_of(&options)
            .map(|rules| compiler.rule(rules))
            .unwrap_or_default();
        // The unchosen members of a oneof are no omission.
        rule.required &= descriptor.containing_oneof().is_none();
        if !compiler.understood {
            table.skipped.push(descriptor.full_name().to_owned());
        }
        Field {
            name: descriptor.name().to_owned(),
            target: self.target(&kind, table),
            refused: flag(&options, self.refused.as_ref()),
            rule,
            descriptor,
        }
    }

    fn rules_of(&self, options: &DynamicMessage) -> Option<validate::FieldRules> {
        let extension = self.rules.as_ref()?;
        if !options.has_extension(extension) {
            return None;
        }
        options
            .get_extension(extension)
            .as_message()?
            .transcode_to()
            .ok()
    }

    fn target(&self, kind: &Kind, table: &Table) -> Target {
        if let Some(names) = kind.as_enum() {
            return Target::Enum(self.refused_values(names));
        }
        let Some(message) = kind.as_message() else {
            return Target::Scalar;
        };
        match message.full_name() {
            "google.protobuf.Any" => Target::Any,
            "google.protobuf.Duration" => Target::Duration,
            name if message.package_name() == "google.protobuf" && name.ends_with("Value") => {
                Target::Wrapper
            }
            name => table
                .by_name
                .get(name)
                .map_or(Target::Scalar, |index| Target::Message(*index)),
        }
    }

    fn refused_values(&self, names: &EnumDescriptor) -> BTreeMap<i32, String> {
        names
            .values()
            .filter(|value| flag(&value.options(), self.refused_value.as_ref()))
            .map(|value| (value.number(), value.name().to_owned()))
            .collect()
    }
}

fn flag(options: &DynamicMessage, extension: Option<&ExtensionDescriptor>) -> bool {
    extension.is_some_and(|extension| {
        options.has_extension(extension)
            && options.get_extension(extension).as_ref() == &Value::Bool(true)
    })
}

/// Translates the rules of one field.
struct Compiler {
    enums: Option<EnumDescriptor>,
    understood: bool,
}

/// Limits from number rules of any width.
macro_rules! limits {
    ($rules:expr, $convert:expr) => {{
        let rules = $rules;
        let convert = $convert;
        Limits {
            exactly: rules.r#const.map(convert),
            gt: rules.gt.map(convert),
            gte: rules.gte.map(convert),
            lt: rules.lt.map(convert),
            lte: rules.lte.map(convert),
            one_of: rules.r#in.into_iter().map(convert).collect(),
            none_of: rules.not_in.into_iter().map(convert).collect(),
            ignore_zero: rules.ignore_empty.unwrap_or(false),
        }
    }};
}

impl Compiler {
    fn rule(&mut self, rules: validate::FieldRules) -> Rule {
        let message = rules.message.unwrap_or_default();
        let mut rule = Rule {
            required: message.required(),
            skip: message.skip(),
            check: Check::Nothing,
        };
        rule.required |= match &rules.r#type {
            Some(Type::Any(any)) => any.required(),
            Some(Type::Duration(duration)) => duration.required(),
            Some(Type::Timestamp(timestamp)) => timestamp.required(),
            _ => false,
        };
        rule.check = rules.r#type.map_or(Check::Nothing, |kind| self.check(kind));
        rule
    }

    fn check(&mut self, kind: Type) -> Check {
        match kind {
            Type::Float(rules) => Check::Float(limits!(rules, f64::from)),
            Type::Double(rules) => Check::Float(limits!(rules, |value: f64| value)),
            Type::Int32(rules) => Check::Integer(limits!(rules, i128::from)),
            Type::Int64(rules) => Check::Integer(limits!(rules, i128::from)),
            Type::Uint32(rules) => Check::Integer(limits!(rules, i128::from)),
            Type::Uint64(rules) => Check::Integer(limits!(rules, i128::from)),
            Type::Sint32(rules) => Check::Integer(limits!(rules, i128::from)),
            Type::Sint64(rules) => Check::Integer(limits!(rules, i128::from)),
            Type::Fixed32(rules) => Check::Integer(limits!(rules, i128::from)),
            Type::Fixed64(rules) => Check::Integer(limits!(rules, i128::from)),
            Type::Sfixed32(rules) => Check::Integer(limits!(rules, i128::from)),
            Type::Sfixed64(rules) => Check::Integer(limits!(rules, i128::from)),
            Type::Bool(rules) => rules.r#const.map_or(Check::Nothing, Check::Bool),
            Type::String(rules) => {
                let (text, understood) = Text::new(rules);
                self.understood &= understood;
                Check::Text(Box::new(text))
            }
            Type::Bytes(rules) => self.bytes(rules),
            Type::Enum(rules) => self.enumeration(rules),
            Type::Repeated(mut rules) => {
                let items = rules
                    .items
                    .take()
                    .map(|items| self.rule(*items))
                    .unwrap_or_default();
                Check::List {
                    rules: *rules,
                    items: Box::new(items),
                }
            }
            Type::Map(rules) => self.map(*rules),
            Type::Any(rules) => Check::Any {
                one_of: rules.r#in,
                none_of: rules.not_in,
            },
            Type::Duration(rules) => Check::Duration(Box::new(duration(rules))),
            Type::Timestamp(rules) => {
                let only_required = validate::TimestampRules {
                    required: rules.required,
                    ..Default::default()
                };
                self.understood &= rules == only_required;
                Check::Nothing
            }
        }
    }

    fn bytes(&mut self, rules: validate::BytesRules) -> Check {
        let lengths_only = validate::BytesRules {
            len: rules.len,
            min_len: rules.min_len,
            max_len: rules.max_len,
            ignore_empty: rules.ignore_empty,
            ..Default::default()
        };
        self.understood &= rules == lengths_only;
        Check::Bytes(Box::new(lengths_only))
    }

    fn enumeration(&self, rules: validate::EnumRules) -> Check {
        let names = self.enums.as_ref().filter(|_| rules.defined_only());
        let defined = names.map(|names| names.values().map(|value| value.number()).collect());
        let limits = Limits {
            exactly: rules.r#const.map(i128::from),
            one_of: rules.r#in.into_iter().map(i128::from).collect(),
            none_of: rules.not_in.into_iter().map(i128::from).collect(),
            ..Limits::default()
        };
        Check::Enum { limits, defined }
    }

    fn map(&mut self, mut rules: validate::MapRules) -> Check {
        let keys = rules
            .keys
            .take()
            .map(|keys| self.rule(*keys))
            .unwrap_or_default();
        let values = rules
            .values
            .take()
            .map(|values| self.rule(*values))
            .unwrap_or_default();
        self.understood &= !rules.no_sparse();
        Check::Map {
            rules,
            keys: Box::new(keys),
            values: Box::new(values),
        }
    }
}

fn duration(rules: validate::DurationRules) -> Limits<i128> {
    let nanos = |value: pb::Duration| nanos_of(value.seconds, value.nanos);
    Limits {
        exactly: rules.r#const.map(nanos),
        gt: rules.gt.map(nanos),
        gte: rules.gte.map(nanos),
        lt: rules.lt.map(nanos),
        lte: rules.lte.map(nanos),
        one_of: rules.r#in.into_iter().map(nanos).collect(),
        none_of: rules.not_in.into_iter().map(nanos).collect(),
        ignore_zero: false,
    }
}

/// Leaves out the fields below which nothing can be broken.
fn prune(shapes: &mut [Shape]) {
    let mut live: Vec<bool> = shapes
        .iter()
        .map(|shape| !shape.choices.is_empty())
        .collect();
    loop {
        let next: Vec<bool> = shapes
            .iter()
            .zip(&live)
            .map(|(shape, was)| *was || shape.fields.iter().any(|field| field.matters(&live)))
            .collect();
        if next == live {
            break;
        }
        live = next;
    }
    for shape in shapes {
        shape.fields.retain(|field| field.matters(&live));
    }
}
