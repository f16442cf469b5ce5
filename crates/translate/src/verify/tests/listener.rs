//! Traps of listeners and filter chains.

use super::*;

fn chains(matches: Value) -> Told {
    let chains: Vec<Value> = matches
        .as_array()
        .unwrap()
        .iter()
        .map(|matched| json!({ "filter_chain_match": matched, "filters": [tcp_proxy()] }))
        .collect();
    a_listener(json!({ "filter_chains": chains }))
}

fn prefixes(ranges: &[(&str, u32)]) -> Value {
    let ranges: Vec<Value> = ranges
        .iter()
        .map(|(address, length)| json!({ "address_prefix": address, "prefix_len": length }))
        .collect();
    json!({ "prefix_ranges": ranges })
}

#[test]
fn two_filter_chains_with_equal_match() {
    chains(json!([{ "server_names": ["a"] }, { "server_names": ["a"] }]))
        .is_refused("must not match the same connections (server name a) as filter_chains[0]");
    chains(json!([{}, {}])).is_refused("must not match every connection as filter_chains[0]");
    chains(json!([{ "server_names": ["a"] }, { "server_names": ["b"] }, {}])).is_taken();
}

#[test]
fn overlapping_server_names() {
    for (one, other) in [("a", "A"), ("*.a", ".a"), ("*.a", "*.a")] {
        chains(json!([{ "server_names": [one, "x"] }, { "server_names": ["y", other] }]))
            .is_refused("filter_chains[1].filter_chain_match must not match the same");
    }
    chains(json!([{ "server_names": ["a", "a"] }])).is_refused("(server name a) twice");
    chains(json!([{ "server_names": [""] }, {}])).is_refused("as filter_chains[0]");
    chains(json!([{ "server_names": ["*.a.com"] }, { "server_names": ["a.com", "b.a.com"] }]))
        .is_taken();
    chains(
        json!([{ "server_names": ["a"], "transport_protocol": "tls" }, { "server_names": ["a"] }]),
    )
    .is_taken();
}

#[test]
fn overlapping_application_protocols() {
    chains(
        json!([{ "application_protocols": ["h2", "a"] }, { "application_protocols": ["b", "a"] }]),
    )
    .is_refused("(application protocol a)");
    chains(json!([{ "application_protocols": ["h2"] }, { "application_protocols": ["H2"] }]))
        .is_taken();
}

#[test]
fn overlapping_masked_prefixes() {
    let one = prefixes(&[("10.0.0.0", 8)]);
    chains(json!([one, prefixes(&[("10.1.0.0", 8)])])).is_refused("(destination 10.0.0.0/8)");
    chains(json!([prefixes(&[("10.0.0.0", 8), ("10.1.0.0", 8)])])).is_refused("twice");
    chains(json!([
        prefixes(&[("10.0.0.1", 40)]),
        prefixes(&[("10.0.0.1", 32)])
    ]))
    .is_refused("(destination 10.0.0.1/32)");
    chains(json!([
        prefixes(&[("fd00::1", 64)]),
        prefixes(&[("fd00::2", 64)])
    ]))
    .is_refused("(destination fd00::/64)");
    let sources = |address: &str| json!({ "source_prefix_ranges": [{ "address_prefix": address, "prefix_len": 8 }] });
    chains(json!([sources("10.0.0.1"), sources("10.2.0.1")])).is_refused("(source 10.0.0.0/8)");
    chains(json!([
        one,
        prefixes(&[("10.1.0.0", 16)]),
        prefixes(&[("0.0.0.0", 0)]),
        {}
    ]))
    .is_taken();
}

#[test]
fn equal_ports_and_source_types() {
    chains(json!([{ "source_ports": [1, 2] }, { "source_ports": [2] }]))
        .is_refused("(source port 2)");
    chains(json!([{ "destination_port": 80 }, { "destination_port": 80 }]))
        .is_refused("(destination port 80)");
    chains(
        json!([{ "source_type": "EXTERNAL" }, { "source_type": "ANY" },
        { "source_type": "SAME_IP_OR_LOOPBACK" }, { "destination_port": 80 }]),
    )
    .is_taken();
}

