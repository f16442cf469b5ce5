//! From a tree to a type: a serde deserializer that knows paths and positions.
//!
//! It never stops at the first mistake: unknown fields are collected, and a value that cannot be
//! read is noted, left out, and the rest is read again. A null below a struct is an absent field,
//! as at an API server.

use super::problem::{Problem, Wrong};
use super::scalar::Scalar;
use super::tree::{Entry, Mark, Node, Value};
use meltemi_types::FieldPath;
use serde::de::{self, DeserializeOwned, Error as _, IntoDeserializer, Unexpected, Visitor};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many values may be left out before reading stops.
const MAX_WRONG: usize = 50;

/// Reads `node`, which stands at `path`, as a `T`. The value is there only when nothing had to
/// be left out; the problems are complete either way.
pub(crate) fn read<T: DeserializeOwned>(
    node: &Node,
    path: &FieldPath,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let root = Step::Root(path);
    let mut skipped = BTreeSet::new();
    loop {
        let notes = Notes {
            unknown: RefCell::default(),
            skipped: &skipped,
        };
        let reader = Reader {
            node,
            step: root,
            notes: &notes,
        };
        let result = T::deserialize(reader);
        let wrong = match result {
            Ok(value) => {
                problems.extend(notes.unknown.into_inner());
                return skipped.is_empty().then_some(value);
            }
            Err(wrong) => wrong,
        };
        let place = wrong
            .place
            .as_ref()
            .map_or_else(|| path.clone(), |(path, _)| path.clone());
        // A field that is missing because its value was left out is no news.
        let known = wrong
            .missing()
            .is_some_and(|field| skipped.contains(&field));
        if !known {
            problems.push(wrong.problem(find(node, path, &place)));
        }
        let unknown = notes.unknown.into_inner();
        if place == *path || skipped.len() >= MAX_WRONG || !skipped.insert(place) {
            problems.extend(unknown);
            return None;
        }
    }
}

/// The node at `path`, below `node` which stands at `base`.
pub(crate) fn find<'a>(node: &'a Node, base: &FieldPath, path: &FieldPath) -> Option<&'a Node> {
    let mut rest = path.as_str().strip_prefix(base.as_str())?;
    let mut node = node;
    while !rest.is_empty() {
        match &node.value {
            Value::Scalar(..) => return None,
            Value::List(items) => {
                let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
                node = items.get(index.parse::<usize>().ok()?)?;
                rest = after;
            }
            Value::Map(entries) => {
                let text = rest.strip_prefix('.').unwrap_or(rest);
                let ends = |after: &str| after.is_empty() || after.starts_with(['.', '[']);
                let (entry, after) = entries
                    .iter()
                    .filter_map(|entry| Some((entry, text.strip_prefix(&*entry.key)?)))
                    .filter(|(_, after)| ends(after))
                    .max_by_key(|(entry, _)| entry.key.len())?;
                node = &entry.node;
                rest = after;
            }
        }
    }
    Some(node)
}

struct Notes<'a> {
    unknown: RefCell<Vec<Problem>>,
    skipped: &'a BTreeSet<FieldPath>,
}

/// Where the reader stands: a list of steps back to the root.
#[derive(Clone, Copy)]
enum Step<'a> {
    Root(&'a FieldPath),
    Field(&'a Step<'a>, &'a str),
    Index(&'a Step<'a>, usize),
}

impl Step<'_> {
    fn path(&self) -> FieldPath {
        match self {
            Self::Root(path) => (*path).clone(),
            Self::Field(above, name) => above.path().field(name),
            Self::Index(above, index) => above.path().index(*index),
        }
    }
}

#[derive(Clone, Copy)]
struct Reader<'a, 's> {
    node: &'a Node,
    step: Step<'s>,
    notes: &'s Notes<'s>,
}

impl<'a> Reader<'a, '_> {
    fn wrong(&self, wrong: Wrong) -> Wrong {
        wrong.at(|| (self.step.path(), self.node.at))
    }

    fn any<V: Visitor<'a>>(self, fields: Option<&[&str]>, visitor: V) -> Result<V::Value, Wrong> {
        let result = match &self.node.value {
            Value::Scalar(scalar, text) => match scalar {
                Scalar::Null => visitor.visit_unit(),
                Scalar::Bool(value) => visitor.visit_bool(*value),
                Scalar::Unsigned(value) => visitor.visit_u64(*value),
                Scalar::Signed(value) => visitor.visit_i64(*value),
                Scalar::Float(value) => visitor.visit_f64(*value),
                Scalar::Text => visitor.visit_borrowed_str(&text.text),
            },
            Value::List(items) => visitor.visit_seq(Items {
                reader: self,
                items: items.iter().enumerate(),
            }),
            Value::Map(entries) => visitor.visit_map(Fields {
                reader: self,
                entries: entries.iter(),
                next: None,
                known: fields,
            }),
        };
        result.map_err(|wrong| self.wrong(wrong))
    }
}

macro_rules! forward {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            self.any(None, visitor)
        })*
    };
}

impl<'de> de::Deserializer<'de> for Reader<'de, '_> {
    type Error = Wrong;

