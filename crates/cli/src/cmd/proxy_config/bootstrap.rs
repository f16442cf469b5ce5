//! How a proxy was started, in short.

use super::address;
use crate::dump::{field, items, text};
use crate::table::Table;
use serde_json::Value;

/// The table: who it says it is, its version, where its control plane and its admin interface are.
pub(super) fn table(bootstrap: &Value) -> Table {
    let none = Value::Null;
    let node = field(bootstrap, "node").unwrap_or(&none);
    let metadata = field(node, "metadata").unwrap_or(&none);
    let admin = field(bootstrap, "admin").and_then(|admin| field(admin, "address"));
    let statics = field(bootstrap, "static_resources").unwrap_or(&none);
    let mut table = Table::new(&["FIELD", "VALUE"]);
    let facts = [
        ("node", text(node, "id")),
        ("cluster", text(node, "cluster")),
        ("cluster id", text(metadata, "CLUSTER_ID")),
        ("namespace", text(metadata, "NAMESPACE")),
        ("service account", text(metadata, "SERVICE_ACCOUNT")),
        ("version", text(metadata, "ISTIO_VERSION")),
        ("envoy version", envoy(node)),
        ("admin", admin.map(address).unwrap_or_default()),
        ("static clusters", names(statics, "clusters")),
        ("static listeners", names(statics, "listeners")),
    ];
    for (name, value) in facts {
        table.row(vec![name.to_owned(), value]);
    }
    table
}

/// The version of Envoy that a node says.
fn envoy(node: &Value) -> String {
    let version = field(node, "user_agent_build_version").and_then(|b| field(b, "version"));
    let Some(version) = version else {
        return String::new();
    };
    let number = |name| field(version, name).and_then(Value::as_u64).unwrap_or(0);
    let parts = ["major_number", "minor_number", "patch"].map(number);
    parts.map(|part| part.to_string()).join(".")
}

fn names(statics: &Value, list: &str) -> String {
    let names: Vec<String> = items(statics, list).map(|one| text(one, "name")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_facts_of_a_start_are_lines() {
        let bootstrap = json!({
            "node": {"id": "sidecar~1.2.3.4~a.b~c", "metadata": {"NAMESPACE": "b"},
              "user_agent_build_version": {"version": {"major_number": 1, "minor_number": 40}}},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}},
            "static_resources": {"clusters": [{"name": "xds"}, {"name": "agent"}]},
        });
        let text = table(&bootstrap).text();
        for line in [
            "envoy version     1.40.0",
            "admin             127.0.0.1:15000",
            "static clusters   xds, agent",
        ] {
            assert!(
                text.lines().any(|found| found.starts_with(line)),
                "{line} in {text}"
            );
        }
    }
}
