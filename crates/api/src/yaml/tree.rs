//! The text of a document as a tree in which every node knows its line and column.
//!
//! Aliases share their anchor's node; how large and how deep a document becomes when they are
//! followed is counted while the tree grows, so a bomb of aliases is refused before anything
//! walks it. Duplicate keys are collected, all of them. `<<` merges as in YAML 1.1.

use super::scalar::{self, Scalar};
use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag, options};
use meltemi_types::FieldPath;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Nodes of one document, aliases followed. A mesh of 500 services in one file has 200,000.
const MAX_NODES: u32 = 2_000_000;
/// How deep a document may nest, aliases followed.
const MAX_DEPTH: u16 = 100;

/// A line and a column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// A value and where it starts.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: Mark,
    size: u32,
    depth: u16,
}

/// What a node holds.
#[derive(Debug)]
pub(crate) enum Value {
    Scalar(Scalar, Text),
    List(Vec<Arc<Node>>),
    Map(Vec<Entry>),
}

/// The text of a scalar.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) text: Box<str>,
    /// For a literal block (`|`), whose lines are the source's lines: the first of them, and how
    /// far they are indented.
    pub(crate) lines: Option<Mark>,
}

/// A key of a mapping, where the key stands, and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Box<str>,
    pub(crate) at: Mark,
    pub(crate) node: Arc<Node>,
}

/// A document that does not parse, or a key that is there twice.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) path: FieldPath,
    pub(crate) at: Mark,
    pub(crate) message: String,
}

impl Node {
    pub(super) fn new(value: Value, at: Mark) -> Self {
        let (size, depth) = match &value {
            Value::Scalar(..) => (0, 0),
            Value::List(items) => extent(items.iter()),
            Value::Map(entries) => extent(entries.iter().map(|entry| &entry.node)),
        };
        Self {
            value,
            at,
            size: size.saturating_add(1),
            depth: depth.saturating_add(1),
        }
    }

    /// An empty mapping.
    pub(crate) fn empty(at: Mark) -> Self {
        Self::new(Value::Map(Vec::new()), at)
    }

    /// The value of a key, when this is a mapping that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| &*entry.key == key),
            Value::Scalar(..) | Value::List(_) => None,
        }
    }

    /// The node below a key that is there and not null.
    pub(crate) fn child(&self, key: &str) -> Option<&Arc<Self>> {
        self.entry(key)
            .map(|entry| &entry.node)
            .filter(|node| !node.is_null())
    }

    /// The text of a string.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Scalar::Text, text) => Some(&text.text),
            Value::Scalar(..) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// True for null, written or left out after a colon.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Scalar(Scalar::Null, _))
    }
}

fn extent<'a>(children: impl Iterator<Item = &'a Arc<Node>>) -> (u32, u16) {
    children.fold((0, 0), |(size, depth), child| {
        (size.saturating_add(child.size), depth.max(child.depth))
    })
}

/// Reads all documents of a text whose first line is line `first_line` of its file. Answers the
/// documents before the first syntax error, and that error.
pub(crate) fn parse(text: &str, first_line: u32) -> (Vec<Parsed>, Option<Fault>) {
    let options = options! {
        flow_nesting_limit: usize::from(MAX_DEPTH),
        block_nesting_limit: usize::from(MAX_DEPTH),
    };
    let mut builder = Builder {
        text,
        first_line,
        ..Builder::default()
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let fault = match event {
            Ok((event, span)) => builder.event(event, &span).err(),
            Err(error) => Some(Fault {
                path: FieldPath::root(),
                at: builder.mark(error.marker()),
                message: error.info(),
            }),
        };
        if fault.is_some() {
            return (builder.done, fault);
        }
    }
    (builder.done, None)
}

/// A document that parsed. Null documents are left out.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) root: Arc<Node>,
    /// Keys that are there twice; the first one is in the tree.
    pub(crate) duplicates: Vec<Fault>,
}

#[derive(Default)]
struct Builder<'a> {
    text: &'a str,
    first_line: u32,
    done: Vec<Parsed>,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, Arc<Node>>,
    duplicates: Vec<Fault>,
    size: u32,
}

/// A list or mapping whose end has not been seen.
struct Frame {
    at: Mark,
    anchor: usize,
    open: Open,
}

enum Open {
    List(Vec<Arc<Node>>),
    Map {
        entries: Vec<Entry>,
        keys: BTreeSet<Box<str>>,
        key: Option<(Box<str>, Mark)>,
        merges: Vec<Arc<Node>>,
    },
}

