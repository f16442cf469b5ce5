//! What the rules of a route table become.

use super::testing::{Fixture, cluster, forwarded, rules, web};
use meltemi_proto::any;
use meltemi_proto::envoy::config::route::v3 as envoy;
use meltemi_proto::envoy::config::route::v3::{
    header_matcher::HeaderMatchSpecifier,
    redirect_action,
    route::Action,
    route_action::{ClusterSpecifier, HostRewriteSpecifier, hash_policy::PolicySpecifier},
    route_match::PathSpecifier,
};
use meltemi_proto::envoy::extensions::filters::http::cors::v3::CorsPolicy;
use meltemi_proto::envoy::extensions::filters::http::fault::v3::{
    HttpFault, fault_abort::ErrorType,
};
use meltemi_types::{Code, Diagnostic};
use serde_json::{Value, json};

fn codes(found: &[Diagnostic]) -> Vec<Code> {
    found.iter().map(|d| d.code).collect()
}

/// The only route of a rule that sends to `web` and has these fields too.
fn one(fields: Value) -> envoy::Route {
    let mut rule = json!({"route": [{"destination": {"host": "web"}}]});
    let (Value::Object(rule_fields), Value::Object(fields)) = (&mut rule, fields) else {
        panic!("an object")
    };
    rule_fields.extend(fields);
    let (routes, found) = web(json!([rule]));
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(routes.len(), 1);
    routes.into_iter().next().unwrap()
}

fn action(fields: Value) -> envoy::RouteAction {
    forwarded(&one(fields)).unwrap().clone()
}

fn matched(condition: Value) -> envoy::RouteMatch {
    one(json!({"match": [condition]})).r#match.unwrap()
}

#[test]
fn rules_end_where_everything_is_taken() {
    let to = json!([{"destination": {"host": "web"}}]);
    let (routes, found) = web(json!([
        {"name": "a", "match": [{"uri": {"exact": "/a"}, "name": "x"}, {"uri": {"prefix": "/b"}}], "route": to},
        {"name": "c", "match": [{"uri": {"prefix": "/"}}, {"uri": {"exact": "/never"}}], "route": to},
        {"name": "d", "route": to},
    ]));
    let names: Vec<&str> = routes.iter().map(|r| &*r.name).collect();
    assert_eq!(names, ["a.x", "a", "c"]);
    assert_eq!(codes(&found), [Code::ShadowedRoute]);
    let at = found[0].origin.as_ref().unwrap().to_string();
    assert_eq!(at, "VirtualService shop/web spec.http[2]");
}

#[test]
fn conditions_on_caller_and_listener_are_decided_beforehand() {
    let to = json!([{"destination": {"host": "web"}}]);
    let (routes, _) = web(json!([
        {"name": "port", "match": [{"port": 81}], "route": to},
        {"name": "namespace", "match": [{"sourceNamespace": "bank"}], "route": to},
        {"name": "labels", "match": [{"sourceLabels": {"app": "x"}}], "route": to},
        {"name": "gateway", "match": [{"gateways": ["g"]}], "route": to},
        {"name": "mesh", "match": [{"gateways": ["mesh"], "uri": {"prefix": "/m"}, "sourceNamespace": "bank"}], "route": to},
        {"name": "all", "match": [{"port": 80, "sourceNamespace": "shop"}], "route": to},
    ]));
    let names: Vec<&str> = routes.iter().map(|r| &*r.name).collect();
    assert_eq!(names, ["mesh", "all"]);
}

