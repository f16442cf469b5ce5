//! What a case shows of what came out: resources by name pattern, and fields of them.
//!
//! `cluster NAME` is the whole resource, `cluster NAME : a.b, c[0].d` some of its fields,
//! `route NAME : a[b] : c, d` fields below one of them, and `clusters PATTERN` only the names. `*`
//! in a name stands for anything. An index is a number or, in a list of things with names, the
//! name; of a map it is the key: `virtual_hosts[a:80].routes`.

use crate::compose::{self, ByName, Composed};
use anyhow::{Context, Result, bail};
use meltemi_translate::document::KINDS;
use meltemi_types::TypeUrl;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::str::FromStr;

/// One line of `show`.
#[derive(Clone, Debug)]
pub struct Show {
    kind: &'static str,
    type_url: TypeUrl,
    /// Names only.
    names: bool,
    pattern: String,
    base: String,
    fields: Vec<String>,
}

impl FromStr for Show {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let (what, base, fields) = match line.split(" : ").collect::<Vec<_>>()[..] {
            [what] => (what, "", ""),
            [what, fields] => (what, "", fields),
            [what, base, fields] => (what, base, fields),
            _ => bail!("write KIND NAME : BASE : FIELD, FIELD"),
        };
        let (kind, pattern) = what.split_once(' ').context("write KIND NAME")?;
        let singular = kind.strip_suffix('s').unwrap_or(kind);
        let known = KINDS.iter().find(|(name, _)| *name == singular);
        let (kind_name, type_url) =
            known.with_context(|| format!("{kind}: use cluster, endpoint, listener or route"))?;
        Ok(Self {
            kind: kind_name,
            type_url,
            names: singular != kind,
            pattern: pattern.to_owned(),
            base: base.to_owned(),
            fields: fields
                .split(", ")
                .filter(|field| !field.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }
}

impl Show {
    /// What is shown of one resource, and under which title.
    fn one(&self, name: &str, whole: Value) -> Result<(String, Value)> {
        let title = format!("{} {name}", self.kind);
        let (title, base) = match self.base.as_str() {
            "" => (title, whole),
            path => {
                let base = walk(&whole, path)?.cloned();
                let base = base.with_context(|| format!("there is no {path}"))?;
                (format!("{title} : {path}"), base)
            }
        };
        match self.fields.as_slice() {
            [] => Ok((title, base)),
            fields => Ok((title, pick(&base, fields)?)),
        }
    }
}

/// The shown resources and all diagnostics as YAML.
///
/// # Errors
/// A line of `show` fits nothing, or a resource cannot be read back.
pub fn render(shows: &[Show], composed: &Composed) -> Result<String> {
    let all = compose::resources(&composed.assigned);
    let mut out = String::new();
    for show in shows {
        let empty = ByName::new();
        let of_type = all.get(show.type_url).unwrap_or(&empty);
        let found: BTreeMap<_, _> = of_type
            .iter()
            .filter(|(name, _)| fits(&show.pattern, name))
            .collect();
        if found.is_empty() {
            let names: Vec<_> = of_type.keys().collect();
            bail!("{} {} fits none of {names:?}", show.kind, show.pattern);
        }
        if show.names {
            let names: Vec<_> = found.keys().map(|name| Value::from(&***name)).collect();
            out += &entry(&format!("{}s {}", show.kind, show.pattern), names.into())?;
            continue;
        }
        for (name, resource) in found {
            let (title, shown) = show
                .one(name, compose::json(resource)?)
                .with_context(|| name.to_string())?;
            out += &entry(&title, shown)?;
        }
    }
    let lines = composed.diagnostics.iter().map(|d| d.to_string().into());
    out += &entry("diagnostics", Value::Array(lines.collect()))?;
    Ok(out)
}

fn entry(key: &str, value: Value) -> Result<String> {
    let entry = Value::Object(Map::from_iter([(key.to_owned(), sorted(value))]));
    Ok(serde_yaml::to_string(&entry)?)
}

/// Objects with their keys in order, whatever order they were made in.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// The fields by path; one that is not there is null.
fn pick(whole: &Value, fields: &[String]) -> Result<Value> {
    let mut picked = Map::new();
    for path in fields {
        let value = walk(whole, path)?.cloned().unwrap_or_default();
        picked.insert(path.clone(), value);
    }
    Ok(Value::Object(picked))
}

fn walk<'a>(value: &'a Value, path: &str) -> Result<Option<&'a Value>> {
    let mut at = Some(value);
    let mut rest = path;
    while !rest.is_empty() {
        let index = rest.strip_prefix('[');
        let (step, tail) = match index {
            Some(inside) => inside.split_once(']').context("an index without its ]")?,
            None => {
                let rest = rest.strip_prefix('.').unwrap_or(rest);
                rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()))
            }
        };
        at = at.and_then(|value| match (value, step.parse::<usize>()) {
            (Value::Array(items), Ok(number)) => items.get(number),
            (Value::Array(items), Err(_)) => items
                .iter()
                .find(|item| item.get("name").and_then(Value::as_str) == Some(step)),
            (other, _) => other.get(step),
        });
        rest = tail;
    }
    Ok(at)
}

/// True when the name is the pattern, in which `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((front, back)) => name.strip_prefix(front).is_some_and(|rest| {
            let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.any(|at| rest.get(at..).is_some_and(|rest| fits(back, rest)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name) in [
            ("a*", "a"),
            ("*", "x"),
            ("a*c*", "abcd"),
            ("*|v1|*", "o|v1|h"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a*c", "ab"), ("*b", "a")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn paths_walk_through_lists_and_maps() {
        let value = json!({"a": [{"name": "x.y:80", "b": 1}], "m": {"k.l": {"c": 2}}});
        let at = |path| walk(&value, path).unwrap().cloned();
        assert_eq!(at("a[0].b"), Some(json!(1)));
        assert_eq!(at("a[x.y:80].b"), Some(json!(1)));
        assert_eq!(at("m[k.l].c"), Some(json!(2)));
        assert_eq!(at("m.gone.c"), None);
    }

    #[test]
    fn a_line_names_kind_name_and_fields() {
        let show: Show = "cluster outbound|80||a : type, metadata.x".parse().unwrap();
        assert_eq!(show.pattern, "outbound|80||a");
        assert_eq!(show.fields, ["type", "metadata.x"]);
        assert!("routes *".parse::<Show>().unwrap().names);
        assert!("gateway x".parse::<Show>().is_err());
    }
}
