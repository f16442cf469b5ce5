//! Traps of route tables.

use super::*;

fn to_c() -> Value {
    json!({ "route": { "cluster": "c" } })
}

fn forward(action: Value) -> Told {
    let mut action = action;
    if action.get("weighted_clusters").is_none() {
        action["cluster"] = "c".into();
    }
    a_route(json!({ "route": action }))
}

#[test]
fn duplicate_domains() {
    let hosts = |domains: [&[&str]; 2]| {
        let host = |name: &str, domains: &[&str]| json!({ "name": name, "domains": domains });
        a_table(&json!({ "virtual_hosts": [host("v", domains[0]), host("v", domains[1])] }))
    };
    hosts([&["a"], &["A"]]).is_refused("virtual_hosts[1].domains[0] must not be \"A\" again");
    hosts([&["*"], &["*"]]).is_refused("must not be \"*\" again");
    hosts([&["b", "*.a", "*.A"], &["c"]]).is_refused("virtual_hosts[0].domains[2] must not be");
    hosts([&["a", "a.*", "*.a"], &["*", "b"]]).is_taken();
}

#[test]
fn inline_routes_with_unknown_clusters() {
    let listener = |validate: Option<bool>| {
        let mut manager = manager(table(to_c()), Vec::new());
        manager["typed_config"]["route_config"]["validate_clusters"] = json!(validate);
        with_filters(json!([manager]))
    };
    listener(None).is_refused("route_config.validate_clusters must be false");
    listener(Some(true)).is_refused("route_config.validate_clusters must be false");
    listener(Some(false)).is_taken();
    a_route(to_c()).is_taken();
}

#[test]
fn separated_prefix_that_ends_in_a_slash() {
    let prefix = |prefix: &str| {
        let mut route = to_c();
        route["match"] = json!({ "path_separated_prefix": prefix });
        a_route(route)
    };
    prefix("/api/").is_refused("path_separated_prefix must match");
    prefix("/").is_refused("path_separated_prefix must match");
    prefix("/api").is_taken();
}

#[test]
fn weighted_clusters_without_weight() {
    let weights = |weights: &[Value]| {
        let clusters: Vec<Value> = weights
            .iter()
            .map(|weight| json!({ "name": "a", "weight": weight }))
            .collect();
        forward(json!({ "weighted_clusters": { "clusters": clusters } }))
    };
    weights(&[json!(0), json!(0)]).is_refused("weighted_clusters must have a weight above 0");
    weights(&[json!(u32::MAX), json!(1)]).is_refused("must have weights that sum up to at most");
    weights(&[json!(null)]).is_refused("clusters[0].weight must be set");
    weights(&[json!(0), json!(1)]).is_taken();
    for cluster in [
        json!({ "weight": 1 }),
        json!({ "weight": 1, "name": "a", "cluster_header": "b" }),
    ] {
        forward(json!({ "weighted_clusters": { "clusters": [cluster] } }))
            .is_refused("clusters[0] must have either a name or a cluster_header");
    }
}

#[test]
fn changes_of_host_and_pseudo_headers() {
    for field in ["request_headers_to_add", "response_headers_to_add"] {
        let added = |key: &str| {
            let mut route = to_c();
            route[field] = json!([{ "header": { "key": key, "value": "x" } }]);
            a_route(route)
        };
        added("Host").is_refused("header.key must not be \"Host\"");
        added(":authority").is_refused("header.key must not be \":authority\"");
        added("x-host").is_taken();
    }
    for field in ["request_headers_to_remove", "response_headers_to_remove"] {
        let removed = |key: &str| {
            let mut route = to_c();
            route[field] = json!([key]);
            a_route(route)
        };
        removed("host").is_refused("cannot be removed");
        removed(":path").is_refused("cannot be removed");
        removed("x-host").is_taken();
    }
}

#[test]
fn header_match_with_an_empty_prefix() {
    let prefix = |prefix: &str| {
        let mut route = to_c();
        let header = json!({ "name": "x", "string_match": { "prefix": prefix } });
        route["match"] = json!({ "prefix": "/", "headers": [header] });
        a_route(route)
    };
    prefix("").is_refused("headers[0].string_match.prefix must not be empty");
    prefix("a").is_taken();
}

#[test]
fn direct_responses() {
    let status = |status: u32| a_route(json!({ "direct_response": { "status": status } }));
    status(199).is_refused("direct_response.status must be at least 200");
    status(600).is_refused("direct_response.status must be at least 200 and less than 600");
    status(599).is_taken();
    let body = |length: usize, limit: Option<u32>| {
        let text = "x".repeat(length);
        let response = json!({ "status": 200, "body": { "inline_string": text } });
        let mut table = table(json!({ "direct_response": response }));
        table["max_direct_response_body_size_bytes"] = json!(limit);
        a_table(&table)
    };
    body(4097, None).is_refused("direct_response.body must have at most 4096 bytes");
    body(4, Some(3)).is_refused("at most 3 bytes");
    body(4096, None).is_taken();
    body(4097, Some(5000)).is_taken();
}