#[test]
fn paths_headers_and_queries_are_matched() {
    let m = matched(json!({
        "uri": {"prefix": "/API"}, "ignoreUriCase": true,
        "headers": {"x-a": {"exact": "1"}, "x-b": {}, "x-c": {"regex": "*"}, "x-d": {"prefix": ""}},
        "withoutHeaders": {"x-e": {"exact": "1"}, "x-f": {}},
        "method": {"exact": "GET"}, "authority": {"prefix": "web"}, "scheme": {"exact": "http"},
        "queryParams": {"q": {"regex": "a+"}, "r": {}},
    }));
    assert_eq!(m.path_specifier, Some(PathSpecifier::Prefix("/API".into())));
    assert!(!m.case_sensitive.unwrap().value);
    let names: Vec<&str> = m.headers.iter().map(|h| &*h.name).collect();
    assert_eq!(
        names,
        [
            "x-a",
            "x-b",
            "x-c",
            "x-d",
            "x-e",
            "x-f",
            ":method",
            ":authority",
            ":scheme"
        ]
    );
    let present = Some(HeaderMatchSpecifier::PresentMatch(true));
    for i in [1, 2, 3, 5] {
        assert_eq!(m.headers[i].header_match_specifier, present);
    }
    assert!(m.headers[4].invert_match && m.headers[4].treat_missing_header_as_empty);
    assert!(m.headers[5].invert_match && !m.headers[5].treat_missing_header_as_empty);
    assert_eq!(m.query_parameters.len(), 2);
    let regex = matched(json!({"uri": {"regex": "/a.*"}, "ignoreUriCase": true}));
    assert!(matches!(
        regex.path_specifier,
        Some(PathSpecifier::SafeRegex(_))
    ));
    assert_eq!(regex.case_sensitive, None);
    let empty = matched(json!({"uri": {"prefix": ""}}));
    assert_eq!(
        empty.path_specifier,
        Some(PathSpecifier::Prefix("/".into()))
    );
}

#[test]
fn claims_are_matched_in_the_metadata_of_the_token() {
    let m = matched(json!({
        "headers": {"@request.auth.claims.group": {"exact": "admin"}},
        "withoutHeaders": {"@request.auth.claims[a.b]": {"exact": "x"}},
    }));
    assert!(m.headers.is_empty());
    assert_eq!(m.dynamic_metadata.len(), 2);
    assert_eq!(m.dynamic_metadata[0].filter, "envoy.filters.http.jwt_authn");
    assert_eq!(m.dynamic_metadata[0].path.len(), 2);
    assert!(!m.dynamic_metadata[0].invert && m.dynamic_metadata[1].invert);
}

#[test]
fn destinations_are_weighted_and_ports_resolved() {
    let (routes, found) = web(json!([{"route": [
        {"destination": {"host": "api"}, "weight": 75},
        {"destination": {"host": "web", "subset": "v2", "port": {"number": 80}}, "weight": 25,
         "headers": {"request": {"set": {"host": "v2.web", "x": "y"}}}},
        {"destination": {"host": "web", "subset": "v3"}, "weight": 0},
    ]}]));
    assert!(found.is_empty(), "{found:?}");
    let Some(ClusterSpecifier::WeightedClusters(set)) =
        &forwarded(&routes[0]).unwrap().cluster_specifier
    else {
        panic!("weighted")
    };
    let shares: Vec<(&str, u32)> = set
        .clusters
        .iter()
        .map(|c| (&*c.name, c.weight.unwrap().value))
        .collect();
    assert_eq!(
        shares,
        [
            ("outbound|8080||api.shop.svc.cluster.local", 75),
            ("outbound|80|v2|web.shop.svc.cluster.local", 25)
        ]
    );
    assert!(set.clusters[1].host_rewrite_specifier.is_some());
    assert_eq!(set.clusters[1].request_headers_to_add.len(), 1);
    let operation = &routes[0].decorator.as_ref().unwrap().operation;
    assert_eq!(operation, "web:80/*");
}

#[test]
fn destinations_that_cannot_be_answer_500() {
    let (routes, _) = web(json!([{"route": [{"destination": {"host": "invalid"}}]}]));
    let Some(Action::DirectResponse(answer)) = &routes[0].action else {
        panic!("{:?}", routes[0])
    };
    assert_eq!(answer.status, 500);
    let (routes, _) = web(json!([{"route": [
        {"destination": {"host": "invalid"}, "weight": 1},
        {"destination": {"host": "web"}, "weight": 4_000_000_000_u32},
        {"destination": {"host": "api"}, "weight": 4_000_000_000_u32},
    ]}]));
    let action = forwarded(&routes[0]).unwrap();
    assert_eq!(action.cluster_not_found_response_code, 2);
    let Some(ClusterSpecifier::WeightedClusters(set)) = &action.cluster_specifier else {
        panic!("weighted")
    };
    assert_eq!(set.clusters[0].name, "UnknownService");
    let sum: u64 = set
        .clusters
        .iter()
        .map(|c| u64::from(c.weight.unwrap().value))
        .sum();
    assert!(sum <= u64::from(u32::MAX));
    let (routes, _) = web(json!([{"route": [
        {"destination": {"host": "web"}, "weight": 0},
        {"destination": {"host": "api"}, "weight": 0},
    ]}]));
    assert!(matches!(routes[0].action, Some(Action::DirectResponse(_))));
}

