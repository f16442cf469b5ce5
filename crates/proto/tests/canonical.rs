//! Equal messages give equal bytes, by the generated code and by reflection, and the descriptor
//! set holds what resources need.

use std::collections::BTreeMap;

use meltemi_proto::{
    any, canonical,
    envoy::{
        config::{
            cluster::v3::Cluster,
            core::v3::Http2ProtocolOptions,
            rbac::v3::{Permission, Policy, Principal, Rbac, permission, principal},
        },
        extensions::upstreams::http::v3::{HttpProtocolOptions, http_protocol_options as choices},
    },
    google::protobuf::{Any, Duration, Struct, UInt32Value},
    pool, urls, xds,
};
use prost::{Message, Name};
use serde_json::json;

const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

fn rbac(order: impl Iterator<Item = usize>) -> Rbac {
    let mut policies = BTreeMap::new();
    for index in order {
        let policy = Policy {
            permissions: vec![Permission {
                rule: Some(permission::Rule::Any(true)),
            }],
            principals: vec![Principal {
                identifier: Some(principal::Identifier::Any(true)),
            }],
            ..Default::default()
        };
        policies.insert(format!("policy-{index}"), policy);
    }
    Rbac {
        policies,
        ..Default::default()
    }
}

/// The numbers 0 to 7 in an order that depends on the round.
fn shuffled(round: usize) -> impl Iterator<Item = usize> {
    (0..8).map(move |index| ((index * 5 + round * 3) % 8) ^ (round % 8))
}

fn cluster() -> Cluster {
    let explicit = choices::ExplicitHttpConfig {
        protocol_config: Some(
            choices::explicit_http_config::ProtocolConfig::Http2ProtocolOptions(
                Http2ProtocolOptions {
                    max_concurrent_streams: Some(UInt32Value::from(100)),
                    ..Default::default()
                },
            ),
        ),
    };
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(choices::UpstreamProtocolOptions::ExplicitHttpConfig(
            explicit,
        )),
        ..Default::default()
    };
    Cluster {
        name: "outbound|80||reviews".to_owned(),
        connect_timeout: Some(Duration {
            seconds: 10,
            nanos: 0,
        }),
        typed_extension_protocol_options: [(OPTIONS.to_owned(), any::pack(&options))].into(),
        ..Default::default()
    }
}

#[test]
fn equal_messages_encode_to_equal_bytes() {
    let expected = rbac(0..8).encode_to_vec();
    for round in 0..100 {
        let message = rbac(shuffled(round));
        assert_eq!(message.policies.len(), 8);
        assert_eq!(message.encode_to_vec(), expected, "round {round}");
        assert_eq!(Rbac::decode(expected.as_slice()).unwrap(), message);
    }
}

#[test]
fn reflection_gives_the_bytes_of_the_generated_code() {
    let expected = rbac(0..8).encode_to_vec();
    for _ in 0..20 {
        let dynamic = pool::decode(&Rbac::full_name(), &expected).unwrap();
        assert_eq!(canonical::encode(&dynamic), expected);
    }
}

#[test]
fn maps_inside_an_any_are_sorted_too() {
    let outer = any::pack(&rbac(0..8));
    let json = pool::to_json("google.protobuf.Any", &outer.encode_to_vec()).unwrap();
    for _ in 0..20 {
        let bytes = pool::from_json("google.protobuf.Any", &json).unwrap();
        assert_eq!(bytes, outer.encode_to_vec());
    }
}

#[test]
fn both_typed_structs_are_in_the_pool() {
    for name in ["udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"] {
        let fields: Vec<_> = pool::descriptor(name)
            .unwrap()
            .fields()
            .map(|field| (field.name().to_owned(), field.number()))
            .collect();
        assert_eq!(
            fields,
            [("type_url".to_owned(), 1), ("value".to_owned(), 2)]
        );
    }
    let value = xds::r#type::v3::TypedStruct {
        type_url: urls::CLUSTER.to_owned(),
        value: Some([("name", "a")].into_iter().collect::<Struct>()),
    };
    let json = pool::to_json("xds.type.v3.TypedStruct", &value.encode_to_vec()).unwrap();
    assert_eq!(
        json,
        json!({ "type_url": urls::CLUSTER, "value": { "name": "a" } })
    );
}

#[test]
fn a_cluster_survives_the_way_through_json() {
    let cluster = cluster();
    let name = Cluster::full_name();
    let json = pool::to_json(&name, &cluster.encode_to_vec()).unwrap();
    let expected = json!({
        "name": "outbound|80||reviews",
        "connect_timeout": "10s",
        "typed_extension_protocol_options": { OPTIONS: {
            "@type": format!("type.googleapis.com/{OPTIONS}"),
            "explicit_http_config": { "http2_protocol_options": { "max_concurrent_streams": 100 } },
        } },
    });
    assert_eq!(json, expected);
    let bytes = pool::from_json(&name, &json).unwrap();
    assert_eq!(Cluster::decode(bytes.as_slice()).unwrap(), cluster);
}

#[test]
fn both_spellings_are_read_and_unknown_fields_refused() {
    let name = Cluster::full_name();
    let snake = pool::from_json(&name, &json!({ "connect_timeout": "1.5s" })).unwrap();
    let camel = pool::from_json(&name, &json!({ "connectTimeout": "1.5s" })).unwrap();
    assert_eq!(snake, camel);
    assert_eq!(
        Cluster::decode(snake.as_slice()).unwrap().connect_timeout,
        Some(Duration {
            seconds: 1,
            nanos: 500_000_000
        })
    );
    let error = pool::from_json(&name, &json!({ "conect_timeout": "1s" })).unwrap_err();
    assert!(error.to_string().contains("conect_timeout"), "{error}");
}

#[test]
fn an_unknown_any_is_shown_as_bytes() {
    let any = Any {
        type_url: "type.googleapis.com/no.Such".to_owned(),
        value: vec![1, 2].into(),
    };
    let json = pool::to_json("google.protobuf.Any", &any.encode_to_vec()).unwrap();
    assert_eq!(
        json,
        json!({ "@type": "type.googleapis.com/no.Such", "value": "AQI=" })
    );
}

#[test]
fn nesting_without_end_is_refused() {
    let mut any = Any::default();
    for _ in 0..500 {
        any = any::pack(&any);
    }
    let error = pool::to_json("google.protobuf.Any", &any.encode_to_vec()).unwrap_err();
    assert!(matches!(error, pool::Error::TooDeep), "{error}");
    assert_eq!(
        canonical::encode(&pool::decode("google.protobuf.Any", &any.encode_to_vec()).unwrap()),
        any.encode_to_vec()
    );

    let mut value = json!({});
    for _ in 0..500 {
        value = json!({ "list_value": [value] });
    }
    let error = pool::from_json("google.protobuf.Struct", &value).unwrap_err();
    assert!(matches!(error, pool::Error::TooDeep), "{error}");
}
