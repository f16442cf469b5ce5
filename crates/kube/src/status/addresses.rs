//! The addresses of ServiceEntries that have none of their own, in their status (platform.md 3.14).
//!
//! They stay with the object from then on, whatever other entries come and whoever leads. What is
//! written stays when an entry has addresses of its own later, as with Istio: nobody reads it then.

use super::patch::{self, Plan, Urgency};
use super::seen::Known;
use meltemi_types::ObjectRef;
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::sync::Arc;

/// Who owns the field.
const MANAGER: &str = "meltemi-addresses";

/// The addresses that were handed out to one object of one generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocated {
    /// Its generation.
    pub generation: i64,
    /// Each address and the host that has it, in the order of hosts.
    pub addresses: Arc<[(Arc<str>, IpAddr)]>,
}

/// What to write of it over what is `known`; `None` when it says so already.
pub(super) fn plan(
    object: &ObjectRef,
    allocated: &Allocated,
    (known, group): (&Known, &str),
) -> Option<Plan> {
    let all = allocated.addresses.iter();
    let wanted: Vec<_> = all
        .map(|(host, ip)| json!({"value": ip.to_string(), "host": &**host}))
        .collect();
    if wanted.is_empty() || known.status.addresses == wanted {
        return None;
    }
    let status = Map::from_iter([("addresses".to_owned(), Value::Array(wanted))]);
    Some(Plan {
        manager: MANAGER,
        urgency: Urgency::Major,
        takes_back: false,
        body: patch::body(object, (known, group), status),
        news: None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::decide::tests::object;
    use super::*;

    fn allocated(hosts: &[(&str, &str)]) -> Allocated {
        let each = |(host, ip): &(&str, &str)| (Arc::from(*host), ip.parse().unwrap());
        Allocated {
            generation: 1,
            addresses: hosts.iter().map(each).collect(),
        }
    }

    fn known(status: Value) -> Known {
        let object = json!({
            "metadata": {"resourceVersion": "7", "uid": "u", "generation": 1},
            "status": status,
        });
        Known::read("v1", object.to_string().as_bytes()).unwrap()
    }

    fn write(hosts: &[(&str, &str)], status: Value) -> Option<Plan> {
        let group = "networking.istio.io";
        plan(
            &object("ServiceEntry"),
            &allocated(hosts),
            (&known(status), group),
        )
    }

    #[test]
    fn each_address_is_written_with_its_host_and_nothing_else_of_the_status() {
        let hosts = [("a.com", "240.240.1.1"), ("a.com", "2001:2::f0f0:101")];
        let plan = write(&hosts, json!({"conditions": [{"type": "Accepted"}]})).unwrap();
        let expected = json!({"addresses": [
            {"value": "240.240.1.1", "host": "a.com"},
            {"value": "2001:2::f0f0:101", "host": "a.com"},
        ]});
        assert_eq!(plan.body["status"], expected);
        assert_eq!(plan.body["metadata"]["resourceVersion"], "7");
        assert_eq!(write(&hosts, expected), None, "it says so already");
    }

    #[test]
    fn what_others_said_is_replaced_and_what_is_unused_stays() {
        let other = json!({"addresses": [{"value": "240.240.9.9", "host": "a.com"}]});
        assert!(write(&[("a.com", "240.240.1.1")], other.clone()).is_some());
        assert_eq!(write(&[], other), None);
    }
}