#[test]
fn partial_wildcards_in_server_names() {
    for name in ["*", "a*.com", "**.a"] {
        chains(json!([{ "server_names": [name] }])).is_refused("must be a whole name or start");
    }
    for name in ["*.a.com", "a.com", "*."] {
        chains(json!([{ "server_names": [name] }])).is_taken();
    }
}

#[test]
fn neither_chains_nor_default_chain() {
    a_listener(json!({})).is_refused("filter_chains must not be empty");
    a_listener(json!({ "default_filter_chain": { "filters": [tcp_proxy()] } })).is_taken();
    let udp = json!({ "socket_address": { "protocol": "UDP", "address": "127.0.0.1",
        "port_value": 0 } });
    a_listener(json!({ "address": udp })).is_taken();
}

#[test]
fn malformed_addresses() {
    chains(json!([prefixes(&[("10.0.0", 8)])])).is_refused("must be an IP address, not \"10.0.0\"");
    chains(json!([prefixes(&[("010.0.0.0", 8)])])).is_refused("must be an IP address");
    chains(json!([prefixes(&[("10.0.0.0", 40)])])).is_taken();
    let chain = json!([{ "filters": [tcp_proxy()] }]);
    for address in ["localhost", "[::1]"] {
        a_listener(json!({ "address": socket(address, 0), "filter_chains": chain }))
            .is_refused("address.socket_address.address must be an IP address");
        a_listener(
            json!({ "additional_addresses": [{ "address": socket(address, 0) }],
            "filter_chains": chain }),
        )
        .is_refused("additional_addresses[0].address.socket_address.address must be an IP");
    }
    a_listener(json!({ "address": socket("::1", 0), "filter_chains": chain })).is_taken();
}

#[test]
fn suffixes_are_not_implemented() {
    chains(json!([{ "suffix_len": 8 }])).is_refused("must not use address_suffix and suffix_len");
}

#[test]
fn or_match_with_one_rule() {
    let listener = |rules: Value| {
        let inspector = json!({ "name": "i", "filter_disabled": { "or_match": { "rules": rules } },
            "typed_config": { "@type": format!("{TYPES}/envoy.extensions.filters.listener.\
                tls_inspector.v3.TlsInspector") } });
        a_listener(json!({ "listener_filters": [inspector],
            "filter_chains": [{ "filters": [tcp_proxy()] }] }))
    };
    let port = |port: u32| json!({ "destination_port_range": { "start": port, "end": port + 1 } });
    listener(json!([port(1)])).is_refused("or_match.rules must have at least 2 items, not 1");
    listener(json!([port(1), port(2)])).is_taken();
}

#[test]
fn names_of_chains_beside_a_matcher() {
    let named = |names: [&str; 2], matcher: bool| {
        let chain = |name: &str, server: &str| {
            json!({ "name": name, "filter_chain_match": { "server_names": [server] },
                "filters": [tcp_proxy()] })
        };
        let mut listener = json!({ "filter_chains": [chain(names[0], "a"), chain(names[1], "b")] });
        if matcher {
            let action = extension("google.protobuf.StringValue", json!({ "value": "a" }));
            listener["filter_chain_matcher"] = json!({ "on_no_match": { "action": action } });
        }
        a_listener(listener)
    };
    named(["a", "a"], true).is_refused("filter_chains[1].name must not be \"a\" again");
    named(["a", ""], true).is_refused("filter_chains[1].name must not be empty");
    named(["a", "b"], true).is_taken();
    named(["a", "a"], false).is_taken();
}

#[test]
fn the_last_network_filter_ends_the_chain() {
    let rbac = filter(
        "network.rbac.v3.RBAC",
        json!({ "stat_prefix": "s", "rules": {} }),
    );
    with_filters(json!([tcp_proxy(), tcp_proxy()])).is_refused("filters[0] must be the last");
    with_filters(json!([rbac])).is_refused("filters[0] must not be the last filter");
    with_filters(json!([rbac, tcp_proxy()])).is_taken();
    with_filters(json!([])).is_taken();
}

#[test]
fn many_chains_are_cheap() {
    let matches: Vec<Value> = (0..2000)
        .map(|index| json!({ "server_names": [format!("a{index}.com")] }))
        .collect();
    chains(json!(matches)).is_taken();
}
