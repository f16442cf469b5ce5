//! What a schema says beyond types: bounds, patterns, groups of fields, keys of lists, CEL rules.
//! Kept as data beside the types, so that the types stay free of it; written into a structural
//! schema in the words of `apiextensions.k8s.io/v1`.

use serde_json::{Map, Value, json};

/// A place and what is demanded there. Places are types and their fields by the names of the
/// schema: `Port`, `Port.number`, `Server.hosts[]` (each element), `Pool.tags{}` (each value).
pub(crate) type Row = (&'static str, Says);

/// A demand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says {
    /// These fields must be there.
    Required(&'static [&'static str]),
    /// At most one of these fields is there. Several such demands of one type all hold.
    AtMostOne(&'static [&'static str]),
    /// Null is a value.
    Nullable,
    /// A text has at least so many characters.
    MinLength(u64),
    /// A text has at most so many characters.
    MaxLength(u64),
    /// A text matches as a whole or in part, as the pattern says.
    Pattern(&'static str),
    /// A list has at least so many elements.
    MinItems(u64),
    /// A list has at most so many elements.
    MaxItems(u64),
    /// A map has at least so many entries.
    MinProperties(u64),
    /// A map has at most so many entries.
    MaxProperties(u64),
    /// A number is not below.
    Minimum(i64),
    /// A number is not above.
    Maximum(i64),
    /// The text is of a format that Kubernetes knows.
    Format(&'static str),
    /// The elements of a list differ in the values of these fields.
    KeyedBy(&'static [&'static str]),
    /// The first field can also be written as the second one.
    Alias(&'static str, &'static str),
    /// A CEL rule, and what is wrong when it is false.
    Cel(&'static str, &'static str),
}

impl Says {
    /// Writes the demand into a schema.
    pub(crate) fn write(self, into: &mut Map<String, Value>) {
        let mut set = |key: &str, value: Value| {
            into.insert(key.into(), value);
        };
        match self {
            Self::Required(fields) => set("required", json!(fields)),
            Self::AtMostOne(fields) => at_most_one(fields, into),
            Self::Nullable => set("nullable", json!(true)),
            Self::MinLength(n) => set("minLength", json!(n)),
            Self::MaxLength(n) => set("maxLength", json!(n)),
            Self::Pattern(pattern) => set("pattern", json!(pattern)),
            Self::MinItems(n) => set("minItems", json!(n)),
            Self::MaxItems(n) => set("maxItems", json!(n)),
            Self::MinProperties(n) => set("minProperties", json!(n)),
            Self::MaxProperties(n) => set("maxProperties", json!(n)),
            Self::Minimum(n) => set("minimum", json!(n)),
            Self::Maximum(n) => set("maximum", json!(n)),
            Self::Format(format) => set("format", json!(format)),
            Self::KeyedBy(fields) => {
                set("x-kubernetes-list-type", json!("map"));
                set("x-kubernetes-list-map-keys", json!(fields));
            }
            Self::Alias(field, name) => {
                if let Some(Value::Object(fields)) = into.get_mut("properties")
                    && let Some(schema) = fields.get(field).cloned()
                {
                    fields.insert(name.into(), schema);
                }
            }
            Self::Cel(rule, message) => {
                let rules = into
                    .entry("x-kubernetes-validations")
                    .or_insert_with(|| json!([]));
                if let Value::Array(rules) = rules {
                    rules.push(json!({ "rule": rule, "message": message }));
                }
            }
        }
    }
}

/// Structural schemas know no "at most one": none of them, or exactly this, or exactly that.
fn at_most_one(fields: &[&str], into: &mut Map<String, Value>) {
    let has = |field: &&str| json!({ "required": [field] });
    let alone: Vec<Value> = fields.iter().map(has).collect();
    let mut ways = vec![json!({ "not": { "anyOf": alone } })];
    ways.extend(alone);
    let ways = json!(ways);
    let both = |one: Value| json!({ "oneOf": one });
    match (into.remove("oneOf"), into.get_mut("allOf")) {
        (None, None) => {
            into.insert("oneOf".into(), ways);
        }
        (Some(first), _) => {
            into.insert("allOf".into(), json!([both(first), both(ways)]));
        }
        (None, Some(Value::Array(all))) => all.push(both(ways)),
        (None, Some(_)) => {}
    }
}

/// The fields of a group made by [`Says::AtMostOne`], or of one that is written like it.
pub(crate) fn group(ways: &[Value]) -> Option<Vec<&str>> {
    let (none, rest) = ways.split_first()?;
    none.get("not")?;
    let alone = |way: &'_ Value| {
        let fields = way.get("required")?.as_array()?;
        (fields.len() == 1).then_some(())
    };
    rest.iter().try_for_each(alone)?;
    rest.iter()
        .map(|way| way.get("required")?.get(0)?.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_written_and_read() {
        let mut schema = Map::new();
        Says::AtMostOne(&["a", "b"]).write(&mut schema);
        let ways = schema["oneOf"].as_array().unwrap();
        assert_eq!(ways.len(), 3);
        assert_eq!(group(ways).unwrap(), ["a", "b"]);
        Says::AtMostOne(&["c", "d"]).write(&mut schema);
        Says::AtMostOne(&["e"]).write(&mut schema);
        assert!(!schema.contains_key("oneOf"));
        assert_eq!(schema["allOf"].as_array().unwrap().len(), 3);
    }
}