#[test]
fn unknown_hosts_and_ports_are_found() {
    let to = |host: &str, port: Value| {
        let mut destination = json!({"host": host});
        if !port.is_null() {
            destination["port"] = json!({"number": port});
        }
        web(json!([{"route": [{"destination": destination}]}]))
    };
    let (routes, found) = to("gone", Value::Null);
    assert_eq!(
        cluster(&routes[0]).unwrap(),
        "outbound|80||gone.shop.svc.cluster.local"
    );
    assert_eq!(codes(&found), [Code::UnknownHost]);
    let at = found[0].origin.as_ref().unwrap().to_string();
    assert_eq!(at, "VirtualService shop/web spec.http[0].route[0]");
    assert_eq!(codes(&to("api", json!(81)).1), [Code::UnknownPort]);
    assert_eq!(codes(&to("two", Value::Null).1), [Code::AmbiguousPort]);
    assert!(to("two", json!(82)).1.is_empty());
}

#[test]
fn timeouts_and_retries_are_as_written() {
    let a = action(json!({
        "timeout": "2.5s",
        "retries": {"attempts": 3, "perTryTimeout": "1s", "retryOn": "5xx,503",
                    "retryRemoteLocalities": true, "retryIgnorePreviousHosts": false, "backoff": "50ms"},
    }));
    let timeout = a.timeout.unwrap();
    assert_eq!((timeout.seconds, timeout.nanos), (2, 500_000_000));
    assert!(
        a.max_stream_duration.is_none(),
        "beside it Envoy ignores the timeout"
    );
    let retry = a.retry_policy.unwrap();
    assert_eq!(retry.num_retries.unwrap().value, 3);
    assert_eq!(retry.per_try_timeout.unwrap().seconds, 1);
    assert_eq!(retry.retry_on, "5xx,retriable-status-codes");
    assert_eq!(retry.retriable_status_codes, [503]);
    assert!(retry.retry_host_predicate.is_empty());
    assert!(retry.retry_priority.is_some());
    assert_eq!(
        retry.retry_back_off.unwrap().base_interval.unwrap().nanos,
        50_000_000
    );
    assert_eq!(
        action(json!({"retries": {"attempts": 0}})).retry_policy,
        None
    );
}

#[test]
fn the_meshs_retry_policy_stands_in() {
    let routes = Fixture::new()
        .mesh(json!({"defaultHttpRetryPolicy": {"attempts": 7}}))
        .service("shop/web", &[(80, "http")])
        .routes("shop");
    let route = &routes.routes("80", "web.shop.svc.cluster.local:80")[0];
    let retry = forwarded(route).unwrap().retry_policy.clone().unwrap();
    assert_eq!(retry.num_retries.unwrap().value, 7);
}

