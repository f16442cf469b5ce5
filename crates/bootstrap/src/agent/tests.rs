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
            compressed: true,
            agent: local(15020),
        },
        sds: "./var/run/secrets/workload-spiffe-uds/socket".into(),
        sds_files: None,
        stats: Selection::default(),
        log: LogLines::Text,
        runtime: BTreeMap::new(),
        connections: None,
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
