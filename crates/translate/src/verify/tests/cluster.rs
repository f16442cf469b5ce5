//! Traps of clusters.

use super::*;

const TLS: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

fn endpoints(addresses: &[&str]) -> Value {
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|address| endpoint_at(address))
        .collect();
    json!({ "cluster_name": "c", "endpoints": [{ "lb_endpoints": endpoints }] })
}

fn tls(context: Value) -> Told {
    let socket = extension(TLS, json!({ "common_tls_context": context }));
    a_cluster(json!({ "transport_socket": socket }))
}

#[test]
fn logical_dns_with_other_than_one_endpoint() {
    let words = "load_assignment must have one locality with one endpoint";
    a_cluster(json!({ "type": "LOGICAL_DNS" })).is_refused(words);
    for addresses in [&[][..], &["a", "b"]] {
        a_cluster(json!({ "type": "LOGICAL_DNS", "load_assignment": endpoints(addresses) }))
            .is_refused(words);
    }
    a_cluster(json!({ "type": "LOGICAL_DNS", "load_assignment": endpoints(&["a"]) })).is_taken();
    a_cluster(json!({ "type": "STRICT_DNS", "load_assignment": endpoints(&[]) })).is_taken();
    a_cluster(json!({ "type": "STRICT_DNS" })).is_taken();
    let typed = |single: bool| {
        let config = json!({ "@type": format!("{TYPES}/envoy.extensions.clusters.dns.v3.DnsCluster"),
            "all_addresses_in_single_endpoint": single });
        a_cluster(json!({ "load_assignment": endpoints(&["a", "b"]),
            "cluster_type": { "name": "envoy.clusters.dns", "typed_config": config } }))
    };
    typed(true).is_refused(words);
    typed(false).is_taken();
}

#[test]
fn original_dst_with_a_policy_or_endpoints() {
    let given = |policy: &str| json!({ "type": "ORIGINAL_DST", "lb_policy": policy });
    a_cluster(given("ROUND_ROBIN")).is_refused("lb_policy must be CLUSTER_PROVIDED");
    let mut assigned = given("CLUSTER_PROVIDED");
    assigned["load_assignment"] = json!({ "cluster_name": "c" });
    a_cluster(assigned).is_refused("load_assignment must not be set in an ORIGINAL_DST cluster");
    let mut subsets = given("CLUSTER_PROVIDED");
    subsets["lb_subset_config"] = json!({ "subset_selectors": [{ "keys": ["a"] }] });
    a_cluster(subsets).is_refused("lb_subset_config must not be set");
    a_cluster(given("CLUSTER_PROVIDED")).is_taken();
    a_cluster(json!({ "type": "STATIC", "lb_policy": "CLUSTER_PROVIDED" }))
        .is_refused("lb_policy must not be CLUSTER_PROVIDED");
}

#[test]
fn discovery_without_its_configuration() {
    let source = json!({ "eds_config": { "ads": {}, "resource_api_version": "V3" } });
    a_cluster(json!({ "type": "EDS" })).is_refused("eds_cluster_config must be set");
    a_cluster(json!({ "type": "STATIC", "eds_cluster_config": source }))
        .is_refused("eds_cluster_config must not be set");
    a_cluster(json!({ "type": "EDS", "eds_cluster_config": source })).is_taken();
}

#[test]
fn maglev_tables_are_prime_and_rings_ordered() {
    let maglev = |size: u32| {
        a_cluster(json!({ "lb_policy": "MAGLEV", "maglev_lb_config": { "table_size": size } }))
    };
    maglev(10).is_refused("maglev_lb_config.table_size must be a prime number, not 10");
    maglev(0).is_refused("table_size must be a prime number");
    for size in [1, 2, 11, 65537, 5_000_011] {
        maglev(size).is_taken();
    }
    let typed = |size: u32| {
        let policy = extension(
            "envoy.extensions.load_balancing_policies.maglev.v3.Maglev",
            json!({ "table_size": size }),
        );
        a_cluster(json!({ "load_balancing_policy": {
            "policies": [{ "typed_extension_config": policy }] } }))
    };
    typed(10).is_refused("table_size must be a prime number");
    typed(11).is_taken();
    let ring = |least: u32, most: u32| {
        a_cluster(json!({ "lb_policy": "RING_HASH", "ring_hash_lb_config": {
            "minimum_ring_size": least, "maximum_ring_size": most } }))
    };
    ring(1, 8_388_609).is_refused("maximum_ring_size must be at most 8388608");
    ring(100, 10).is_refused("minimum_ring_size above its maximum_ring_size");
    ring(1, 8_388_608).is_taken();
}

