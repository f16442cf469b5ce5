//! From the node of a first request to the facts the model reads.

use meltemi_model::proxy::NodeFacts;
use meltemi_proto::envoy::config::core::v3::Node;
use meltemi_proto::google::protobuf::value::Kind;
use meltemi_proto::google::protobuf::{Struct, Value};
use meltemi_types::Locality;
use serde_json::{Map, Value as Json};

/// How deep metadata may be nested; more is left out.
const DEPTH: usize = 16;

/// What a node says of itself.
pub(crate) fn facts(node: &Node) -> NodeFacts {
    let locality = node.locality.as_ref().map(|l| Locality {
        region: l.region.as_str().into(),
        zone: l.zone.as_str().into(),
        subzone: l.sub_zone.as_str().into(),
    });
    NodeFacts {
        id: node.id.clone(),
        metadata: node
            .metadata
            .as_ref()
            .map(|m| object(m, DEPTH))
            .unwrap_or_default(),
        locality: locality.unwrap_or_default(),
        extensions: node.extensions.iter().map(|e| e.name.clone()).collect(),
    }
}

fn object(value: &Struct, depth: usize) -> Map<String, Json> {
    value
        .fields
        .iter()
        .map(|(k, v)| (k.clone(), json(v, depth.saturating_sub(1))))
        .collect()
}

/// A whole number as JSON writes one: protobuf knows only floating points, and a port is none.
fn number(value: f64) -> Json {
    /// The largest number up to which all whole ones are exact.
    const EXACT: f64 = 9_007_199_254_740_991.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[allow(clippy::cast_possible_truncation, reason = "whole and in range")]
        return Json::from(value as i64);
    }
    serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number)
}

fn json(value: &Value, depth: usize) -> Json {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(_) if depth == 0 => Json::Null,
        Some(Kind::BoolValue(b)) => Json::Bool(*b),
        Some(Kind::NumberValue(n)) => number(*n),
        Some(Kind::StringValue(s)) => Json::String(s.clone()),
        Some(Kind::StructValue(s)) => Json::Object(object(s, depth)),
        Some(Kind::ListValue(l)) => {
            Json::Array(l.values.iter().map(|v| json(v, depth - 1)).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_whole() {
        let said = [("port", Value::from(15020.0)), ("half", Value::from(0.5))];
        let node = Node {
            metadata: Some(said.into_iter().collect()),
            ..Node::default()
        };
        let metadata = Json::Object(facts(&node).metadata);
        assert_eq!(metadata, serde_json::json!({"port": 15020, "half": 0.5}));
    }
}