#[test]
fn bad_regular_expressions() {
    let bad = json!({ "regex": "a(b" });
    let good = json!({ "regex": "a(b)" });
    let rewrite = |regex: &Value| json!({ "pattern": regex, "substitution": "b" });
    let cors = |regex: &Value| {
        json!({ "cors": { "@type": format!("{TYPES}/envoy.extensions.filters.http.cors.v3.\
            CorsPolicy"), "allow_origin_string_match": [{ "safe_regex": regex }] } })
    };
    type Place<'p> = &'p dyn Fn(&Value) -> Value;
    let places: [Place<'_>; 7] = [
        &|regex| json!({ "match": { "safe_regex": regex }, "route": { "cluster": "c" } }),
        &|regex| {
            json!({ "match": { "prefix": "/", "headers": [{ "name": "x",
                "string_match": { "safe_regex": regex } }] }, "route": { "cluster": "c" } })
        },
        &|regex| json!({ "route": { "cluster": "c", "regex_rewrite": rewrite(regex) } }),
        &|regex| json!({ "route": { "cluster": "c", "host_rewrite_path_regex": rewrite(regex) } }),
        &|regex| json!({ "redirect": { "regex_rewrite": rewrite(regex) } }),
        &|regex| {
            json!({ "route": { "cluster": "c", "hash_policy": [{ "header": {
                "header_name": "x", "regex_rewrite": rewrite(regex) } }] } })
        },
        &|regex| json!({ "route": { "cluster": "c" }, "typed_per_filter_config": cors(regex) }),
    ];
    for place in places {
        a_route(place(&bad)).is_refused("must be a regular expression that Envoy can compile");
        a_route(place(&good)).is_taken();
    }
    let mut hosts = table(to_c());
    hosts["virtual_hosts"][0]["typed_per_filter_config"] = cors(&bad);
    a_table(&hosts).is_refused(
        "virtual_hosts[0].typed_per_filter_config[\"cors\"].allow_origin_string_match[0]",
    );
}

#[test]
fn header_values_that_are_no_format() {
    let value = |value: &str| {
        let mut route = to_c();
        route["request_headers_to_add"] = json!([{ "header": { "key": "x", "value": value } }]);
        a_route(route)
    };
    for bad in [
        "100%",
        "a%b%c",
        "%PROTOCOL",
        "%PROTOCOL%%",
        "%protocol%",
        "%REQ(a)b%",
        "%REQ(x):a%",
        "%CEL(%",
        "%REQ(:path):%",
    ] {
        value(bad).is_refused("without a lone percent sign");
    }
    for (bad, words) in [
        ("%FOO%", "there is no operator FOO"),
        (
            "%REQ_WITHOUT_QUERY(x)%",
            "there is no operator REQ_WITHOUT_QUERY",
        ),
        ("%PROTOCOL(x)%", "PROTOCOL takes no arguments"),
        ("%PROTOCOL:3%", "PROTOCOL takes no arguments"),
        ("%REQ%", "REQ needs arguments"),
        ("%REQ()%", "REQ needs arguments"),
        ("%ENVIRONMENT%", "ENVIRONMENT needs arguments"),
        ("%REQ(a?b?c)%", "one alternative header only"),
        ("%REQ(a:b)%", "\"a:b\" is no header name"),
        ("%REQ(x y)%", "\"x y\" is no header name"),
        ("%GRPC_STATUS(X)%", "GRPC_STATUS takes one of"),
        ("%CEL(((()%", "its brackets do not match"),
    ] {
        value(bad).is_refused(words);
    }
    for good in [
        "",
        "%%",
        "100%%",
        "%REQ(x)%",
        "%REQ(:path)%",
        "%REQ(a?b):5%",
        "%PROTOCOL%",
        "%%PROTOCOL%%",
        "%START_TIME%",
        "%START_TIME(%Y/%m)%",
        "%CEL(xds.node.metadata['K'])%",
        "%ENVIRONMENT(K)%",
        "%DYNAMIC_METADATA(a:b)%",
        "%UPSTREAM_METADATA([\"a\",\"b\"])%",
        "%HOSTNAME%",
        "%GRPC_STATUS(CAMEL_STRING)%",
        "%PER_REQUEST_STATE(a)%",
    ] {
        value(good).is_taken();
    }
}

#[test]
fn a_route_without_action() {
    a_route(json!({})).is_refused("routes[0].action must be set to one of");
    a_route(json!({ "non_forwarding_action": {} })).is_taken();
}

#[test]
fn durations_beyond_what_envoy_holds() {
    let timeout = |timeout: &str| forward(json!({ "timeout": timeout }));
    timeout("9223372037s").is_refused("route.timeout");
    timeout("9223372035s").is_taken();
}

#[test]
fn more_than_one_rewrite_of_the_path() {
    let regex = json!({ "pattern": { "regex": "a" }, "substitution": "b" });
    forward(json!({ "prefix_rewrite": "/", "regex_rewrite": regex }))
        .is_refused("route must rewrite the path in one way only");
    forward(json!({ "prefix_rewrite": "/" })).is_taken();
}

#[test]
fn rewrites_by_template() {
    let rewritten = |rewrite: &str, matched: Value| {
        let policy = extension(
            "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig",
            json!({ "path_template_rewrite": rewrite }),
        );
        a_route(json!({ "match": matched,
            "route": { "cluster": "c", "path_rewrite_policy": policy } }))
    };
    let by_template = || json!({ "path_match_policy": template("/{a}") });
    rewritten("/x/{b}", by_template()).is_refused("must not use \"b\"");
    rewritten("x{a}", by_template()).is_refused("it does not start with a slash");
    rewritten("/x", json!({ "prefix": "/" })).is_refused("without a path_match_policy");
    rewritten("/x/{a}", by_template()).is_taken();
}

#[test]
fn mirrors_and_retries() {
    let mirror = |mirror: Value| forward(json!({ "request_mirror_policies": [mirror] }));
    mirror(json!({})).is_refused("request_mirror_policies[0] must have either a cluster or a");
    mirror(json!({ "cluster": "a", "cluster_header": "b" })).is_refused("either a cluster or");
    mirror(json!({ "cluster": "a" })).is_taken();
    let back_off = |most: &str| {
        forward(json!({ "retry_policy": { "retry_back_off": {
            "base_interval": "2s", "max_interval": most } } }))
    };
    back_off("1s").is_refused("max_interval must not be shorter than base_interval");
    back_off("2s").is_taken();
}
