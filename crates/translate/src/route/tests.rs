//! Which route configurations, virtual hosts and domains there are.

use super::testing::{Fixture, Routes, asked, cluster, forwarded, planned, rules};
use super::{LARGEST_BODY, RouteInput};
use meltemi_model::Resolution;
use meltemi_proto::envoy::config::route::v3::route::Action;
use meltemi_types::{ClusterId, Code};
use prost::Message;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn to(host: &str) -> Value {
    json!([{"route": [{"destination": {"host": host}}]}])
}

#[test]
fn a_port_has_a_virtual_host_for_each_service_and_one_for_the_rest() {
    let routes = Fixture::new()
        .service("shop/web", &[(80, "http"), (9000, "tcp")])
        .service("bank/pay", &[(80, "grpc"), (8080, "http2")])
        .routes("shop");
    assert_eq!(routes.names(), ["80", "8080"]);
    let config = routes.config("80");
    let names: Vec<&str> = config.virtual_hosts.iter().map(|h| &*h.name).collect();
    let web = "web.shop.svc.cluster.local:80";
    assert_eq!(names, ["pay.bank.svc.cluster.local:80", web, "allow_any"]);
    assert_eq!(
        routes.host("80", web).unwrap().domains,
        [
            "web.shop.svc.cluster.local",
            "web.shop.svc.cluster.local.",
            "web",
            "web.shop.svc",
            "web.shop",
            "10.0.0.1"
        ]
    );
    assert_eq!(routes.domain("80", "pay"), None);
    assert!(routes.domain("80", "pay.bank").is_some());
    assert!(config.ignore_port_in_host_matching);
    assert!(!config.validate_clusters.unwrap().value);
    let limit = config.max_direct_response_body_size_bytes.unwrap();
    assert_eq!(limit.value, LARGEST_BODY);
    assert!(routes.found.is_empty());
}

#[test]
fn the_default_route_is_istios() {
    let routes = Fixture::new()
        .service("shop/web", &[(80, "http")])
        .routes("shop");
    let host = routes.host("80", "web.shop.svc.cluster.local:80").unwrap();
    assert!(host.include_request_attempt_count);
    let route = &host.routes[0];
    assert_eq!(route.name, "default");
    let operation = &route.decorator.as_ref().unwrap().operation;
    assert_eq!(operation, "web.shop.svc.cluster.local:80/*");
    assert_eq!(
        cluster(route).unwrap(),
        "outbound|80||web.shop.svc.cluster.local"
    );
    let action = forwarded(route).unwrap();
    assert_eq!(action.timeout.unwrap().seconds, 0);
    let stream = action.max_stream_duration.unwrap();
    assert_eq!(stream.grpc_timeout_header_max.unwrap().seconds, 0);
    let retry = action.retry_policy.as_ref().unwrap();
    assert_eq!(
        retry.retry_on,
        "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
    );
    assert_eq!(retry.num_retries.unwrap().value, 2);
    assert_eq!(retry.host_selection_retry_max_attempts, 5);
    assert_eq!(retry.retry_host_predicate.len(), 1);
}

#[test]
fn sniffed_ports_with_an_address_have_their_own_configuration() {
    let routes = Fixture::new()
        .service("shop/web", &[(90, "auto")])
        .service_with("shop/bare", &[(91, "auto")], |_| {})
        .service_with("shop/pods", &[(92, "auto"), (93, "http")], |s| {
            s.resolution = Resolution::Passthrough;
        })
        .table("shop/web", rules("web", to("bare")))
        .routes("shop");
    let web = "web.shop.svc.cluster.local:90";
    assert_eq!(
        routes.names(),
        ["91", "93", "pods.shop.svc.cluster.local:92", web]
    );
    let config = routes.config(web);
    assert_eq!(config.virtual_hosts.len(), 1);
    assert_eq!(config.virtual_hosts[0].domains, ["*"]);
    assert_eq!(config.virtual_hosts[0].name, web);
    assert_eq!(
        routes.clusters(web, "*"),
        ["outbound|91||bare.shop.svc.cluster.local"]
    );
    assert_eq!(
        routes.origins[web],
        ["VirtualService shop/web", "Service shop/web"]
    );
    assert!(routes.domain("93", "*.pods").is_some());
}