#[test]
fn a_policy_by_extension_is_there() {
    a_cluster(json!({ "lb_policy": "LOAD_BALANCING_POLICY_CONFIG" }))
        .is_refused("load_balancing_policy must have a policy");
    a_cluster(json!({ "load_balancing_policy": {} }))
        .is_refused("load_balancing_policy must have a policy");
}

#[test]
fn http_protocol_options_without_a_choice() {
    let options = |mut options: Value| {
        options["@type"] = format!("{TYPES}/{OPTIONS}").into();
        a_cluster(json!({ "typed_extension_protocol_options": { OPTIONS: options } }))
    };
    options(json!({})).is_refused("upstream_protocol_options must be set to one of");
    options(json!({ "explicit_http_config": {} })).is_refused("protocol_config must be set");
    options(json!({ "auto_config": {} })).is_refused("without a transport socket that negotiates");
    options(json!({ "use_downstream_protocol_config": {} })).is_taken();
    options(json!({ "explicit_http_config": { "http2_protocol_options": {} } })).is_taken();
}

#[test]
fn subject_names_without_trusted_ca() {
    let names = |matcher: Value| json!([{ "san_type": "URI", "matcher": matcher }]);
    let exact = || names(json!({ "exact": "spiffe://a" }));
    tls(json!({ "validation_context": { "match_typed_subject_alt_names": exact() } }))
        .is_refused("validation_context must have a trusted_ca");
    tls(json!({ "validation_context": { "match_subject_alt_names": [{ "exact": "a" }] } }))
        .is_refused("validation_context must have a trusted_ca");
    let combined = |names: Value| {
        let secret = json!({ "name": "ROOTCA", "sds_config": { "ads": {} } });
        tls(json!({ "combined_validation_context": {
            "default_validation_context": { "match_typed_subject_alt_names": names },
            "validation_context_sds_secret_config": secret } }))
    };
    combined(exact()).is_taken();
    combined(names(json!({ "safe_regex": { "regex": "(" } })))
        .is_refused("must be a regular expression");
    combined(names(json!({ "safe_regex": { "regex": "spiffe://.*" } }))).is_taken();
}

#[test]
fn application_protocols_too_long() {
    tls(json!({ "alpn_protocols": ["x".repeat(256)] })).is_refused("at most 255 bytes");
    tls(json!({ "alpn_protocols": ["x".repeat(255)] })).is_taken();
}

#[test]
fn names_where_addresses_are_expected() {
    a_cluster(json!({ "type": "STATIC", "load_assignment": endpoints(&["a.com"]) }))
        .is_refused("socket_address.address must be an IP address, not \"a.com\"");
    a_cluster(json!({ "type": "STRICT_DNS", "load_assignment": endpoints(&["a.com"]) })).is_taken();
    a_cluster(json!({ "upstream_bind_config": {
        "source_address": { "address": "x", "port_value": 0 } } }))
    .is_refused("upstream_bind_config.source_address.address must be an IP address");
}

#[test]
fn ejections_shorter_than_their_base() {
    let times = |times: Value| a_cluster(json!({ "outlier_detection": times }));
    times(json!({ "base_ejection_time": "20s", "max_ejection_time": "10s" }))
        .is_refused("max_ejection_time must not be shorter");
    times(json!({ "max_ejection_time": "10s" })).is_refused("max_ejection_time must not be");
    times(json!({ "base_ejection_time": "400s" })).is_taken();
    times(json!({ "max_ejection_time": "30s" })).is_taken();
}
