use super::*;
use serde_json::json;

fn proxy(line: &str) -> Proxy {
    let words = ["meltemi-agent", "proxy"]
        .into_iter()
        .chain(line.split_whitespace());
    match <crate::args::Args as clap::Parser>::try_parse_from(words)
        .unwrap()
        .command
    {
        crate::args::Command::Proxy(proxy) => proxy,
        other => panic!("{other:?}"),
    }
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
