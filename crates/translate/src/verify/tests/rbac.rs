//! Traps of RBAC policies and path templates.

use super::*;

fn policy(permission: &Value, principal: &Value) -> Value {
    json!({ "policies": { "p": { "permissions": [permission], "principals": [principal] } } })
}

fn http(rules: Value) -> Told {
    with_http_filters(vec![filter("http.rbac.v3.RBAC", json!({ "rules": rules }))])
}

fn network(field: &str, rules: Value) -> Told {
    let mut config = json!({ "stat_prefix": "s" });
    config[field] = rules;
    with_filters(json!([filter("network.rbac.v3.RBAC", config), tcp_proxy()]))
}

fn any() -> Value {
    json!({ "any": true })
}

#[test]
fn templates_that_end_the_process() {
    let bad = json!({ "uri_template": template("/{*}") });
    let words = "uri_template.typed_config.path_template must be a template that Envoy can parse";
    http(policy(&bad, &any())).is_refused(words);
    http(policy(&json!({ "not_rule": bad }), &any())).is_refused(words);
    let shadow = json!({ "shadow_rules": policy(&bad, &any()) });
    with_http_filters(vec![filter("http.rbac.v3.RBAC", shadow)]).is_refused(words);
    network("rules", policy(&bad, &any())).is_refused(words);
    network("shadow_rules", policy(&bad, &any())).is_refused(words);
    let per_route = json!({ "@type": format!("{TYPES}/envoy.extensions.filters.http.rbac.v3.\
        RBACPerRoute"), "rbac": { "rules": policy(&bad, &any()) } });
    a_route(json!({ "route": { "cluster": "c" }, "typed_per_filter_config": { "r": per_route } }))
        .is_refused(words);
    let other = extension("envoy.extensions.filters.http.router.v3.Router", json!({}));
    http(policy(&json!({ "uri_template": other }), &any())).is_refused("must be a envoy.");
    http(policy(
        &json!({ "uri_template": template("/*/a/**") }),
        &any(),
    ))
    .is_taken();
}

#[test]
fn templates_follow_the_grammar_of_envoy() {
    let matched = |text: &str| {
        a_route(json!({ "match": { "path_match_policy": template(text) },
            "route": { "cluster": "c" } }))
    };
    for good in [
        "/",
        "/a",
        "/a/",
        "/*",
        "/**",
        "/**/a",
        "/*/a",
        "/a*",
        "/a**",
        "/*a",
        "/a*b",
        "/{a}",
        "/{a}b",
        "/a{b}",
        "/{a}/{b}/{c}/{d}/{e}",
        "/{a1_}",
        "/{abcdefghijklmnop}",
        "/{a=*}",
        "/{a=**}",
        "/{a=**}/b",
        "/{a=b/c}",
        "/{a=b/*/c}",
        "/***",
        "/*/*",
        "/*/**",
        "/{a=*}/**",
        "/a%20b",
        "/a!$&'()+,;:@=",
        "/*.js",
        "/**.js",
        "/a/**/",
        "/{a=a*}",
        "/*/**/a",
        "/:a",
        "/{a==}",
        "/a*b{c}",
        "/{a}*",
        "/{a=b*c}",
        "/*/a*/**",
        "/a**/*",
        "/{a=**}b/c",
        "/{a=**/x}",
        "/**/a/b",
    ] {
        matched(good).is_taken();
    }
    for bad in [
        "a",
        "//",
        "/a//b",
        "/{a}/{a}",
        "/{a}/{b}/{c}/{d}/{e}/{f}",
        "/{1a}",
        "/{_a}",
        "/{abcdefghijklmnopq}",
        "/{a=/b}",
        "/{a=b/}",
        "/{a={b}}",
        "/{a=",
        "/{}",
        "/{a=}",
        "/{*}",
        "/{**}",
        "/**/**",
        "/**/*",
        "/{a=**}/**",
        "/a b",
        "/a?b",
        "/a#b",
        "/é",
        "/[a]",
        "/a|b",
        "/{a=*b}",
        "/a}",
        "/{a",
        "/{a}.{b}",
        "/*{a}",
        "/{a=**/*}",
        "/{a.b}",
        "/***/b",
        "/*a/**/b",
        "/**/{a}",
        "/{a=**}b/*",
        "/{a=**c}",
        "/a{b}c{d}",
        "/a{b=c/*}",
    ] {
        matched(bad).is_refused("must be a template that Envoy can parse");
    }
}

#[test]
fn policies_without_permissions() {
    let rules = |permissions: Value, principals: Value| {
        http(json!({ "policies": {
            "p": { "permissions": permissions, "principals": principals } } }))
    };
    rules(json!([]), json!([any()])).is_refused("permissions must not be empty");
    rules(json!([any()]), json!([])).is_refused("principals must not be empty");
    rules(json!([{ "and_rules": { "rules": [] } }]), json!([any()]))
        .is_refused("and_rules.rules must not be empty");
    http(json!({})).is_taken();
}

#[test]
fn network_policies_with_headers() {
    let header = json!({ "header": { "name": "x", "string_match": { "exact": "a" } } });
    let words = "must not match a header in a network filter";
    network("rules", policy(&header, &any())).is_refused(words);
    network("rules", policy(&any(), &header)).is_refused(words);
    network("rules", policy(&json!({ "not_rule": header }), &any())).is_refused(words);
    let nested = json!({ "or_ids": { "ids": [any(), header] } });
    network("shadow_rules", policy(&any(), &nested)).is_refused("or_ids.ids[1].header must not");
    let path = json!({ "url_path": { "path": { "exact": "/" } } });
    network("rules", policy(&path, &any())).is_taken();
    http(policy(&header, &header)).is_taken();
}

#[test]
fn policies_with_bad_values() {
    let principal = |regex: &str| {
        let name = json!({ "safe_regex": { "regex": regex } });
        http(policy(
            &any(),
            &json!({ "authenticated": { "principal_name": name } }),
        ))
    };
    principal("(").is_refused("principal_name.safe_regex.regex must be a regular expression");
    principal(".*/ns/a/.*").is_taken();
    let range = |address: &str| {
        let range = json!({ "address_prefix": address, "prefix_len": 64 });
        http(policy(&json!({ "destination_ip": range }), &any()))
    };
    range("1.2.3").is_refused("destination_ip.address_prefix must be an IP address");
    range("1.2.3.4").is_taken();
    let ports = |start: i32, end: i32| {
        let range = json!({ "start": start, "end": end });
        http(policy(&json!({ "destination_port_range": range }), &any()))
    };
    ports(5, 5).is_refused("destination_port_range must be a range of ports");
    ports(5, 70_000).is_refused("destination_port_range must be a range of ports");
    ports(5, 65_536).is_taken();
}
