//! CEL rules. The only file that knows kube-cel.

use kube_cel::{CompiledSchema, Validator};
use meltemi_api::Finding;
use meltemi_types::{Code, FieldPath};
use serde_json::Value;

/// The first rule that does not compile.
pub(super) fn broken(schema: &CompiledSchema) -> Option<String> {
    if let Some(error) = schema.compilation_errors().first() {
        return Some(error.to_string());
    }
    let below = schema.properties.values();
    let below = below.chain(schema.items.as_deref());
    let mut below = below.chain(schema.additional_properties.as_deref());
    below.find_map(broken)
}

/// Adds what the rules say. A rule that cannot be evaluated is broken, as at an API server.
pub(super) fn evaluate(rules: &CompiledSchema, object: &Value, found: &mut Vec<Finding>) {
    let Err(errors) = Validator::new().validate_compiled(rules, object, None) else {
        return;
    };
    for error in errors.into_vec() {
        let path = FieldPath::new(error.field_path.trim_start_matches('.'));
        found.push(Finding::error(
            Code::InvalidValue,
            &path,
            error.message,
            format!("make this true: {}", error.rule),
        ));
    }
}