    forward! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32
        deserialize_i64 deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32
        deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
        deserialize_unit deserialize_seq deserialize_map deserialize_identifier
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.node.is_null() {
            return visitor.visit_none();
        }
        visitor.visit_some(self).map_err(|wrong| self.wrong(wrong))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.any(None, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        // The API server takes `cpu: 2` as well as `cpu: "2"`.
        if name == "Quantity"
            && let Value::Scalar(Scalar::Unsigned(_) | Scalar::Float(_), text) = &self.node.value
        {
            let text = de::value::BorrowedStrDeserializer::new(&text.text);
            return visitor.visit_newtype_struct(text);
        }
        visitor
            .visit_newtype_struct(self)
            .map_err(|wrong| self.wrong(wrong))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.any(None, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.any(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        // A sequence would be taken as the fields in order.
        if let Value::List(_) = self.node.value {
            return Err(self.wrong(Wrong::invalid_type(Unexpected::Seq, &visitor)));
        }
        // `- ` in a list of messages is an empty message, to Istio as well.
        if self.node.is_null() {
            let fields = Fields {
                reader: self,
                entries: [].iter(),
                next: None,
                known: Some(fields),
            };
            return visitor.visit_map(fields).map_err(|wrong| self.wrong(wrong));
        }
        self.any(Some(fields), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let result = match &self.node.value {
            Value::Scalar(Scalar::Text, text) => {
                visitor.visit_enum((*text.text).into_deserializer())
            }
            Value::Map(entries) => match entries.as_slice() {
                [entry] => visitor.visit_enum(Variant {
                    entry,
                    reader: self,
                }),
                _ => Err(Wrong::invalid_type(
                    Unexpected::Map,
                    &"an object with one field",
                )),
            },
            Value::Scalar(..) | Value::List(_) => {
                Err(Wrong::invalid_type(Unexpected::Unit, &"a string"))
            }
        };
        result.map_err(|wrong| self.wrong(wrong))
    }
}

struct Items<'a, 's> {
    reader: Reader<'a, 's>,
    items: std::iter::Enumerate<std::slice::Iter<'a, Arc<Node>>>,
}

impl<'de> de::SeqAccess<'de> for Items<'de, '_> {
    type Error = Wrong;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Wrong> {
        let notes = self.reader.notes;
        for (index, node) in self.items.by_ref() {
            let step = Step::Index(&self.reader.step, index);
            if !notes.skipped.is_empty() && notes.skipped.contains(&step.path()) {
                continue;
            }
            let reader = Reader { node, step, notes };
            return seed
                .deserialize(reader)
                .map(Some)
                .map_err(|wrong| reader.wrong(wrong));
        }
        Ok(None)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Fields<'a, 's> {
    reader: Reader<'a, 's>,
    entries: std::slice::Iter<'a, Entry>,
    next: Option<&'a Entry>,
    known: Option<&'s [&'s str]>,
}

impl Fields<'_, '_> {
    /// True when the entry is passed over; an unknown field is noted.
    fn skip(&self, entry: &Entry) -> bool {
        let Some(known) = self.known else {
            return self.left_out(entry);
        };
        if !known.contains(&&*entry.key) {
            let path = self.reader.step.path().field(&entry.key);
            let problem = Problem::unknown_field(path, &entry.key, known).at(entry.at);
            self.reader.notes.unknown.borrow_mut().push(problem);
            return true;
        }
        entry.node.is_null() || self.left_out(entry)
    }

    fn left_out(&self, entry: &Entry) -> bool {
        let skipped = self.reader.notes.skipped;
        !skipped.is_empty() && skipped.contains(&self.reader.step.path().field(&entry.key))
    }
}

impl<'de> de::MapAccess<'de> for Fields<'de, '_> {
    type Error = Wrong;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        while let Some(entry) = self.entries.next() {
            if self.skip(entry) {
                continue;
            }
            self.next = Some(entry);
            let place = |at: Mark| (self.reader.step.path().field(&entry.key), at);
            return seed
                .deserialize(de::value::BorrowedStrDeserializer::new(&entry.key))
                .map(Some)
                .map_err(|wrong: Wrong| wrong.at(|| place(entry.at)));
        }
        Ok(None)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let Some(entry) = self.next.take() else {
            return Err(Wrong::custom("a value without a key"));
        };
        let reader = Reader {
            node: &entry.node,
            step: Step::Field(&self.reader.step, &entry.key),
            notes: self.reader.notes,
        };
        seed.deserialize(reader)
            .map_err(|wrong| reader.wrong(wrong))
    }
}

/// An enum variant with content: `{name: content}`.
struct Variant<'a, 's> {
    entry: &'a Entry,
    reader: Reader<'a, 's>,
}

impl<'de, 's> de::EnumAccess<'de> for Variant<'de, 's> {
    type Error = Wrong;
    type Variant = Self;

    fn variant_seed<V: de::DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Wrong> {
        let key = de::value::BorrowedStrDeserializer::new(&self.entry.key);
        Ok((
            seed.deserialize::<de::value::BorrowedStrDeserializer<'_, Wrong>>(key)?,
            self,
        ))
    }
}

impl<'de, 's> de::VariantAccess<'de> for Variant<'de, 's> {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        Err(Wrong::invalid_type(Unexpected::Map, &"a string"))
    }

    fn newtype_variant_seed<T: de::DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Wrong> {
        let reader = Reader {
            node: &self.entry.node,
            step: Step::Field(&self.reader.step, &self.entry.key),
            notes: self.reader.notes,
        };
        seed.deserialize(reader)
            .map_err(|wrong| reader.wrong(wrong))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Wrong> {
        Err(Wrong::invalid_type(Unexpected::TupleVariant, &visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        Err(Wrong::invalid_type(Unexpected::StructVariant, &visitor))
    }
}