impl Builder<'_> {
    fn mark(&self, marker: &Marker) -> Mark {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Mark {
            line: self
                .first_line
                .saturating_add(number(marker.line()).max(1) - 1),
            column: number(marker.col()).saturating_add(1),
        }
    }

    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Fault> {
        let at = self.mark(&span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text = Text {
                    text: text.into(),
                    lines: (style == ScalarStyle::Literal)
                        .then(|| self.lines(&span.start))
                        .flatten(),
                };
                let scalar = meaning(&text.text, style, tag.as_deref());
                let node = Arc::new(Node::new(Value::Scalar(scalar, text), at));
                self.anchor(anchor, &node);
                self.node(node, at)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor).cloned() {
                Some(node) => self.node(node, at),
                None => Err(self.fault(at, "an alias inside of its own anchor".into())),
            },
            Event::SequenceStart(_, anchor, _) => self.open(at, anchor, Open::List(Vec::new())),
            Event::MappingStart(_, anchor, _) => self.open(
                at,
                anchor,
                Open::Map {
                    entries: Vec::new(),
                    keys: BTreeSet::new(),
                    key: None,
                    merges: Vec::new(),
                },
            ),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::DocumentStart(..) => {
                self.anchors.clear();
                self.size = 0;
                Ok(())
            }
            // The enum is not ours and may grow; what is left carries no values.
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | _ => Ok(()),
        }
    }

    /// Where the lines of the literal block that starts at `start` stand. The parser's mark is
    /// the indicator or the first line of content.
    fn lines(&self, start: &Marker) -> Option<Mark> {
        let at = start.byte_offset()?;
        let head = self.text.get(at..)?.starts_with('|');
        let rest = match head {
            true => self.text.get(at..)?.split_once('\n')?.1,
            false => self
                .text
                .get(self.text.get(..at)?.rfind('\n').map_or(0, |at| at + 1)..)?,
        };
        let row = rest.lines().find(|row| !row.trim().is_empty())?;
        let indent = row.len() - row.trim_start().len();
        Some(Mark {
            line: self.mark(start).line + u32::from(head),
            column: u32::try_from(indent).unwrap_or(0),
        })
    }

    fn anchor(&mut self, anchor: usize, node: &Arc<Node>) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
    }

    fn open(&mut self, at: Mark, anchor: usize, open: Open) -> Result<(), Fault> {
        if self.stack.len() >= usize::from(MAX_DEPTH) {
            return Err(self.fault(at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.stack.push(Frame { at, anchor, open });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let mut at = frame.at;
        let value = match frame.open {
            Open::List(items) => Value::List(items),
            Open::Map {
                mut entries,
                mut keys,
                key: _,
                merges,
            } => {
                for merged in merges {
                    let Value::Map(more) = &merged.value else {
                        return Err(self.fault(at, "'<<' merges mappings only".into()));
                    };
                    for entry in more {
                        if keys.insert(entry.key.clone()) {
                            entries.push(entry.clone());
                        }
                    }
                }
                if let Some(first) = entries.first() {
                    at = at.max(first.at).min(first.at);
                }
                Value::Map(entries)
            }
        };
        let node = Arc::new(Node::new(value, at));
        if node.depth > MAX_DEPTH {
            return Err(self.fault(at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.anchor(frame.anchor, &node);
        self.node(node, at)
    }

    /// Puts a finished node where it belongs: a key, a value, an element, or the document.
    fn node(&mut self, node: Arc<Node>, at: Mark) -> Result<(), Fault> {
        if matches!(node.value, Value::Scalar(..)) || node.size > MAX_NODES {
            self.size = self.size.saturating_add(1);
        }
        if node.size.max(self.size) > MAX_NODES {
            return Err(self.fault(
                at,
                format!("larger than {MAX_NODES} values, aliases followed"),
            ));
        }
        let Some(frame) = self.stack.last_mut() else {
            let duplicates = std::mem::take(&mut self.duplicates);
            if !node.is_null() {
                self.done.push(Parsed {
                    root: node,
                    duplicates,
                });
            }
            return Ok(());
        };
        let key = match &mut frame.open {
            Open::List(items) => {
                items.push(node);
                return Ok(());
            }
            Open::Map { key, .. } => key.take(),
        };
        match key {
            None => self.key(&node, at),
            Some((name, place)) => {
                self.value(name, place, node);
                Ok(())
            }
        }
    }

    fn key(&mut self, node: &Node, at: Mark) -> Result<(), Fault> {
        let Value::Scalar(_, text) = &node.value else {
            return Err(self.fault(at, "a key that is a list or a mapping".into()));
        };
        if let Some(Frame {
            open: Open::Map { key, .. },
            ..
        }) = self.stack.last_mut()
        {
            *key = Some((text.text.clone(), at));
        }
        Ok(())
    }

    fn value(&mut self, name: Box<str>, at: Mark, node: Arc<Node>) {
        let path = self.path().field(&name);
        let Some(Frame {
            open:
                Open::Map {
                    entries,
                    keys,
                    merges,
                    ..
                },
            ..
        }) = self.stack.last_mut()
        else {
            return;
        };
        if &*name == "<<" {
            match &node.value {
                Value::List(maps) => merges.extend(maps.iter().cloned()),
                Value::Map(_) | Value::Scalar(..) => merges.push(node),
            }
        } else if keys.insert(name.clone()) {
            entries.push(Entry {
                key: name,
                at,
                node,
            });
        } else {
            self.duplicates.push(Fault {
                path,
                at,
                message: "this key is there twice".into(),
            });
        }
    }

    /// The path of the innermost open list or mapping.
    fn path(&self) -> FieldPath {
        let mut path = FieldPath::root();
        let above = self.stack.len().saturating_sub(1);
        for frame in self.stack.iter().take(above) {
            path = match &frame.open {
                Open::List(items) => path.index(items.len()),
                Open::Map { key, .. } => match key {
                    Some((name, _)) => path.field(name),
                    None => path,
                },
            };
        }
        path
    }

    fn fault(&self, at: Mark, message: String) -> Fault {
        Fault {
            path: FieldPath::root(),
            at,
            message,
        }
    }
}

fn meaning(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Scalar {
    match (style, tag.and_then(Tag::core_suffix)) {
        (_, Some("str")) => Scalar::Text,
        (ScalarStyle::Plain, _) | (_, Some("int" | "float" | "bool" | "null")) => {
            scalar::plain(text)
        }
        _ => Scalar::Text,
    }
}
