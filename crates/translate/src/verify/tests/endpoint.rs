//! Traps of load assignments, which are checked by hand, and that this agrees with the rules.

use super::*;
use meltemi_proto::rules;

fn assigned(endpoint: Value) -> Value {
    json!({ "endpoints": [{ "lb_endpoints": [endpoint] }] })
}

#[test]
fn endpoints_with_bad_addresses() {
    for bad in ["a.com", "01.1.1.1", "[::1]", "1.2.3", "a b"] {
        an_assignment(assigned(endpoint_at(bad))).is_refused("must be an IP address, not");
    }
    for good in ["1.1.1.1", "fd00::1", "fe80::1%lo"] {
        an_assignment(assigned(endpoint_at(good))).is_taken();
    }
    for bad in [
        json!({}),
        json!({ "endpoint": {} }),
        json!({ "endpoint_name": "x" }),
    ] {
        an_assignment(assigned(bad)).is_refused("must be set");
    }
    let named = json!({ "socket_address": { "address": "1.1.1.1", "named_port": "http" } });
    an_assignment(assigned(json!({ "endpoint": { "address": named } })))
        .is_refused("named_port must be a number, not \"http\"");
    let internal = json!({ "envoy_internal_address": { "server_listener_name": "x" } });
    an_assignment(assigned(json!({ "endpoint": { "address": internal } }))).is_taken();
    let endpoints = json!([endpoint_at("1.1.1.1"), endpoint_at("1.1.1.1")]);
    an_assignment(json!({ "endpoints": [{ "lb_endpoints": endpoints }, {}, {}] })).is_taken();
}

#[test]
fn weights_that_overflow() {
    let locality = |weight: u32, priority: u32| json!({ "load_balancing_weight": weight, "priority": priority });
    an_assignment(json!({ "endpoints": [locality(u32::MAX, 0), locality(1, 0)] }))
        .is_refused("weights of localities that sum up to more than 4294967295");
    an_assignment(json!({ "endpoints": [locality(u32::MAX, 0), locality(1, 1)] })).is_taken();
    let mut heavy = endpoint_at("1.1.1.1");
    heavy["load_balancing_weight"] = u32::MAX.into();
    an_assignment(json!({ "endpoints": [{ "lb_endpoints": [heavy, endpoint_at("1.1.1.2")] }] }))
        .is_refused("lb_endpoints must not have weights that sum up to more");
}

#[test]
fn the_hand_written_rules_agree_with_the_descriptors() {
    let weighted = |weight: u32| {
        let mut endpoint = endpoint_at("1.1.1.1");
        endpoint["load_balancing_weight"] = weight.into();
        assigned(endpoint)
    };
    let port = |port: u32| assigned(json!({ "endpoint": { "address": socket("1.1.1.1", port) } }));
    let of_locality = |field: &str, value: u32| json!({ "endpoints": [{ field: value }] });
    let noted = |metadata: Value| {
        let mut endpoint = endpoint_at("1.1.1.1");
        endpoint["metadata"] = json!({ "filter_metadata": metadata });
        assigned(endpoint)
    };
    let health = |config: Value| {
        assigned(json!({ "endpoint": { "address": socket("1.1.1.1", 1),
            "health_check_config": config } }))
    };
    let policy = |policy: Value| json!({ "policy": policy });
    for (value, is_fine) in [
        (json!({}), true),
        (weighted(0), false),
        (weighted(1), true),
        (port(65_536), false),
        (port(65_535), true),
        (port(0), true),
        (assigned(json!({ "endpoint": { "address": {} } })), false),
        (of_locality("load_balancing_weight", 0), false),
        (of_locality("load_balancing_weight", 1), true),
        (of_locality("priority", 129), false),
        (of_locality("priority", 128), true),
        (noted(json!({ "": {} })), false),
        (noted(json!({ "istio": { "workload": "a" } })), true),
        (health(json!({ "port_value": 65_536 })), false),
        (health(json!({ "port_value": 8080 })), true),
        (policy(json!({ "overprovisioning_factor": 0 })), false),
        (policy(json!({ "overprovisioning_factor": 140 })), true),
    ] {
        let mut value = value;
        let told = an_assignment(value.clone());
        value["cluster_name"] = "c".into();
        let body = pool::from_json(&ClusterLoadAssignment::full_name(), &value).unwrap();
        let ruled = rules::violations(&ClusterLoadAssignment::full_name(), &body);
        assert_eq!(ruled.is_empty(), is_fine, "{value}: {ruled:?}");
        assert_eq!(told.0.is_empty(), is_fine, "{value}: {:?}", told.0);
        for violation in ruled {
            told.is_refused(&violation.path);
        }
    }
    let nameless = ClusterLoadAssignment::default();
    Told(super::super::endpoint(&nameless, &[])).is_refused("cluster_name must not be empty");
}
