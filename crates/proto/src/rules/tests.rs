//! The rules against messages that Envoy takes and messages that it refuses.

use prost::{Message, Name};
use serde_json::{Value, json};

use super::*;
use crate::{
    any,
    envoy::config::{
        cluster::v3::Cluster, core::v3::Metadata, listener::v3::Listener, rbac::v3::Rbac,
        route::v3::RouteConfiguration,
    },
    google::protobuf::Any,
    pool,
};

fn broken<M: Name>(value: Value) -> Vec<String> {
    let body = pool::from_json(&M::full_name(), &value).unwrap();
    violations(&M::full_name(), &body)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn routes(route: Value) -> Value {
    json!({ "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [route] }] })
}

fn typed(name: &str, mut value: Value) -> Value {
    value["@type"] = format!("type.googleapis.com/{name}").into();
    value
}

const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// A cluster of about 1 kB as sidecars get them.
fn cluster() -> Value {
    let tls = typed(
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        json!({
            "common_tls_context": {
                "tls_params": { "tls_minimum_protocol_version": "TLSv1_2" },
                "alpn_protocols": ["istio-peer-exchange", "istio"],
                "tls_certificate_sds_secret_configs": [{ "name": "default", "sds_config": {
                    "api_config_source": { "api_type": "GRPC", "transport_api_version": "V3",
                        "grpc_services": [{ "envoy_grpc": { "cluster_name": "sds-grpc" } }] },
                } }],
                "combined_validation_context": { "default_validation_context": {
                    "match_typed_subject_alt_names": [{ "san_type": "URI", "matcher": {
                        "exact": "spiffe://cluster.local/ns/default/sa/reviews" } }] },
                    "validation_context_sds_secret_config": { "name": "ROOTCA" } },
            },
            "sni": "outbound_.9080_._.reviews.default.svc.cluster.local",
        }),
    );
    json!({
        "name": "outbound|9080||reviews.default.svc.cluster.local",
        "type": "EDS",
        "eds_cluster_config": { "eds_config": { "ads": {}, "resource_api_version": "V3" } },
        "connect_timeout": "10s",
        "circuit_breakers": { "thresholds": [{ "max_connections": 1024, "max_retries": 3 }] },
        "outlier_detection": { "interval": "10s", "max_ejection_percent": 50 },
        "metadata": { "filter_metadata": { "istio": { "services": [{ "name": "reviews" }] } } },
        "typed_extension_protocol_options": { OPTIONS: typed(OPTIONS, json!({
            "explicit_http_config": { "http2_protocol_options": {
                "max_concurrent_streams": 1_073_741_824 } } })) },
        "transport_socket": { "name": "envoy.transport_sockets.tls", "typed_config": tls },
    })
}

#[test]
fn every_rule_in_the_descriptors_is_checked() {
    assert_eq!(TABLE.skipped, Vec::<String>::new());
    let rules: usize = TABLE
        .shapes
        .iter()
        .flat_map(|shape| &shape.fields)
        .filter(|field| !matches!(field.rule.check, table::Check::Nothing))
        .count();
    assert!(
        rules > 800,
        "only {rules} fields have rules: the options were lost"
    );
    let choices: usize = TABLE.shapes.iter().map(|shape| shape.choices.len()).sum();
    assert!(choices > 100, "only {choices} required oneofs");
}

#[test]
fn what_proxies_take_breaks_nothing() {
    assert_eq!(broken::<Cluster>(cluster()), Vec::<String>::new());
    assert_eq!(broken::<Listener>(json!({})), Vec::<String>::new());
    let route =
        json!({ "match": { "path_separated_prefix": "/api" }, "route": { "cluster": "a" } });
    assert_eq!(
        broken::<RouteConfiguration>(routes(route)),
        Vec::<String>::new()
    );
}

#[test]
fn a_direct_response_has_a_status_below_600() {
    let route = json!({ "match": { "prefix": "/" }, "direct_response": { "status": 600 } });
    assert_eq!(
        broken::<RouteConfiguration>(routes(route)),
        [
            "virtual_hosts[0].routes[0].direct_response.status must be at least 200 and less than \
          600, not 600"
        ]
    );
}

#[test]
fn a_separated_prefix_does_not_end_in_a_slash() {
    for prefix in ["/api/", "/", "", "/a?b"] {
        let route =
            json!({ "match": { "path_separated_prefix": prefix }, "route": { "cluster": "a" } });
        let found = broken::<RouteConfiguration>(routes(route));
        assert_eq!(found.len(), 1, "{prefix}: {found:?}");
        assert!(
            found[0].contains("path_separated_prefix must match the pattern"),
            "{found:?}"
        );
    }
}

#[test]
fn a_route_needs_an_action_and_a_match() {
    assert_eq!(
        broken::<RouteConfiguration>(routes(json!({}))),
        [
            "virtual_hosts[0].routes[0].action must be set to one of route, redirect, \
             direct_response, filter_action, non_forwarding_action",
            "virtual_hosts[0].routes[0].match must be set",
        ]
    );
}

#[test]
fn weighted_clusters_are_not_empty() {
    let route = json!({ "match": { "prefix": "/" }, "route": { "weighted_clusters": {} } });
    assert_eq!(
        broken::<RouteConfiguration>(routes(route)),
        ["virtual_hosts[0].routes[0].route.weighted_clusters.clusters must not be empty"]
    );
}

#[test]
fn a_header_matcher_has_no_empty_prefix() {
    let header = json!({ "name": "x", "string_match": { "prefix": "" } });
    let route =
        json!({ "match": { "prefix": "/", "headers": [header] }, "route": { "cluster": "a" } });
    assert_eq!(
        broken::<RouteConfiguration>(routes(route)),
        ["virtual_hosts[0].routes[0].match.headers[0].string_match.prefix must not be empty"]
    );
}

#[test]
fn an_rbac_policy_has_permissions() {
    let policy = json!({ "principals": [{ "any": true }] });
    assert_eq!(
        broken::<Rbac>(json!({ "policies": { "a.b": policy } })),
        ["policies[\"a.b\"].permissions must not be empty"]
    );
}

#[test]
fn http_protocol_options_need_a_choice_inside_an_any() {
    let mut cluster = cluster();
    cluster["typed_extension_protocol_options"][OPTIONS] = typed(OPTIONS, json!({}));
    assert_eq!(
        broken::<Cluster>(cluster),
        [format!(
            "typed_extension_protocol_options[\"{OPTIONS}\"].upstream_protocol_options must be \
             set to one of explicit_http_config, use_downstream_protocol_config, auto_config"
        )]
    );
}

#[test]
fn durations_are_positive_and_bounded() {
    let timeout = |value: &str| broken::<Cluster>(json!({ "name": "a", "connect_timeout": value }));
    assert_eq!(
        timeout("-1s"),
        ["connect_timeout must be more than 0s, not -1s"]
    );
    assert_eq!(
        timeout("0s"),
        ["connect_timeout must be more than 0s, not 0s"]
    );
    assert_eq!(
        timeout("9223372037s"),
        ["connect_timeout must be at most 9223372036s, not 9223372037s"]
    );
    let route =
        json!({ "match": { "prefix": "/" }, "route": { "cluster": "a", "timeout": "-1s" } });
    assert_eq!(
        broken::<RouteConfiguration>(routes(route)),
        ["virtual_hosts[0].routes[0].route.timeout must not be negative, not -1s"]
    );
}

#[test]
fn wrapped_numbers_and_enums_are_limited() {
    let cluster = json!({
        "name": "a",
        "lb_policy": 99,
        "outlier_detection": { "max_ejection_percent": 101 },
    });
    assert_eq!(
        broken::<Cluster>(cluster),
        [
            "lb_policy must be a number that has a name, not 99",
            "outlier_detection.max_ejection_percent must be at most 100, not 101",
        ]
    );
}

#[test]
fn unset_text_is_checked_as_empty_text() {
    assert_eq!(broken::<Cluster>(json!({})), ["name must not be empty"]);
}

#[test]
fn bytes_that_are_no_message_are_a_violation() {
    let found = violations(&Cluster::full_name(), &[0xff]);
    assert_eq!(found.len(), 1);
    assert!(
        found[0]
            .message
            .starts_with("the bytes are not a envoy.config.cluster"),
        "{found:?}"
    );
    assert_eq!(violations("no.Such", &[]).len(), 1);
    let bad = Any {
        type_url: crate::urls::CLUSTER.to_owned(),
        value: vec![0xff].into(),
    };
    assert_eq!(
        violations("google.protobuf.Any", &bad.encode_to_vec()).len(),
        0
    );
    let metadata = Metadata {
        typed_filter_metadata: [("a".to_owned(), bad)].into(),
        ..Default::default()
    };
    let found = violations(&Metadata::full_name(), &metadata.encode_to_vec());
    assert_eq!(found[0].path, "typed_filter_metadata[\"a\"]");
}

#[test]
fn endless_nesting_ends() {
    let mut inner = any::pack(&Cluster {
        name: "a".to_owned(),
        ..Default::default()
    });
    for _ in 0..500 {
        inner = any::pack(&inner);
    }
    let metadata = Metadata {
        typed_filter_metadata: [("a".to_owned(), inner)].into(),
        ..Default::default()
    };
    let found = violations(&Metadata::full_name(), &metadata.encode_to_vec());
    assert_eq!(found[0].message, "nested deeper than 100 levels");
}