#[test]
fn the_rest_is_allowed_blocked_or_sent_to_a_proxy() {
    let web = || Fixture::new().service("shop/web", &[(80, "http")]);
    let blocked = web()
        .mesh(json!({"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}))
        .routes("shop");
    let route = &blocked.routes("80", "block_all")[0];
    let Some(Action::DirectResponse(answer)) = &route.action else {
        panic!("{route:?}")
    };
    assert_eq!((route.name.as_str(), answer.status), ("block_all", 502));
    let egress = json!({
        "egress": [{"hosts": ["*/*"]}],
        "outboundTrafficPolicy": {
            "mode": "ALLOW_ANY",
            "egressProxy": {"host": "out.edge.svc.cluster.local", "port": {"number": 8443}},
        },
    });
    let sent = web().sidecar("shop", egress).routes("shop");
    assert_eq!(
        sent.clusters("80", "*"),
        ["outbound|8443||out.edge.svc.cluster.local"]
    );
    let refused = web()
        .sidecar("shop", json!({"outboundTrafficPolicy": {}}))
        .routes("shop");
    assert_eq!(refused.domain("80", "*"), Some("block_all"));
    assert_eq!(
        web().routes("shop").clusters("80", "*"),
        ["PassthroughCluster"]
    );
}

#[test]
fn a_host_without_a_service_is_routed_on_port_80_only() {
    let routes = Fixture::new()
        .service("shop/web", &[(80, "http"), (8080, "http")])
        .table("shop/far", rules("far.example.com", to("web")))
        .routes("shop");
    let host = routes.host("80", "far.example.com:80").unwrap();
    assert_eq!(host.domains, ["far.example.com"]);
    assert_eq!(
        routes.clusters("80", "far.example.com"),
        ["outbound|80||web.shop.svc.cluster.local"]
    );
    assert_eq!(routes.domain("8080", "far.example.com"), None);
}

#[test]
fn the_most_specific_host_wins_and_wildcards_expand() {
    let routes = Fixture::new()
        .service("shop/web", &[(80, "http")])
        .service("shop/api", &[(80, "http")])
        .service("bank/pay", &[(8080, "http")])
        .table(
            "bank/wild",
            rules("*.shop.svc.cluster.local", to("pay.bank.svc.cluster.local")),
        )
        .table(
            "bank/wilder",
            rules("*.cluster.local", to("nowhere.example.com")),
        )
        .table("shop/web", rules("web", to("api")))
        .routes("shop");
    let pay = "outbound|8080||pay.bank.svc.cluster.local";
    let nowhere = "outbound|8080||nowhere.example.com";
    assert_eq!(routes.clusters("80", "api"), [pay]);
    assert_eq!(
        routes.clusters("80", "web"),
        ["outbound|80||api.shop.svc.cluster.local"]
    );
    assert_eq!(routes.clusters("8080", "pay.bank"), [nowhere]);
    assert_eq!(routes.domain("80", "*.cluster.local"), None);
    assert_eq!(routes.codes(), [Code::UnknownHost]);
}

#[test]
fn of_two_tables_for_a_host_the_first_is_used() {
    let both = |export: Value| {
        let mut young = rules("web", to("two"));
        young["exportTo"] = export;
        Fixture::new()
            .service("shop/web", &[(80, "http")])
            .service("shop/one", &[(80, "http")])
            .service("shop/two", &[(80, "http")])
            .table("shop/old", rules("web", to("one")))
            .table("shop/young", young)
            .routes("shop")
    };
    let public = both(json!([]));
    assert_eq!(
        public.clusters("80", "web"),
        ["outbound|80||one.shop.svc.cluster.local"]
    );
    assert_eq!(public.codes(), [Code::ConflictingVirtualService]);
    let loser = public.found[0].origin.as_ref().unwrap().to_string();
    assert_eq!(loser, "VirtualService shop/young");
    let private = both(json!(["."]));
    assert_eq!(
        private.clusters("80", "web"),
        ["outbound|80||two.shop.svc.cluster.local"]
    );
    assert!(private.found.is_empty());
}

#[test]
fn a_table_without_rules_in_force_leaves_the_service_alone() {
    let only = json!([{
        "match": [{"sourceLabels": {"app": "other"}}],
        "route": [{"destination": {"host": "api"}}],
    }]);
    let fixture = || {
        Fixture::new()
            .service("shop/web", &[(80, "http")])
            .service("shop/api", &[(80, "http")])
            .table("shop/web", rules("web", only.clone()))
    };
    let web = "outbound|80||web.shop.svc.cluster.local";
    assert_eq!(fixture().routes("shop").clusters("80", "web"), [web]);
    let other = fixture().labelled("shop", json!({"app": "other"}));
    assert_eq!(
        other.clusters("80", "web"),
        ["outbound|80||api.shop.svc.cluster.local"]
    );
}

#[test]
fn other_names_of_a_service_reach_it_and_can_be_routed_apart() {
    let alias = |fixture: Fixture| {
        fixture
            .service("shop/web", &[(80, "http")])
            .service_with("shop/alias", &[], |s| {
                let target = "web.shop.svc.cluster.local".parse().unwrap();
                s.resolution = Resolution::Alias(target);
            })
    };
    let plain = alias(Fixture::new()).routes("shop");
    let web = "web.shop.svc.cluster.local:80";
    assert_eq!(plain.domain("80", "alias"), Some(web));
    assert_eq!(
        plain.domain("80", "alias.shop.svc.cluster.local"),
        Some(web)
    );
    let one = json!([{
        "name": "one",
        "match": [{"uri": {"prefix": "/one"}}],
        "route": [{"destination": {"host": "alias"}}],
    }]);
    let routed = alias(Fixture::new())
        .table("shop/alias", rules("alias", one))
        .routes("shop");
    assert_eq!(
        routed.domain("80", "alias.shop.svc.cluster.local"),
        Some("alias.shop.svc.cluster.local:80")
    );
    assert_eq!(routed.domain("80", "alias.shop"), Some(web));
    assert_eq!(
        routed.clusters("80", "alias.shop.svc.cluster.local"),
        ["outbound|80||web.shop.svc.cluster.local"]
    );
    assert!(routed.found.is_empty(), "{:?}", routed.found);
}

#[test]
fn domains_belong_to_the_first_virtual_host() {
    let same = |s: &mut meltemi_model::Service| {
        let address = ["10.1.1.1".parse().unwrap()].into();
        s.addresses = BTreeMap::from([(ClusterId::default(), address)]);
    };
    let routes = Fixture::new()
        .service_with("shop/a.com", &[(80, "http")], same)
        .service_with("shop/b.com", &[(80, "http")], same)
        .service_with("shop/web.shop", &[(80, "http")], |_| {})
        .service("shop/web", &[(80, "http")])
        .service_with("shop/*.wild.com", &[(80, "http")], |_| {})
        .routes("shop");
    assert_eq!(routes.domain("80", "10.1.1.1"), Some("a.com:80"));
    assert_eq!(routes.domain("80", "web.shop"), Some("web.shop:80"));
    assert!(routes.domain("80", "*.wild.com").is_some());
    assert_eq!(routes.codes(), [Code::DuplicateDomain]);
}

#[test]
fn a_route_table_for_everything_replaces_the_catch_all() {
    let routes = Fixture::new()
        .service_with("shop/web.com", &[(80, "http")], |_| {})
        .table(
            "shop/all",
            json!({"hosts": ["*", "none.example.com"], "http": to("web.com")}),
        )
        .routes("shop");
    assert_eq!(routes.domain("80", "web.com"), Some("web.com:80"));
    assert_eq!(routes.domain("80", "*"), Some("allow_any"));
    let routes = Fixture::new()
        .service("shop/web", &[(80, "http")])
        .table("shop/web", rules("web", to("web")))
        .service_with("shop/x.com", &[(80, "http")], |s| {
            s.key.host = "*".parse().unwrap();
        })
        .routes("shop");
    assert_eq!(routes.domain("80", "*"), Some("*:80"));
}

#[test]
fn proxy_listeners_know_hosts_by_port() {
    let snapshot = Fixture::new()
        .service("shop/web", &[(80, "http"), (8080, "http")])
        .snapshot();
    let routes = Routes::of(&snapshot, "shop", json!({"HTTP_PROXY_PORT": "3128"}));
    assert_eq!(routes.names(), ["80", "8080", "http_proxy"]);
    assert!(!routes.config("http_proxy").ignore_port_in_host_matching);
    let host = |domain| routes.domain("http_proxy", domain);
    assert_eq!(host("web"), Some("web.shop.svc.cluster.local:80"));
    assert_eq!(host("web:80"), Some("web.shop.svc.cluster.local:80"));
    assert_eq!(host("web:8080"), Some("web.shop.svc.cluster.local:8080"));
    assert_eq!(
        host("10.0.0.1:8080"),
        Some("web.shop.svc.cluster.local:8080")
    );
    assert_eq!(host("*"), Some("allow_any"));
}

#[test]
fn egress_listeners_have_their_ports_to_themselves() {
    let spec = json!({"egress": [
        {"port": {"number": 80, "protocol": "HTTP"}, "hosts": ["./web.shop.svc.cluster.local"]},
        {"port": {"number": 0, "protocol": "HTTP"}, "bind": "unix:///tmp/s", "hosts": ["./*"]},
        {"hosts": ["bank/*"]},
    ]});
    let routes = Fixture::new()
        .service("shop/web", &[(80, "http")])
        .service("shop/api", &[(80, "http"), (81, "http")])
        .service("bank/pay", &[(80, "http"), (82, "http")])
        .sidecar("shop", spec)
        .routes("shop");
    assert_eq!(routes.names(), ["80", "82", "unix:///tmp/s"]);
    assert!(routes.domain("80", "web").is_some());
    assert_eq!(routes.domain("80", "api"), None);
    assert_eq!(routes.domain("80", "pay.bank"), None);
    assert!(routes.domain("unix:///tmp/s", "api:81").is_some());
}

#[test]
fn listeners_at_an_address_of_their_own_are_sniffed_apart() {
    let fixture = || {
        Fixture::new()
            .service_with("shop/bare", &[(91, "auto")], |_| {})
            .service("shop/web", &[(80, "auto")])
    };
    let (bare, web) = (
        "bare.shop.svc.cluster.local:91",
        "web.shop.svc.cluster.local:80",
    );
    let bound = json!({"egress": [{"captureMode": "NONE", "hosts": ["*/*"]}]});
    let routes = fixture().sidecar("shop", bound).routes("shop");
    assert_eq!(routes.names(), [bare, web]);
    let none = Routes::of(
        &fixture().snapshot(),
        "shop",
        json!({"INTERCEPTION_MODE": "NONE"}),
    );
    assert_eq!(none.names(), [bare, web]);
    let proxy = json!({"egress": [
        {"port": {"number": 3128, "protocol": "HTTP_PROXY"}, "hosts": ["*/*"]},
        {"port": {"number": 80, "name": "http-x"}, "hosts": ["./bare.shop.svc.cluster.local"]},
        {"hosts": ["*/*"]},
    ]});
    let routes = fixture().sidecar("shop", proxy).routes("shop");
    assert_eq!(routes.names(), ["80", "91", "http_proxy", web]);
}

#[test]
fn every_name_that_listeners_ask_for_is_planned() {
    let all = json!([{"hosts": ["*/*"]}]);
    let bound = json!([{"captureMode": "NONE", "hosts": ["*/*"]}]);
    let mixed = json!([
        {"port": {"number": 3128, "protocol": "HTTP_PROXY"}, "hosts": ["*/*"]},
        {"port": {"number": 80, "protocol": "HTTP"}, "hosts": ["./web.shop.svc.cluster.local"]},
        {"port": {"number": 90}, "bind": "127.0.0.5", "hosts": ["./*"]},
        {"port": {"number": 0, "protocol": "HTTP"}, "bind": "unix:///tmp/s", "hosts": ["./*"]},
        {"hosts": ["*/*"]},
    ]);
    for egress in [all, bound, mixed] {
        for mode in ["REDIRECT", "NONE"] {
            let snapshot = Fixture::new()
                .service("shop/web", &[(80, "http"), (90, "auto"), (91, "auto")])
                .service("bank/pay", &[(80, "auto"), (90, "grpc"), (92, "tcp")])
                .service_with("shop/bare", &[(93, "auto"), (80, "http")], |_| {})
                .service_with("shop/pods", &[(94, "auto"), (95, "http")], |s| {
                    s.resolution = Resolution::Passthrough;
                })
                .sidecar("shop", json!({"egress": egress}))
                .snapshot();
            let metadata = json!({"INTERCEPTION_MODE": mode, "HTTP_PROXY_PORT": "3129"});
            let asked = asked(&snapshot, "shop", metadata.clone());
            let routes = Routes::of(&snapshot, "shop", metadata);
            let missing: Vec<_> = asked
                .iter()
                .filter(|n| !routes.all.contains_key(*n))
                .collect();
            assert!(missing.is_empty(), "{egress} {mode}: {missing:?}");
            // Listeners at the pods of a headless service ask by its host.
            assert!(!routes.all.contains_key("94"), "{egress} {mode}");
            assert!(asked.len() > 2, "{asked:?}");
        }
    }
}

#[test]
fn classes_that_see_the_same_share_inputs() {
    let snapshot = Fixture::new()
        .service("shop/web", &[(80, "http"), (90, "auto")])
        .table("shop/web", rules("web", to("web")))
        .snapshot();
    let inputs = |namespace: &str, metadata: Value| -> Vec<RouteInput> {
        let planned = planned(&snapshot, namespace, metadata);
        planned.items.into_iter().map(|item| item.input).collect()
    };
    let labels = json!({"LABELS": {"app": "a"}});
    assert_eq!(inputs("shop", labels), inputs("shop", json!({})));
    // A sniffed port is the same for everybody, short names are not.
    let (shop, bank) = (inputs("shop", json!({})), inputs("bank", json!({})));
    let equal: Vec<bool> = shop.iter().zip(&bank).map(|(a, b)| a == b).collect();
    assert_eq!(equal, [false, true], "{shop:?}");
    let bytes = |i: &RouteInput| super::build(i).message.encode_to_vec();
    assert!(shop.iter().all(|i| bytes(i) == bytes(i)));
}

#[test]
fn five_hundred_services_make_one_configuration() {
    let fixture = (0..500).fold(Fixture::new(), |fixture, i| {
        fixture.service_with(&format!("shop/s{i}"), &[(80, "http")], |_| {})
    });
    let routes = fixture.routes("shop");
    assert_eq!(routes.names(), ["80"]);
    assert_eq!(routes.config("80").virtual_hosts.len(), 501);
}