#[test]
fn paths_and_hosts_are_rewritten() {
    let a = action(json!({"rewrite": {"uri": "/v2", "authority": "x.com"},
                          "headers": {"request": {"set": {"Host": "y.com"}}}}));
    assert_eq!(a.prefix_rewrite, "/v2");
    let host = |a: &envoy::RouteAction| match &a.host_rewrite_specifier {
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => host.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(host(&a), "x.com");
    let a = action(
        json!({"rewrite": {"uriRegexRewrite": {"match": "^/a/(.*)", "rewrite": "/\\1"}},
                          "headers": {"request": {"add": {":authority": "z.com"}, "set": {"host": "y.com"}}}}),
    );
    assert_eq!(a.regex_rewrite.as_ref().unwrap().substitution, "/\\1");
    assert_eq!(host(&a), "y.com");
    assert!(!a.append_x_forwarded_host);
}

#[test]
fn headers_are_set_before_they_are_added() {
    let route = one(json!({
        "headers": {
            "request": {"set": {"b": "100%", "a": "%PROTOCOL%", ":path": "/x", "bad name": "x", "n": "a\nb"},
                        "add": {"c": "1"}, "remove": ["d", "host", ":method"]},
            "response": {"add": {"e": "1"}, "remove": ["f"]},
        },
        "route": [{"destination": {"host": "web"}, "headers": {"request": {"add": {"g": "1"}}}}],
    }));
    let added: Vec<(String, String, i32)> = route
        .request_headers_to_add
        .iter()
        .map(|h| {
            let header = h.header.clone().unwrap();
            (header.key, header.value, h.append_action)
        })
        .collect();
    let expected = [
        ("a", "%PROTOCOL%", 2),
        ("b", "100%%", 2),
        ("c", "1", 0),
        ("g", "1", 0),
    ];
    assert_eq!(
        added,
        expected.map(|(k, v, a)| (k.to_owned(), v.to_owned(), a))
    );
    assert_eq!(route.request_headers_to_remove, ["d"]);
    assert_eq!(route.response_headers_to_remove, ["f"]);
}

#[test]
fn redirects_leave_out_implied_ports() {
    let redirect = |fields: Value| {
        let (routes, _) = web(json!([{"redirect": fields}]));
        match routes.first().map(|r| r.action.clone()) {
            Some(Some(Action::Redirect(redirect))) => Some(redirect),
            None => None,
            other => panic!("{other:?}"),
        }
    };
    let r = redirect(json!({"uri": "/new", "authority": "x.com", "scheme": "https", "port": 443, "redirectCode": 302})).unwrap();
    assert_eq!(
        (r.host_redirect.as_str(), r.port_redirect, r.response_code),
        ("x.com", 0, 1)
    );
    let path = redirect_action::PathRewriteSpecifier::PathRedirect("/new".into());
    assert_eq!(r.path_rewrite_specifier, Some(path));
    let port = |fields| redirect(fields).unwrap().port_redirect;
    assert_eq!(port(json!({"port": 8443, "scheme": "https"})), 8443);
    assert_eq!(port(json!({"derivePort": "FROM_REQUEST_PORT"})), 0);
    assert_eq!(
        port(json!({"derivePort": "FROM_REQUEST_PORT", "scheme": "https"})),
        80
    );
    let prefix = redirect(json!({"prefixRewrite": "/p", "uri": "/u"})).unwrap();
    let path = redirect_action::PathRewriteSpecifier::PrefixRewrite("/p".into());
    assert_eq!(prefix.path_rewrite_specifier, Some(path));
    assert_eq!(redirect(json!({"redirectCode": 305})), None);
}

#[test]
fn answers_have_bodies_of_any_size() {
    let large = "x".repeat(1_100_000);
    let fixture = Fixture::new().service("shop/web", &[(80, "http")]).table(
        "shop/web",
        rules("web", json!([
            {"match": [{"uri": {"exact": "/a"}}], "directResponse": {"status": 200, "body": {"string": large}}},
            {"match": [{"uri": {"exact": "/b"}}], "directResponse": {"status": 503, "body": {"bytes": "AAE="}}},
            {"directResponse": {"status": 700}},
        ])),
    );
    let routes = fixture.routes("shop");
    let all = routes.routes("80", "web.shop.svc.cluster.local:80");
    assert_eq!(all.len(), 2);
    let limit = routes
        .config("80")
        .max_direct_response_body_size_bytes
        .unwrap();
    assert_eq!(limit.value, 1_100_000);
}

#[test]
fn faults_cors_and_mirrors_are_on_the_route() {
    let route = one(json!({
        "fault": {"delay": {"fixedDelay": "5s", "percentage": {"value": 0.1}},
                  "abort": {"grpcStatus": "UNAVAILABLE"}},
        "corsPolicy": {"allowOrigins": [{"exact": "*"}, {"regex": "a.*"}], "allowMethods": ["GET", "PUT"],
                       "maxAge": "24h", "unmatchedPreflights": "IGNORE"},
        "mirrors": [{"destination": {"host": "api"}, "percentage": {"value": 12.5}},
                    {"destination": {"host": "api"}, "percentage": {"value": 0}}],
    }));
    let configs = &route.typed_per_filter_config;
    let fault: HttpFault = any::unpack(&configs["envoy.filters.http.fault"]).unwrap();
    assert_eq!(fault.delay.unwrap().percentage.unwrap().numerator, 1000);
    let abort = fault.abort.unwrap();
    assert_eq!(abort.error_type, Some(ErrorType::GrpcStatus(14)));
    assert_eq!(abort.percentage.unwrap().numerator, 1_000_000);
    let cors: CorsPolicy = any::unpack(&configs["envoy.filters.http.cors"]).unwrap();
    assert_eq!(cors.allow_origin_string_match.len(), 2);
    assert_eq!(
        (cors.allow_methods.as_str(), cors.max_age.as_str()),
        ("GET,PUT", "86400")
    );
    assert!(!cors.forward_not_matching_preflights.unwrap().value);
    let mirrors = &forwarded(&route).unwrap().request_mirror_policies;
    assert_eq!(mirrors.len(), 1);
    assert_eq!(
        mirrors[0].cluster,
        "outbound|8080||api.shop.svc.cluster.local"
    );
    let share = mirrors[0]
        .runtime_fraction
        .clone()
        .unwrap()
        .default_value
        .unwrap();
    assert_eq!(share.numerator, 125_000);
    assert!(mirrors[0].disable_shadow_host_suffix_append);
}

#[test]
fn routes_say_where_they_came_from() {
    let route = one(json!({"match": [{"uri": {"prefix": "/a"}, "statPrefix": "stat"}]}));
    assert_eq!(route.stat_prefix, "stat");
    let metadata = format!("{:?}", route.metadata.unwrap().filter_metadata["istio"]);
    let path = "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/web";
    assert!(metadata.contains(path), "{metadata}");
    let operation = route.decorator.unwrap().operation;
    assert_eq!(operation, "web.shop.svc.cluster.local:80/a*");
}

#[test]
fn consistent_hashes_are_on_the_route() {
    let by = |key: &str| json!({"loadBalancer": {"consistentHash": {"httpHeaderName": key}}});
    let subsets = json!([
        {"name": "v1", "labels": {}, "trafficPolicy": by("x-subset")},
        {"name": "v2", "labels": {}},
    ]);
    let mut policy = by("x-rule");
    policy["portLevelSettings"] = json!([
        {"port": {"number": 81}, "loadBalancer": {"consistentHash": {"httpCookie": {"name": "c", "ttl": "0s"}}}},
    ]);
    let to = |subset: &str, weight: u32| json!({"destination": {"host": "web", "subset": subset}, "weight": weight});
    let routes = Fixture::new()
        .service("shop/web", &[(80, "http"), (81, "http")])
        .service("shop/vs", &[(80, "http")])
        .rule("shop/web", policy, subsets)
        .table(
            "shop/vs",
            rules(
                "vs",
                json!([
                    {"match": [{"uri": {"exact": "/1"}}], "route": [to("v1", 1)]},
                    {"match": [{"uri": {"exact": "/2"}}], "route": [to("v2", 1)]},
                    {"route": [to("v1", 1), to("v2", 1)]},
                ]),
            ),
        )
        .routes("shop");
    let keys = |config: &str, host: &str, i: usize| -> Vec<String> {
        let action = forwarded(&routes.routes(config, host)[i]).unwrap();
        let keys = action
            .hash_policy
            .iter()
            .map(|h| match &h.policy_specifier {
                Some(PolicySpecifier::Header(header)) => header.header_name.clone(),
                Some(PolicySpecifier::Cookie(cookie)) => {
                    format!("{}:{}", cookie.name, cookie.ttl.is_some())
                }
                other => panic!("{other:?}"),
            });
        keys.collect()
    };
    let (own, vs) = (
        "web.shop.svc.cluster.local:80",
        "vs.shop.svc.cluster.local:80",
    );
    assert_eq!(keys("80", own, 0), ["x-rule"]);
    assert_eq!(keys("81", "web.shop.svc.cluster.local:81", 0), ["c:true"]);
    assert_eq!(keys("80", vs, 0), ["x-subset"]);
    assert_eq!(keys("80", vs, 1), ["x-rule"]);
    assert_eq!(keys("80", vs, 2), ["x-subset", "x-rule"]);
    let predicates = |host: &str, i: usize| {
        let action = forwarded(&routes.routes("80", host)[i]).unwrap();
        action
            .retry_policy
            .as_ref()
            .unwrap()
            .retry_host_predicate
            .len()
    };
    assert_eq!((predicates(own, 0), predicates(vs, 2)), (0, 1));
}
