//! Resources of the proxy: of its annotations when there is any of them, else of the values.

use crate::annotations::{PROXY_CPU, PROXY_CPU_LIMIT, PROXY_MEMORY, PROXY_MEMORY_LIMIT};
use crate::context::Context;
use crate::quantity;
use crate::values::scalar;
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;
use std::collections::BTreeMap;

type Amounts = BTreeMap<String, Quantity>;

/// What the proxy and its init containers ask for.
pub(crate) fn of_proxy(context: &Context<'_>) -> Option<ResourceRequirements> {
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    let mut is_said = false;
    for (key, resource) in [(PROXY_CPU, "cpu"), (PROXY_MEMORY, "memory")] {
        is_said |= put(&mut requests, resource, context.annotation(key));
    }
    for (key, resource) in [(PROXY_CPU_LIMIT, "cpu"), (PROXY_MEMORY_LIMIT, "memory")] {
        is_said |= put(&mut limits, resource, context.annotation(key));
    }
    if !is_said {
        requests = configured(context, "requests");
        limits = configured(context, "limits");
    }
    let some = |amounts: Amounts| (!amounts.is_empty()).then_some(amounts);
    let all = ResourceRequirements {
        claims: None,
        limits: some(limits),
        requests: some(requests),
    };
    (all != ResourceRequirements::default()).then_some(all)
}

fn put(amounts: &mut Amounts, resource: &str, text: Option<&str>) -> bool {
    let Some(text) = text else {
        return false;
    };
    amounts.insert(resource.to_owned(), amount(text));
    true
}

fn amount(text: &str) -> Quantity {
    Quantity(quantity::canonical(text).unwrap_or_else(|| text.to_owned()))
}

/// The amounts of the values; a null is none.
fn configured(context: &Context<'_>, which: &str) -> Amounts {
    let path = format!("global.proxy.resources.{which}");
    let found = context.values().at(&path).and_then(Value::as_object);
    let set = found.into_iter().flatten().filter(|(_, v)| !v.is_null());
    set.map(|(key, value)| (key.clone(), amount(&scalar(value))))
        .collect()
}
