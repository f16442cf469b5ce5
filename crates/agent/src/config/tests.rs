//! Where settings come from, which place wins, and what is said of a wrong one.

use super::*;
use meltemi_agent::dns::{Early, Order, Settings as Dns};
use serde_json::json;

fn proxy(line: &str) -> Proxy {
    let words = ["meltemi-agent", "proxy"]
        .into_iter()
        .chain(line.split_whitespace());
    let args = <crate::args::Args as clap::Parser>::try_parse_from(words).unwrap();
    let crate::args::Command::Proxy(proxy) = args.command else {
        panic!("{line} is another command");
    };
    proxy
}

const POD: [(&str, &str); 4] = [
    ("POD_NAME", "a-1"),
    ("POD_NAMESPACE", "shop"),
    ("INSTANCE_IP", "10.1.2.3"),
    ("SERVICE_ACCOUNT", "a"),
];

fn config(line: &str, more: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Config, String> {
    let root = ("./var/run/secrets/istio/root-cert.pem", "PEM");
    let read = |path: &Path| {
        let mut all = files.iter().chain([&root]);
        let found = all.find(|(name, _)| Path::new(name) == path);
        found.map(|(_, text)| (*text).to_owned())
    };
    let env = Env::of(POD.iter().chain(more));
    let pod = Pod::read(&read);
    Config::of(&Given {
        args: &proxy(line),
        env: &env,
        pod: &pod,
        read: &read,
    })
}

#[test]
fn a_pod_that_says_nothing_gets_istios_defaults() {
    let config = config("sidecar", &[], &[]).unwrap();
    let node = &config.bootstrap.node;
    assert_eq!(node.id, "sidecar~10.1.2.3~a-1.shop~shop.svc.cluster.local");
    assert_eq!(node.cluster, "istio-proxy.shop");
    assert_eq!(node.metadata["INSTANCE_IPS"], "10.1.2.3");
    assert_eq!(node.metadata["CLUSTER_ID"], "Kubernetes");
    assert_eq!(config.ads.upstream, "istiod.istio-system.svc:15012");
    assert_eq!(config.status.unwrap().to_string(), "0.0.0.0:15020");
    assert_eq!(config.drain.pause, Duration::from_secs(5));
    assert_eq!(config.drain.own_ports, [15021, 15090, 15020, 15000]);
    assert_eq!(config.envoy.concurrency, None);
}

#[test]
fn later_places_win_and_metadata_merges_by_key() {
    let files = [
        (
            "./etc/istio/config/mesh",
            "defaultConfig: {concurrency: 4, drainDuration: 7s, proxyMetadata: {ISTIO_META_A: mesh}}",
        ),
        (
            "./etc/istio/pod/annotations",
            "proxy.istio.io/config=\"concurrency: 3\\nproxyMetadata:\\n  ISTIO_META_C: pod\"\n",
        ),
        (
            "./etc/istio/pod/labels",
            "app=\"cart\"\npod-template-hash=\"x\"\nistio-locality=\"eu.west.r1\"\n",
        ),
    ];
    let env = [
        (
            "PROXY_CONFIG",
            r#"{"concurrency": 2, "proxyMetadata": {"ISTIO_META_B": "env"}}"#,
        ),
        ("ISTIO_META_A", "process"),
        ("ISTIO_METAJSON_X", r#"{"D": {"deep": true}}"#),
    ];
    let config = config("sidecar", &env, &files).unwrap();
    assert_eq!(config.envoy.concurrency, Some(3));
    assert_eq!(config.envoy.drain, Duration::from_secs(7));
    let node = &config.bootstrap.node;
    for (key, value) in [("A", "process"), ("B", "env"), ("C", "pod")] {
        assert_eq!(node.metadata[key], value, "{key}");
    }
    assert_eq!(node.metadata["D"], json!({"deep": true}));
    let labels = json!({"app": "cart", "istio-locality": "eu/west/r1"});
    assert_eq!(node.metadata["LABELS"], labels);
    assert_eq!(node.cluster, "cart.shop");
    assert_eq!(node.locality.as_ref().unwrap().to_string(), "eu/west/r1");
}

#[test]
fn what_is_wrong_is_named_with_what_to_do() {
    let cases: [(&str, &str, &str); 6] = [
        (
            "POD_NAME",
            "",
            "POD_NAME is not set; take it from the downward API",
        ),
        (
            "PROXY_CONFIG",
            "{concurrency: [}",
            "PROXY_CONFIG cannot be read",
        ),
        ("XDS_ROOT_CA", "SYSTEM", "XDS_ROOT_CA=SYSTEM"),
        (
            "XDS_ROOT_CA",
            "/none",
            "/none: there is no file with the control plane's root",
        ),
        ("DISABLE_ENVOY", "true", "DISABLE_ENVOY=true"),
        (
            "WORKLOAD_IDENTITY_SOCKET_FILE",
            "a/b",
            "WORKLOAD_IDENTITY_SOCKET_FILE=\"a/b\"",
        ),
    ];
    for (name, value, wanted) in cases {
        let error = config("sidecar", &[(name, value)], &[]).unwrap_err();
        assert!(error.starts_with(wanted), "{error}");
    }
}

#[test]
fn an_empty_root_is_an_error_and_plaintext_shows_no_token() {
    let files = [("./var/run/secrets/istio/root-cert.pem", " \n")];
    let error = config("sidecar", &[], &files).unwrap_err();
    assert!(error.contains("is empty"), "{error}");
    let env = [
        ("PROXY_CONFIG", "{controlPlaneAuthPolicy: NONE}"),
        ("XDS_HEADER_X", "secret"),
    ];
    let files = [("./var/run/secrets/tokens/istio-token", "jwt")];
    let plain = config("sidecar", &env, &files).unwrap();
    assert!(plain.ads.roots.is_none() && plain.ads.token.is_none());
    assert!(plain.ads.headers.is_empty());
    let secure = config("sidecar", &[], &files).unwrap();
    assert!(secure.ads.roots.is_some() && secure.ads.token.is_some());
    assert!(secure.identity.is_some() && plain.identity.is_none());
    let said = |config: &Config| config.bootstrap.node.metadata["MELTEMI_CERTIFICATES"].clone();
    assert_eq!((said(&secure), said(&plain)), (json!("SDS"), json!("NONE")));
}

#[test]
fn the_drain_can_wait_for_connections() {
    let env = [
        ("EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "true"),
        ("MINIMUM_DRAIN_DURATION", "1s"),
    ];
    let config = config("router", &env, &[]).unwrap();
    assert!(config.drain.until_idle && !config.drain.inbound_only);
    assert_eq!(config.drain.minimum, Duration::from_secs(1));
    assert_eq!(config.bootstrap.stats.suffixes, ["downstream_cx_active"]);
    assert_eq!(
        config.bootstrap.node.metadata["EXIT_ON_ZERO_ACTIVE_CONNECTIONS"],
        "true"
    );
}

fn dns(line: &str, more: &[(&str, &str)], files: &[(&str, &str)]) -> Option<Dns> {
    let config = config(line, more, files).unwrap();
    assert_eq!(config.ads.name_table, config.dns.is_some());
    config.dns
}

fn addresses(dns: &Dns) -> Vec<String> {
    dns.addresses.iter().map(ToString::to_string).collect()
}

const CAPTURE: (&str, &str) = ("ISTIO_META_DNS_CAPTURE", "true");

#[test]
fn dns_is_answered_where_the_pods_servers_are_reached() {
    let v4 = (
        "/etc/resolv.conf",
        "search shop.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\n",
    );
    let found = dns("sidecar", &[CAPTURE], &[v4]).unwrap();
    assert_eq!(addresses(&found), ["127.0.0.1:15053"]);
    assert_eq!(found.servers, ["10.96.0.10:53".parse().unwrap()]);
    assert_eq!(found.search.as_deref(), Some("shop.svc.cluster.local"));
    assert_eq!(found.domain, "shop.svc.cluster.local");
    assert_eq!((found.order, found.early), (Order::InTurn, Early::Fail));
    assert_eq!(found.timeout, Duration::from_secs(5));
    let both = (
        "/etc/resolv.conf",
        "nameserver 10.0.0.1\nnameserver fd00::1\n",
    );
    let found = dns("sidecar --domain x.svc.y", &[CAPTURE], &[both]).unwrap();
    assert_eq!(addresses(&found), ["127.0.0.1:15053", "[::1]:15053"]);
    assert_eq!(found.domain, "x.svc.y");
    assert_eq!(dns("sidecar", &[], &[v4]), None);
    assert_eq!(dns("router", &[CAPTURE], &[v4]), None);
}

#[test]
fn dns_settings_can_be_made_in_many_places() {
    let more = [
        ("ISTIO_META_ENABLE_DNS_SERVER", "true"),
        ("DNS_FORWARD_PARALLEL", "true"),
        ("DNS_FORWARD_TIMEOUT", "2s"),
        ("DNS_PROXY_ADDR", "127.0.0.9:5353"),
    ];
    let found = dns("sidecar", &more, &[]).unwrap();
    assert_eq!(addresses(&found), ["127.0.0.9:5353"]);
    assert_eq!((found.order, found.timeout.as_secs()), (Order::AtOnce, 2));
    let proxy = "proxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}";
    let said = [("PROXY_CONFIG", proxy)];
    assert!(dns("sidecar", &said, &[]).is_some());
    let off = [said[0], ("ISTIO_META_DNS_CAPTURE", "false")];
    assert_eq!(dns("sidecar", &off, &[]), None);
    for address in ["15053", "here:1", "localhost:no", "[::1:9"] {
        let wrong = [CAPTURE, ("DNS_PROXY_ADDR", address)];
        let error = config("sidecar", &wrong, &[]).unwrap_err();
        assert!(error.contains("localhost or an IP address"), "{error}");
    }
}

#[test]
fn a_whole_machine_is_answered_on_its_own_port() {
    let files = [
        ("/etc/resolv.conf", "nameserver 127.0.0.1\n"),
        ("/var/lib/istio/resolv.conf", "nameserver 10.0.0.9\n"),
    ];
    let more = [CAPTURE, ("DNS_PROXY_ADDR", "localhost:53")];
    let found = dns("sidecar", &more, &files).unwrap();
    assert_eq!(addresses(&found), ["127.0.0.1:53"]);
    assert_eq!(found.servers, ["10.0.0.9:53".parse().unwrap()]);
    assert_eq!(found.early, Early::Forward);
    let found = dns("sidecar", &more, &files[..1]).unwrap();
    assert_eq!(found.servers, ["127.0.0.1:53".parse().unwrap()]);
}

#[test]
fn metrics_are_served_over_tls_where_there_is_a_certificate() {
    let ports = [
        ("ENVOY_SECURE_METRICS_PORT", "15091"),
        ("ENVOY_SECURE_MERGED_METRICS_PORT", "15092"),
    ];
    let with = config("sidecar", &ports, &[]).unwrap();
    let doors = &with.bootstrap.doors;
    assert_eq!((doors.secure_stats, doors.secure_merged), (15091, 15092));
    assert_eq!(
        with.drain.own_ports,
        [15021, 15090, 15020, 15000, 15091, 15092]
    );
    let plain = ("PROXY_CONFIG", r#"{"controlPlaneAuthPolicy": "NONE"}"#);
    let without = config("sidecar", &[&ports[..], &[plain]].concat(), &[]).unwrap();
    let doors = &without.bootstrap.doors;
    assert_eq!((doors.secure_stats, doors.secure_merged), (0, 0));
    let said = without.warnings.join("\n");
    assert!(said.contains("ENVOY_SECURE_METRICS_PORT"), "{said}");
}

#[test]
fn statistics_go_to_an_address_and_to_no_name() {
    let of = |text: &str| {
        let config_text = json!({"statsdUdpAddress": text}).to_string();
        config("sidecar", &[("PROXY_CONFIG", &config_text)], &[])
    };
    let address = of("10.0.0.9:9125").unwrap().bootstrap.statsd.unwrap();
    assert_eq!(address.to_string(), "10.0.0.9:9125");
    let named = of("statsd.monitoring:9125").unwrap();
    assert_eq!(named.bootstrap.statsd, None);
    let said = named.warnings.join("\n");
    assert!(said.contains("use IP:PORT, no name"), "{said}");
}
