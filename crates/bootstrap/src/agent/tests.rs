//! What the bootstrap beside an agent has, and what users may change of it.

use super::*;

fn bootstrap() -> AgentBootstrap {
    let local = |port| AdminAddress {
        address: "127.0.0.1".into(),
        port,
    };
    AgentBootstrap {
        node: NodeFacts::new(
            "sidecar~10.1.2.3~a.shop~shop.svc.cluster.local".into(),
            "a.shop".into(),
        ),
        xds: XdsServer::Uds("./etc/istio/proxy/XDS".into()),
        protocol: XdsProtocol::Delta,
        admin: local(15000),
        doors: Doors {
            addresses: vec!["0.0.0.0".into()],
            health: 15021,
            stats: 15090,
            stats_addresses: None,
            secure_stats: 0,
            secure_merged: 0,
            compressed: true,
            agent: local(15020),
        },
        sds: "./var/run/secrets/workload-spiffe-uds/socket".into(),
        sds_files: None,
        stats: Selection::default(),
        log: LogLines::Text,
        runtime: BTreeMap::new(),
        connections: None,
        statsd: None,
    }
}

fn names(list: &Value) -> Vec<&str> {
    let all = list.as_array().unwrap().iter();
    all.filter_map(|item| item["name"].as_str()).collect()
}

#[test]
fn the_agents_clusters_and_doors_are_there() {
    let json = bootstrap().to_json();
    let statics = &json["static_resources"];
    let clusters = ["prometheus_stats", "agent", "sds-grpc", "xds-grpc"];
    assert_eq!(names(&statics["clusters"]), clusters);
    let doors = ["0.0.0.0_15090", "0.0.0.0_15021"];
    assert_eq!(names(&statics["listeners"]), doors);
    for cluster in statics["clusters"].as_array().unwrap() {
        let name = cluster["name"].as_str().unwrap();
        assert_eq!(cluster["alt_stat_name"], format!("{name};"));
    }
    assert!(json.get("tracing").is_none());
}

#[test]
fn doors_may_be_shut_and_have_two_families() {
    let mut facts = bootstrap();
    facts.doors.stats = 0;
    facts.doors.addresses.push("::".into());
    let json = facts.to_json();
    let listeners = &json["static_resources"]["listeners"];
    assert_eq!(names(listeners), ["0.0.0.0_15021"]);
    let more = &listeners[0]["additional_addresses"][0]["address"]["socket_address"];
    assert_eq!(more["address"], "::");
}

#[test]
fn doors_over_tls_ask_for_a_certificate_of_the_mesh() {
    let mut facts = bootstrap();
    facts.doors.secure_stats = 15091;
    facts.doors.secure_merged = 15092;
    let json = facts.to_json();
    let listeners = &json["static_resources"]["listeners"];
    let wanted = [
        "0.0.0.0_15090",
        "0.0.0.0_15091",
        "0.0.0.0_15092",
        "0.0.0.0_15021",
    ];
    assert_eq!(names(listeners), wanted);
    for (index, cluster) in [(1, "prometheus_stats"), (2, "agent")] {
        let chain = &listeners[index]["filter_chains"][0];
        assert_eq!(chain["filter_chain_match"]["transport_protocol"], "tls");
        let context = &chain["transport_socket"]["typed_config"];
        assert_eq!(context["require_client_certificate"], true);
        let hosts = &chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"];
        assert_eq!(hosts[0]["routes"][0]["route"]["cluster"], cluster);
    }
    for index in [0, 3] {
        let chain = &listeners[index]["filter_chains"][0];
        assert!(chain.get("transport_socket").is_none(), "{index}");
    }
}

#[test]
fn statistics_go_to_statsd_where_that_is_asked_for() {
    let mut facts = bootstrap();
    assert!(facts.to_json().get("stats_sinks").is_none());
    facts.statsd = Some(([10, 0, 0, 9], 9125).into());
    let sink = &facts.to_json()["stats_sinks"][0]["typed_config"]["address"]["socket_address"];
    assert_eq!(
        (&sink["address"], &sink["port_value"]),
        (&json!("10.0.0.9"), &json!(9125))
    );
}

#[test]
fn certificates_from_files_get_a_cluster_when_another_agent_owns_the_socket() {
    let mut facts = bootstrap();
    facts.sds_files = Some("./var/run/secrets/credential-uds/files-socket".into());
    let json = facts.to_json();
    let clusters = names(&json["static_resources"]["clusters"]);
    assert!(clusters.contains(&"sds-files-grpc"), "{clusters:?}");
}

#[test]
fn runtime_values_replace_and_remove_ours() {
    let mut facts = bootstrap();
    let values = [
        ("re2.max_program_size.error_level", "100"),
        ("envoy.reloadable_features.fixed_heap_use_allocated", ""),
        ("mine", "true"),
    ];
    facts.runtime = values
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into();
    let json = facts.to_json();
    let layer = &json["layered_runtime"]["layers"][0]["static_layer"];
    assert_eq!(layer["re2.max_program_size.error_level"], "100");
    assert_eq!(layer["mine"], true);
    let gone = "envoy.reloadable_features.fixed_heap_use_allocated";
    assert!(layer.get(gone).is_none(), "{layer}");
}

#[test]
fn users_extend_the_selection_and_cannot_break_out_of_a_tag() {
    let mut facts = bootstrap();
    facts.stats = Selection {
        suffixes: vec!["downstream_cx_active".into()],
        tags: vec!["my.tag".into()],
        ..Selection::default()
    };
    let json = facts.to_json();
    let stats = &json["stats_config"];
    let patterns = stats["stats_matcher"]["inclusion_list"]["patterns"].to_string();
    assert!(patterns.contains("downstream_cx_active"), "{patterns}");
    assert!(patterns.contains("cluster_manager"), "{patterns}");
    let tags = stats["stats_tags"].as_array().unwrap();
    let last = tags.last().unwrap();
    assert_eq!(last["regex"], r"(my\.tag=\.=(.*?);\.)");
}
